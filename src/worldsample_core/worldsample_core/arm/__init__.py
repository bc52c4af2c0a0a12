"""Kinematics of the A1X, checks of commands, and the law from actions to commanded positions."""

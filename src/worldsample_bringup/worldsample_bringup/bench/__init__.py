"""Measurements: the control loop, the world model, and the methods against each other."""

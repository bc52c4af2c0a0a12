"""Types and functions that all packages of WorldSample share.

Only :mod:`worldsample_core.messages`, :mod:`worldsample_core.node` and parts of
:mod:`worldsample_core.episodes` import ROS.
"""

"""Published kinematics of the Galaxea A1X: those of :mod:`worldsample_core.arm.a1x_kinematics`, and what only the
simulator needs.
"""

from __future__ import annotations

from worldsample_core.arm.a1x_kinematics import (
    ARM_JOINT_NAMES,
    ARM_JOINTS,
    FINGER_JOINT_NAMES,
    FINGER_STROKE,
    GRIPPER_ORIGIN,
    JOINT_HIGH,
    JOINT_LOW,
    Array,
    Joint,
    forward_kinematics,
)

__all__ = [
    "ARM_JOINTS",
    "ARM_JOINT_NAMES",
    "FINGER_JOINT_NAMES",
    "FINGER_STROKE",
    "GRIPPER_ORIGIN",
    "JOINT_HIGH",
    "JOINT_LOW",
    "Array",
    "Joint",
    "forward_kinematics",
]

GRIPPER_MASS = 0.604
BASE_MASS = 0.786
FINGER_ORIGINS = ((0.0369, 0.01345, 0.00012), (0.0369, -0.01345, -0.00012))
FINGER_MASS = 0.027
FINGER_EFFORT = 100.0  # N
FINGER_VELOCITY = 0.25  # m/s
FINGERTIP = 0.090  # m, gripper_link -> fingertips along x; our estimate
TIP_RADIUS = 0.0055  # m, rounding of the fingertips

"""Published kinematics of the Galaxea A1X.

Source: Galaxea's public URDF (userguide-galaxea/URDF, ``A1X/urdf/a1x.urdf``).
All frames have zero rotation at the all-zero joint vector; lengths in m, angles in rad, masses in kg.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Joint:
    """One revolute joint: origin in the parent link's frame, unit axis, limits and the child link's mass."""

    name: str
    origin: tuple[float, float, float]
    axis: tuple[float, float, float]
    low: float
    high: float
    effort: float
    velocity: float
    mass: float


ARM_JOINTS: tuple[Joint, ...] = (
    Joint("arm_joint1", (0.0, 0.0, 0.08605), (0, 0, 1), -2.8798, 2.8798, 27.0, 10.47, 0.839),
    Joint("arm_joint2", (0.0, 0.03075, 0.04925), (0, 1, 0), 0.0, 3.1416, 50.0, 12.57, 1.09),
    Joint("arm_joint3", (-0.3, 0.00025, 0.0), (0, 1, 0), -3.3161, 0.0, 27.0, 10.47, 0.739),
    Joint("arm_joint4", (0.1747, 0.0005, 0.0755), (0, 1, 0), -1.5708, 1.5708, 14.0, 32.99, 0.419),
    Joint("arm_joint5", (0.08, -0.0315, 0.0405), (0, 0, 1), -1.5708, 1.5708, 14.0, 32.99, 0.054),
    Joint("arm_joint6", (0.0225, 0.0, -0.0405), (1, 0, 0), -2.8798, 2.8798, 14.0, 32.99, 0.031),
)
GRIPPER_ORIGIN = (0.08165, 0.0, 0.0)  # arm_link6 -> gripper_link, fixed
GRIPPER_MASS = 0.604
BASE_MASS = 0.786
FINGER_ORIGINS = ((0.0369, 0.01345, 0.00012), (0.0369, -0.01345, -0.00012))
FINGER_STROKE = 0.05  # m, each finger
FINGER_MASS = 0.027
FINGER_EFFORT = 100.0  # N
FINGER_VELOCITY = 0.25  # m/s
FINGERTIP = 0.090  # m, gripper_link -> fingertips along x; our estimate
TIP_RADIUS = 0.0055  # m, rounding of the fingertips

ARM_JOINT_NAMES = tuple(joint.name for joint in ARM_JOINTS)
FINGER_JOINT_NAMES = ("gripper_finger_joint1", "gripper_finger_joint2")
JOINT_LOW: Array = np.array([joint.low for joint in ARM_JOINTS])
JOINT_HIGH: Array = np.array([joint.high for joint in ARM_JOINTS])


def forward_kinematics(q: Array) -> tuple[Array, Array]:
    """Position (3,) m and rotation (3, 3) of gripper_link in base_link at joint angles ``q (6,)`` rad."""
    position, rotation = np.zeros(3), np.eye(3)
    for angle, joint in zip(q, ARM_JOINTS, strict=True):
        position = position + rotation @ np.array(joint.origin)
        x, y, z = joint.axis
        cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
        rotation = rotation @ (np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)
    return position + rotation @ np.array(GRIPPER_ORIGIN), rotation

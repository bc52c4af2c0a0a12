"""Published kinematics of the Galaxea A1X, in plain NumPy: shared by the driver and the simulator.

Source: Galaxea's public URDF (userguide-galaxea/URDF, ``A1X/urdf/a1x.urdf``).
All frames have zero rotation at the all-zero joint vector; lengths in m, angles in rad, masses in kg.
"""

from __future__ import annotations

import math
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
BASE_FRAME, EE_FRAME = "base_link", "gripper_link"

ARM_JOINT_NAMES = tuple(joint.name for joint in ARM_JOINTS)
FINGER_JOINT_NAMES = ("gripper_finger_joint1", "gripper_finger_joint2")
FINGER_STROKE = 0.05  # m, each finger
FINGER_ORIGINS = ((0.0369, 0.01345, 0.00012), (0.0369, -0.01345, -0.00012))  # in gripper_link, at joint 0
JOINT_LOW: Array = np.array([joint.low for joint in ARM_JOINTS])
JOINT_HIGH: Array = np.array([joint.high for joint in ARM_JOINTS])

_AXIS = tuple(joint.axis.index(1) for joint in ARM_JOINTS)
_ORIGIN = tuple(np.array(joint.origin) for joint in ARM_JOINTS)
_TIP = np.array(GRIPPER_ORIGIN)


def _chain(q: Array) -> tuple[list[Array], list[Array], Array, Array]:
    """Joint positions and axes in base_link, then position and rotation of gripper_link."""
    frame, at = np.eye(3), np.zeros(3)
    positions, axes = [], []
    for angle, axis, origin in zip(q.tolist(), _AXIS, _ORIGIN, strict=True):
        at = at + frame @ origin
        positions.append(at)
        axes.append(frame[:, axis])
        sine, cosine = math.sin(angle), math.cos(angle)
        first, second = (axis + 1) % 3, (axis + 2) % 3
        turned = frame.copy()
        turned[:, first] = cosine * frame[:, first] + sine * frame[:, second]
        turned[:, second] = cosine * frame[:, second] - sine * frame[:, first]
        frame = turned
    return positions, axes, at + frame @ _TIP, frame


def forward_kinematics(q: Array) -> tuple[Array, Array]:
    """Position (3,) m and rotation (3, 3) of gripper_link in base_link at joint angles ``q (6,)`` rad."""
    _, _, position, rotation = _chain(np.asarray(q, np.float64))
    return position, rotation


def joint_positions(q: Array) -> Array:
    """Positions ``(7, 3)`` m of the six joints and of gripper_link in base_link at ``q (6,)`` rad."""
    positions, _, position, _ = _chain(np.asarray(q, np.float64))
    return np.array([*positions, position])


def pose_and_jacobian(q: Array) -> tuple[Array, Array, Array]:
    """Position (3,), rotation (3, 3) and geometric Jacobian (6, 6) of gripper_link at ``q (6,)``.

    Rows 0-2 of the Jacobian are linear (m/rad), rows 3-5 angular, both in base_link.
    """
    positions, axes, position, rotation = _chain(np.asarray(q, np.float64))
    angular = np.array(axes)  # (6, 3)
    lever = position - np.array(positions)
    return position, rotation, np.concatenate([_cross(angular, lever), angular], axis=1).T


def poses_and_jacobians(q: Array) -> tuple[Array, Array, Array]:
    """:func:`pose_and_jacobian` of B arms at once, ``q (B, 6)``: ``(B, 3)``, ``(B, 3, 3)``, ``(B, 6, 6)``."""
    count = len(q)
    frame, at = np.broadcast_to(np.eye(3), (count, 3, 3)).copy(), np.zeros((count, 3))
    positions, axes = np.empty((count, 6, 3)), np.empty((count, 6, 3))
    sines, cosines = np.sin(q), np.cos(q)
    for i, (axis, origin) in enumerate(zip(_AXIS, _ORIGIN, strict=True)):
        at = at + frame @ origin
        positions[:, i], axes[:, i] = at, frame[:, :, axis]
        sine, cosine = sines[:, i, None], cosines[:, i, None]
        first, second = frame[:, :, (axis + 1) % 3], frame[:, :, (axis + 2) % 3]
        turned = frame.copy()
        turned[:, :, (axis + 1) % 3] = cosine * first + sine * second
        turned[:, :, (axis + 2) % 3] = cosine * second - sine * first
        frame = turned
    position = at + frame @ _TIP
    linear = _cross(axes, position[:, None] - positions)
    return position, frame, np.concatenate([linear, axes], 2).swapaxes(1, 2)


def _cross(a: Array, b: Array) -> Array:
    """Cross product over the last axis, with the bits of ``np.cross``, which is slow for few vectors."""
    result = np.empty(a.shape)
    for k, first, second in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        result[..., k] = a[..., first] * b[..., second] - a[..., second] * b[..., first]
    return result

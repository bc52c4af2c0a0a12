"""Transforms between the arm's links, as ``robot_state_publisher`` would make them of its URDF."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np

from worldsample_core.arm.a1x_kinematics import (
    ARM_JOINTS,
    BASE_FRAME,
    EE_FRAME,
    FINGER_JOINT_NAMES,
    FINGER_ORIGINS,
    GRIPPER_ORIGIN,
)
from worldsample_core.camera_calibration import Transform

HAND = Transform.of("arm_link6", EE_FRAME, np.asarray(GRIPPER_ORIGIN), np.eye(3))
"""The one transform of the arm that does not change."""


def link_of(joint: str) -> str:
    """Name of the link that a joint moves."""
    return joint.replace("joint", "link")


def link_transforms(positions: Mapping[str, float]) -> Iterator[Transform]:
    """The transforms of all joints whose positions are given, by joint name (rad, m)."""
    parent = BASE_FRAME
    for joint in ARM_JOINTS:
        if joint.name in positions:
            half = positions[joint.name] / 2
            x, y, z = (math.sin(half) * part for part in joint.axis)
            yield Transform(parent, link_of(joint.name), joint.origin, (x, y, z, math.cos(half)))
        parent = link_of(joint.name)
    for name, (x, y, z) in zip(FINGER_JOINT_NAMES, FINGER_ORIGINS, strict=True):
        if name in positions:
            moved = (x, y + positions[name], z)
            yield Transform(EE_FRAME, link_of(name), moved, (0.0, 0.0, 0.0, 1.0))

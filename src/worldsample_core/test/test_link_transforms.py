"""The chain of the arm's transforms ends where its kinematics say."""

import numpy as np
import pytest

from worldsample_core.arm.a1x_kinematics import (
    ARM_JOINT_NAMES,
    FINGER_JOINT_NAMES,
    JOINT_HIGH,
    JOINT_LOW,
    forward_kinematics,
)
from worldsample_core.arm.link_transforms import HAND, link_transforms
from worldsample_core.arm.rotation import rotvec_to_matrix
from worldsample_core.camera_calibration import Transform


def matrix_of(transform: Transform) -> np.ndarray:
    """Homogeneous matrix (4, 4)."""
    *vector, w = transform.rotation
    length = float(np.linalg.norm(vector))
    result = np.eye(4)
    result[:3, :3] = rotvec_to_matrix(np.asarray(vector) / max(length, 1e-12) * 2 * np.arctan2(length, w))
    result[:3, 3] = transform.translation
    return result


@pytest.mark.parametrize("seed", range(5))
def test_the_chain_leads_to_the_hand(seed: int) -> None:
    joints = np.random.default_rng(seed).uniform(JOINT_LOW, JOINT_HIGH)
    place, parent = np.eye(4), "base_link"
    for transform in (*link_transforms(dict(zip(ARM_JOINT_NAMES, joints, strict=True))), HAND):
        assert transform.parent == parent
        place, parent = place @ matrix_of(transform), transform.child
    position, rotation = forward_kinematics(joints)
    assert parent == "gripper_link"
    np.testing.assert_allclose(place[:3, 3], position, atol=1e-9)
    np.testing.assert_allclose(place[:3, :3], rotation, atol=1e-9)


def test_fingers_slide_apart() -> None:
    def gap(opening: float) -> float:
        left, right = link_transforms(dict(zip(FINGER_JOINT_NAMES, (opening, -opening), strict=True)))
        return left.translation[1] - right.translation[1]

    assert gap(0.05) - gap(0.0) == pytest.approx(0.1)

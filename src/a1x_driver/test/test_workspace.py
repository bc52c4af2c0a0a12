"""The workspace: rotations are clipped to the nearer limit on both sides of zero; nobody is thrown inside."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from a1x_driver.workspace import Workspace, clip_tilt
from worldsample_core.arm.rotation import matrix_to_rotvec, rotvec_to_matrix

ANGLES = st.tuples(*[st.floats(-1.7, 1.7)] * 3).map(np.array)
LOW, HIGH = np.array([0.2, -0.1, 0.1]), np.array([0.4, 0.1, 0.3])


@given(ANGLES, ANGLES)
def test_hil_serl_51_rotations_clip_to_the_nearer_side(turn: np.ndarray, reference: np.ndarray) -> None:
    """A rotation beyond the limit is clipped on the way to the wanted one, whatever its sign (hil-serl#51).

    A small negative roll was clipped to the positive limit, and the arm shook.
    """
    if np.linalg.norm(turn) > 3.0:
        return
    base = rotvec_to_matrix(reference)
    clipped, was = clip_tilt(rotvec_to_matrix(turn) @ base, base, 0.5)
    result = matrix_to_rotvec(clipped @ base.T)
    angle = float(np.linalg.norm(turn))
    assert was == (angle > 0.5) or abs(angle - 0.5) < 1e-6
    assert np.linalg.norm(result) <= 0.5 + 1e-6
    if angle > 1e-3:
        assert np.allclose(result / np.linalg.norm(result), turn / angle, atol=1e-4)
    opposite = matrix_to_rotvec(clip_tilt(rotvec_to_matrix(-turn) @ base, base, 0.5)[0] @ base.T)
    assert np.allclose(opposite, -result, atol=1e-6)


def test_a_rotation_walks_across_zero_without_a_jump() -> None:
    """From the negative limit to the positive one in small steps: each step moves by a small angle."""
    base = rotvec_to_matrix(np.array([3.0, 0.0, 0.0]))  # a reset orientation near half a turn
    last = None
    for roll in np.linspace(-0.8, 0.8, 161):
        now = clip_tilt(rotvec_to_matrix(np.array([roll, 0.0, 0.0])) @ base, base, 0.5)[0]
        if last is not None:
            assert np.linalg.norm(matrix_to_rotvec(now @ last.T)) < 0.011
        last = now


def test_lerobot_1387_an_arm_outside_its_box_is_not_thrown_inside() -> None:
    """Bounds that do not hold where the arm stands made it jump with the first command."""
    space = Workspace(LOW, HIGH, np.eye(3), 0.5)
    outside, turned = np.array([0.1, 0.0, 0.35]), rotvec_to_matrix(np.array([0.0, 0.9, 0.0]))
    assert space.widen(outside, turned)
    position, rotation, clipped = space.clip(outside, turned)
    assert np.array_equal(position, outside) and np.array_equal(rotation, turned) and not clipped
    assert space.clip(outside + np.array([-0.01, 0.0, 0.01]), turned)[2], "it may not go further out"
    space.narrow(np.array([0.15, 0.0, 0.32]), np.eye(3))
    assert space.clip(outside, turned)[0].tolist() == [0.15, 0.0, 0.32], "nor back out"
    space.narrow(np.array([0.3, 0.0, 0.2]), np.eye(3))
    assert np.array_equal(space.low, LOW) and np.array_equal(space.high, HIGH) and space.tilt == 0.5

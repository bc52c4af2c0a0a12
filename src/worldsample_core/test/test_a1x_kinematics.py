"""Kinematics that the real arm is driven by."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from worldsample_core.arm import a1x_kinematics
from worldsample_core.arm.a1x_inverse_kinematics import solve_pose
from worldsample_core.arm.a1x_kinematics import JOINT_HIGH, JOINT_LOW, forward_kinematics, pose_and_jacobian
from worldsample_core.arm.rotation import matrix_to_rotvec, rotvec_to_matrix

SHARES = st.tuples(*[st.floats(0.05, 0.95)] * 6)


def joints(shares: tuple[float, ...]) -> np.ndarray:
    return JOINT_LOW + np.array(shares) * (JOINT_HIGH - JOINT_LOW)


@settings(max_examples=50, deadline=None)
@given(SHARES)
def test_the_jacobian_is_the_derivative(shares: tuple[float, ...]) -> None:
    q = joints(shares)
    position, rotation, jacobian = pose_and_jacobian(q)
    for joint in range(6):
        moved = q.copy()
        moved[joint] += 1e-6
        at, turned = forward_kinematics(moved)
        assert np.allclose((at - position) / 1e-6, jacobian[:3, joint], atol=1e-5)
        assert np.allclose(matrix_to_rotvec(turned @ rotation.T) / 1e-6, jacobian[3:, joint], atol=1e-4)


@settings(max_examples=50, deadline=None)
@given(st.tuples(*[st.floats(-0.05, 0.05)] * 3), st.tuples(*[st.floats(-0.3, 0.3)] * 3))
def test_poses_near_the_working_pose_are_solved(move: tuple[float, ...], turn: tuple[float, ...]) -> None:
    ready = np.array([0.0, 1.7326, -1.4204, 1.2586, 0.0, 0.0])
    at, turned = forward_kinematics(ready)
    wanted, rotated = at + np.array(move) + [0.05, 0, -0.07], rotvec_to_matrix(np.array(turn)) @ turned
    q, error = solve_pose(wanted, rotated, ready, iterations=40)
    assert np.all(q >= JOINT_LOW) and np.all(q <= JOINT_HIGH)
    reached, rotation = forward_kinematics(q)
    left = np.linalg.norm(reached - wanted) + 0.1 * np.linalg.norm(matrix_to_rotvec(rotated @ rotation.T))
    assert abs(left - error) < 1e-9, "the error that is told is the error that is left"
    if np.all(np.abs(np.array(turn)) < 0.1):
        assert error < 1e-4


def test_out_of_reach_the_error_says_so() -> None:
    q, error = solve_pose(np.array([1.5, 0.0, 0.3]), np.eye(3), np.array([0.0, 1.5, -1.0, 0.0, 0.0, 0.0]))
    assert error > 0.5 and np.isfinite(q).all()


def test_the_cross_product_has_the_bits_of_numpys() -> None:
    a, b = np.random.default_rng(0).standard_normal((2, 40, 6, 3))
    assert np.array_equal(a1x_kinematics._cross(a, b), np.cross(a, b))

"""Damped-least-squares inverse kinematics of the A1X, without a physics engine."""

from __future__ import annotations

import numpy as np

from worldsample_core.arm.a1x_kinematics import JOINT_HIGH, JOINT_LOW, Array, pose_and_jacobian
from worldsample_core.arm.rotation import matrix_to_rotvec


def solve_pose(
    position: Array,
    rotation: Array,
    guess: Array,
    low: Array = JOINT_LOW,
    high: Array = JOINT_HIGH,
    iterations: int = 20,
    tolerance: float = 1e-5,
    damping: float = 0.02,
    max_change: float = 0.2,
) -> tuple[Array, float]:
    """Joint angles for a pose of gripper_link, near a guess and within bounds.

    dq = J^T (J J^T + lambda^2 I)^-1 e, with e the 6-D pose error; repeated until the error is small. Near the
    goal lambda falls with the error, so that tracking a moving pose leaves no lag.

    Args:
        position: (3,) m, in base_link. rotation: (3, 3).
        guess: (6,) rad, where to start. low, high: (6,) rad, bounds of the answer.
        iterations: at most. tolerance: of the error, see below. max_change: rad per iteration.

    Returns:
        Joint angles (6,) rad, and the error left (m + 0.1 rad, summed norms).
    """
    q = np.clip(guess, low, high)
    best, best_error = q, np.inf
    for _ in range(iterations + 1):
        at, turned, jacobian = pose_and_jacobian(q)
        error = np.concatenate([position - at, matrix_to_rotvec(rotation @ turned.T)])
        size = float(np.sqrt(error[:3] @ error[:3]) + 0.1 * np.sqrt(error[3:] @ error[3:]))
        if size < best_error:
            best, best_error = q, size
        if size < tolerance:
            break
        gram = jacobian @ jacobian.T
        gram.flat[::7] += damping**2 * min(1.0, 0.01 + size / 0.02)
        change = jacobian.T @ np.linalg.solve(gram, error)
        largest = float(np.abs(change).max())
        if largest > max_change:
            change *= max_change / largest
        q = np.minimum(np.maximum(q + change, low), high)
    return best, best_error

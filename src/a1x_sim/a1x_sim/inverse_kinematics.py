"""Damped-least-squares inverse kinematics on MuJoCo's Jacobians."""

from __future__ import annotations

import mujoco
import numpy as np

from a1x_sim.arm_model import ASSETS, DEFAULTS, arm_mjcf
from worldsample_core.arm.a1x_kinematics import JOINT_HIGH, JOINT_LOW, Array
from worldsample_core.arm.rotation import matrix_to_rotvec


class InverseKinematics:
    """Joint angles for a pose of gripper_link, near a starting guess and within the joint limits.

    dq = J^T (J J^T + lambda^2 I)^-1 e, with e the 6-D pose error; repeated until the error is small.
    """

    def __init__(self, damping: float = 0.02, max_iterations: int = 20, max_change: float = 0.2) -> None:
        body, actuators = arm_mjcf()
        self._model = mujoco.MjModel.from_xml_string(
            f"<mujoco><default>{DEFAULTS}</default><asset>{ASSETS}</asset>"
            f"<worldbody>{body}</worldbody>{actuators}</mujoco>"
        )
        self._data = mujoco.MjData(self._model)
        self._body = self._model.body("gripper_link").id
        self._jacobian = np.zeros((6, self._model.nv))
        self._regular = damping**2 * np.eye(6)
        self._max_iterations = max_iterations
        self._max_change = max_change

    def pose(self, q: Array) -> tuple[Array, Array]:
        """Position (3,) m and rotation (3, 3) of gripper_link in base_link at joint angles ``q (6,)``."""
        self._data.qpos[:6] = q
        mujoco.mj_kinematics(self._model, self._data)
        return self._data.xpos[self._body].copy(), self._data.xmat[self._body].reshape(3, 3).copy()

    def solve(
        self, position: Array, rotation: Array, guess: Array, tolerance: float = 1e-4
    ) -> tuple[Array, float]:
        """Joint angles (6,) rad for the pose, and the error left (m + 0.1 rad, summed norms)."""
        q = np.clip(guess, JOINT_LOW, JOINT_HIGH)
        best, best_error = q, np.inf
        for _ in range(self._max_iterations):
            at, turned = self.pose(q)
            error = np.concatenate([position - at, matrix_to_rotvec(rotation @ turned.T)])
            size = float(np.linalg.norm(error[:3]) + 0.1 * np.linalg.norm(error[3:]))
            if size < best_error:
                best, best_error = q, size
            if size < tolerance:
                break
            mujoco.mj_comPos(self._model, self._data)
            mujoco.mj_jacBody(self._model, self._data, self._jacobian[:3], self._jacobian[3:], self._body)
            jacobian = self._jacobian[:, :6]
            change = jacobian.T @ np.linalg.solve(jacobian @ jacobian.T + self._regular, error)
            largest = float(np.abs(change).max())
            if largest > self._max_change:
                change *= self._max_change / largest
            q = np.clip(q + change, JOINT_LOW, JOINT_HIGH)
        return best, best_error

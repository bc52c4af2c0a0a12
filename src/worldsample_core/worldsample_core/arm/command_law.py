"""The law from actions to commanded positions, the same in the driver, the simulator and the world model.

An action moves the *commanded* position, not the measured one. The commanded position stays within the
workspace box, within reach of the arm, and at most the lead ahead of the measured position. The result of an
action therefore depends on the actions before it. Because this law is known exactly, the world model uses it
instead of learning it.

All functions take B arms at once. The orientation is always the task's reset orientation. For a task that
turns the gripper, the positions are still right, but reach is judged at the reset orientation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from worldsample_core.arm.a1x_kinematics import (
    JOINT_HIGH,
    JOINT_LOW,
    Array,
    forward_kinematics,
    poses_and_jacobians,
)
from worldsample_core.config import TaskConfig

MAX_LEAD = 0.01
"""Lead, m: how far beyond one step the commanded position may be ahead of the measured one.

This is the simulator's value. It bounds the contact force.
"""

DRIVER_MAX_LEAD = 0.03
"""The driver's default for the same distance, m. It is larger because a real arm follows with more delay."""

REACH_TOLERANCE = 0.002
"""Error of inverse kinematics (m + 0.1 rad) up to which a pose counts as within reach."""

DAMPING = 0.02
ITERATIONS = 20
ACCURACY = 1e-4
MAX_CHANGE = 0.2  # rad per iteration


def max_lead(sim: bool, driver: Mapping[str, Any]) -> float:
    """The largest lead of a run, m. ``driver`` is that section of its configuration."""
    if sim:
        return MAX_LEAD
    return float(driver.get("limits", {}).get("max_lead", DRIVER_MAX_LEAD))


@dataclass(frozen=True)
class Commanded:
    """B commanded poses.

    Attributes:
        position: ``(B, 3)`` m, in base_link.
        joints: ``(B, 6)`` rad, joint angles that reach the positions.
    """

    position: Array
    joints: Array


class CommandLaw:
    """Next commanded pose: ``next = reachable(box(at + limit(commanded + action * scale - at)))``.

    Args:
        task: gives the action scale, the active dimensions, the box and the reset pose.
        max_lead: m, the lead that the driver or the simulator allows.
    """

    def __init__(self, task: TaskConfig, max_lead: float = MAX_LEAD) -> None:
        self.scale = np.asarray(task.action_scale[:3]) * np.asarray(task.active[:3])
        self.low, self.high = np.asarray(task.box_low), np.asarray(task.box_high)
        self.allowed = max_lead + float(np.abs(task.action_scale[:3]).max())
        self.home = np.asarray(task.reset_joints, np.float64)
        self.rotation = forward_kinematics(self.home)[1]

    def anchor(self, position: ArrayLike) -> Commanded:
        """The commanded poses at the start of an episode: the measured positions ``(B, 3)`` m."""
        at = np.asarray(position, np.float64)
        joints, _ = self._solve(at, np.broadcast_to(self.home, (len(at), 6)))
        return Commanded(at, joints)

    def next(self, commanded: Commanded, position: ArrayLike, actions: ArrayLike) -> Commanded:
        """The commanded poses after one more action.

        Args:
            commanded: the poses that are commanded now.
            position: ``(B, 3)`` m, the measured positions.
            actions: ``(B, 7)`` in [-1, 1].
        """
        at = np.asarray(position, np.float64)
        last = commanded.position
        lead = last + np.asarray(actions, np.float64)[:, :3] * self.scale - at
        distance = np.linalg.norm(lead, axis=1, keepdims=True)
        wanted = np.clip(at + lead * np.minimum(1.0, self.allowed / (distance + 1e-12)), self.low, self.high)
        # Out of reach, first the height is given up, then the place, then the motion.
        flat = np.concatenate([wanted[:, :2], last[:, 2:]], 1)
        upright = np.concatenate([last[:, :2], wanted[:, 2:]], 1)
        reached_position, joints = last.copy(), commanded.joints.copy()
        waiting = np.arange(len(at))
        for candidate in (wanted, flat, upright):
            solved, error = self._solve(candidate[waiting], commanded.joints[waiting])
            reached = error < REACH_TOLERANCE
            reached_position[waiting[reached]] = candidate[waiting[reached]]
            joints[waiting[reached]] = solved[reached]
            waiting = waiting[~reached]
            if not len(waiting):
                break
        return Commanded(reached_position, joints)

    def trace(self, positions: ArrayLike, actions: ArrayLike) -> Commanded:
        """The ``T + 1`` commanded poses of one episode, the first at the measured position.

        Args:
            positions: ``(T + 1, 3)`` m, the measured positions.
            actions: ``(T, 7)`` in [-1, 1].
        """
        at, acted = np.asarray(positions, np.float64), np.asarray(actions)
        commanded = [self.anchor(at[:1])]
        for step in range(len(acted)):
            commanded.append(self.next(commanded[-1], at[step : step + 1], acted[step : step + 1]))
        return Commanded(
            np.concatenate([one.position for one in commanded]),
            np.concatenate([one.joints for one in commanded]),
        )

    def _solve(self, position: Array, guess: Array) -> tuple[Array, Array]:
        """Damped least squares for B positions with the reset orientation: joints, and the error left."""
        joints = np.clip(guess, JOINT_LOW, JOINT_HIGH)
        best, best_error = joints.copy(), np.full(len(joints), np.inf)
        waiting = np.arange(len(joints))
        regular = DAMPING**2 * np.eye(6)
        for _ in range(ITERATIONS):
            now = joints[waiting]
            at, turned, jacobian = poses_and_jacobians(now)
            off = self.rotation @ turned.swapaxes(1, 2)
            turn = 0.5 * np.stack(  # the rotation vector to first order: the angles are small
                [off[:, 2, 1] - off[:, 1, 2], off[:, 0, 2] - off[:, 2, 0], off[:, 1, 0] - off[:, 0, 1]], 1
            )
            error = np.concatenate([position[waiting] - at, turn], 1)
            size = np.linalg.norm(error[:, :3], axis=1) + 0.1 * np.linalg.norm(turn, axis=1)
            better = size < best_error[waiting]
            best[waiting[better]], best_error[waiting[better]] = now[better], size[better]
            going = size >= ACCURACY
            waiting = waiting[going]
            if not len(waiting):
                break
            jacobian, error = jacobian[going], error[going]
            gram = jacobian @ jacobian.swapaxes(1, 2) + regular
            change = (jacobian.swapaxes(1, 2) @ np.linalg.solve(gram, error[..., None]))[..., 0]
            largest = np.abs(change).max(1, keepdims=True)
            change *= np.minimum(1.0, MAX_CHANGE / np.maximum(largest, 1e-12))
            joints[waiting] = np.clip(joints[waiting] + change, JOINT_LOW, JOINT_HIGH)
        return best, best_error

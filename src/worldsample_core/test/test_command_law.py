"""Commanded positions are worked out as the simulator's and the driver's law has them."""

from __future__ import annotations

import numpy as np
import pytest

from worldsample_core.arm.a1x_kinematics import (
    JOINT_HIGH,
    JOINT_LOW,
    forward_kinematics,
    pose_and_jacobian,
    poses_and_jacobians,
)
from worldsample_core.arm.command_law import MAX_LEAD, CommandLaw
from worldsample_core.config import TaskConfig

TASK = TaskConfig(
    name="law", horizon=12, gamma=0.9, active=(True, True, True) + (False,) * 4,
    action_scale=(0.012, 0.012, 0.012, 0.1, 0.1, 0.1, 1.0), box_low=(0.19, -0.15, 0.165),
    box_high=(0.41, 0.15, 0.28), reset_joints=(0.0, 1.7326, -1.4204, 1.2586, 0.0, 0.0), reset_gripper=0.0,
    max_real_steps=100,
)  # fmt: skip
HOME = forward_kinematics(np.array(TASK.reset_joints))[0]


def moved(law: CommandLaw, at: np.ndarray, action: list[float], steps: int = 1) -> np.ndarray:
    """Commanded position after the same action, repeated, with an arm that does not move."""
    commanded = law.anchor(at[None])
    for _ in range(steps):
        commanded = law.next(commanded, at[None], np.array([action + [0.0] * 4]))
    return commanded.position[0]


def test_batched_kinematics_are_the_single_ones() -> None:
    joints = np.random.default_rng(0).uniform(JOINT_LOW, JOINT_HIGH, (20, 6))
    position, rotation, jacobian = poses_and_jacobians(joints)
    for i, one in enumerate(joints):
        for batched, single in zip(
            (position[i], rotation[i], jacobian[i]), pose_and_jacobian(one), strict=True
        ):
            np.testing.assert_allclose(batched, single, atol=1e-12)


def test_the_commanded_position_runs_ahead_by_the_lead_at_most() -> None:
    law = CommandLaw(TASK)
    np.testing.assert_allclose(moved(law, HOME, [-1.0, 0.0, 0.0]), HOME - [0.012, 0.0, 0.0], atol=1e-9)
    ahead = HOME - moved(law, HOME, [-1.0, 0.0, 0.0], 5)
    assert ahead[0] == pytest.approx(MAX_LEAD + 0.012)


def test_it_stays_in_the_box_and_within_reach() -> None:
    law = CommandLaw(TASK)
    low = np.array([HOME[0], HOME[1], TASK.box_low[2] + 0.001])
    assert moved(law, low, [0.0, 0.0, -1.0])[2] == pytest.approx(TASK.box_low[2])
    high = np.array([0.33, 0.0, 0.279])  # the box goes on, the arm does not
    far = moved(law, high, [1.0, 0.0, 0.0], 3)
    joints = law.anchor(far[None]).joints
    assert far[0] < 0.366 and np.linalg.norm(forward_kinematics(joints[0])[0] - far) < 0.002


def test_arms_of_a_batch_do_not_mix() -> None:
    law = CommandLaw(TASK)
    rng = np.random.default_rng(1)
    at = HOME + rng.uniform(-0.03, 0.03, (6, 3))
    actions = rng.uniform(-1, 1, (6, 7))
    together = law.next(law.anchor(at), at, actions).position
    for i in range(6):
        alone = law.next(law.anchor(at[i : i + 1]), at[i : i + 1], actions[i : i + 1]).position[0]
        np.testing.assert_allclose(together[i], alone, atol=1e-12)


def test_it_is_the_simulators_law() -> None:
    """Within the accuracy of inverse kinematics, in reach, out of reach and against obstacles."""
    cell_module = pytest.importorskip("a1x_sim.cell")
    cell = cell_module.Cell("pushing", 64, render=False)
    law = CommandLaw(cell.config)
    for seed in range(6):
        rng = np.random.default_rng(seed)
        positions, actions = [cell.reset(seed).proprio[:3]], []
        targets = [cell.commanded_position]
        drift = rng.normal(0.0, 0.6, 7)
        for _ in range(40):
            action = np.where(cell.config.active, np.clip(drift + rng.normal(0.0, 0.5, 7), -1, 1), 0.0)
            positions.append(cell.step(action).proprio[:3])
            actions.append(action)
            targets.append(cell.commanded_position)
        trace = law.trace(positions, actions)
        np.testing.assert_allclose(trace.position, targets, atol=3e-4)

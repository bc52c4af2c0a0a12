"""A value that hardly varied in the demonstrations does not throw the arm away when it varies later."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from worldsample_core.arm.command_law import Commanded, CommandLaw
from worldsample_core.config import TaskConfig
from worldsample_core.observation import PROPRIO_FLOOR
from worldsample_worldmodel.data.episodes import Episode
from worldsample_worldmodel.model.world_model import WorldModel
from worldsample_worldmodel.model.world_model_config import WorldModelConfig
from worldsample_worldmodel.training.trainer import Trainer

CLOSED = 0.18


def goes_where_asked(number: int, law: CommandLaw, steps: int = 40) -> Episode:
    """An episode in which the arm goes 98 % of the way to what is commanded.

    The closed gripper's opening and the rotation follow the motion by a hair.
    """
    rng = np.random.default_rng(number)
    actions = np.zeros((steps, 7), np.float32)
    actions[:, :3] = rng.uniform(-0.4, 0.4, (steps, 3))
    proprio = np.zeros((steps + 1, 10), np.float32)
    proprio[:, :3], proprio[:, 6] = (0.3, 0.0, 0.22), CLOSED
    commanded = law.anchor(proprio[:1, :3])
    for step in range(steps):
        at = proprio[step, :3].astype(np.float64)
        commanded = law.next(commanded, at[None], actions[step : step + 1])
        move = 0.98 * (commanded.position[0] - at)
        proprio[step + 1, :3] = at + move
        proprio[step + 1, 3:6] = 0.1 * move
        proprio[step + 1, 6] = CLOSED + 0.2 * move[0] + 1e-4 * rng.standard_normal()
    return Episode(np.full((steps + 1, 2, 32, 32, 3), 60, np.uint8), proprio, actions, False, number)


@pytest.fixture
def model(tiny: WorldModelConfig, free_task: TaskConfig) -> WorldModel:
    """Its linear part only: the networks are untrained."""
    law = CommandLaw(free_task)
    trainer = Trainer(tiny, law)
    trainer.fit_statistics([goes_where_asked(i, law).traced(law) for i in range(8)])
    return trainer.averaged


def x_after(model: WorldModel, opening: float = CLOSED, behind: float = 0.0) -> float:
    """m, where the arm is after 4 steps to the right, with its command ``behind`` m ahead of it."""
    frames = np.full((1, 2, 32, 32, 3), 60, np.uint8)
    proprio = np.zeros((1, 10), np.float32)
    proprio[0, :3], proprio[0, 6] = (0.28, 0.0, 0.22), opening
    actions = np.zeros((1, 4, 7), np.float32)
    actions[:, :, 0] = 0.3
    assert model.law is not None
    commanded = model.law.anchor(proprio[:, :3])
    commanded = Commanded(commanded.position + np.array([behind, 0.0, 0.0]), commanded.joints)
    made = model.imagine(frames, frames, proprio, proprio, actions, commanded=commanded)
    return float(made.proprio[0, -1, 0])


def test_the_arm_goes_where_it_is_asked(model: WorldModel) -> None:
    assert x_after(model) == pytest.approx(0.28 + 4 * 0.3 * 0.012, abs=0.0015)


def test_a_gripper_that_opens_for_the_first_time_does_not_move_the_arm(model: WorldModel) -> None:
    assert x_after(model, opening=0.9) == pytest.approx(x_after(model), abs=0.0015)


def test_an_arm_that_is_held_for_the_first_time_goes_no_further_than_it_is_asked(model: WorldModel) -> None:
    assert x_after(model) < x_after(model, behind=0.01) < x_after(model) + 0.0115


def test_proprioception_is_never_divided_by_next_to_nothing(model: WorldModel) -> None:
    assert torch.equal(model.proprio_scale[3:7], torch.tensor(PROPRIO_FLOOR)[3:7])

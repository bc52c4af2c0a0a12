"""An episode's own residuals count near where they were seen, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from worldsample_core.arm.command_law import CommandLaw
from worldsample_core.config import TaskConfig
from worldsample_worldmodel.data.episodes import Episode, segments
from worldsample_worldmodel.model.abduction import DOUBT, REACH, Evidence
from worldsample_worldmodel.model.dynamics import INPUTS
from worldsample_worldmodel.model.frame_bank import ALL
from worldsample_worldmodel.model.world_model_config import WorldModelConfig
from worldsample_worldmodel.training.trainer import Trainer


def test_weights_by_hand() -> None:
    known = torch.zeros(1, 3, INPUTS)
    known[0, 1, 0] = 1.0  # one unit of REACH off in place
    known[0, 2, 17] = 50.0  # asked to go elsewhere
    errors = torch.zeros(1, 3, 2, 10)
    errors[0, :, 1, 0] = torch.tensor([1.0, 4.0, 100.0])
    evidence = Evidence(known, errors, torch.ones(1, 3, dtype=torch.bool), torch.full((3,), REACH))
    added = evidence.correction(torch.zeros(2, 1, INPUTS))[1]
    off = float(np.exp(-0.5))
    kappa = (1 + off) / (1 + off + DOUBT)
    assert added[0, 0].item() == pytest.approx(kappa * (1 + 4 * off) / (1 + off))
    assert not evidence.correction(torch.zeros(2, 1, INPUTS))[0].any(), "each member has its own errors"
    far = evidence.correction(torch.full((2, 1, INPUTS), -9.0))[1]
    assert far.abs().max().item() == pytest.approx(0.0, abs=1e-6)
    unknown = evidence._replace(usable=torch.zeros(1, 3, dtype=torch.bool))
    assert not unknown.correction(torch.zeros(2, 1, INPUTS))[1].any()


def held_by_a_wall(number: int, wall: float, steps: int = 12) -> Episode:
    """The arm goes right until a wall holds it, which no image shows."""
    actions = np.zeros((steps, 7), np.float32)
    actions[:, 0] = 1.0
    proprio = np.zeros((steps + 1, 10), np.float32)
    proprio[:, :3] = (0.25, 0.0, 0.22)
    proprio[:, 0] = np.minimum(0.25 + 0.012 * np.arange(steps + 1), wall)
    images = np.full((steps + 1, 2, 32, 32, 3), 60, np.uint8)
    return Episode(images, proprio, actions, False, number)


def test_a_wall_that_only_this_episode_met_holds_in_its_counterfactuals(
    tiny: WorldModelConfig, free_task: TaskConfig
) -> None:
    law = CommandLaw(free_task)
    episodes = [held_by_a_wall(i, 9.9, 8).traced(law) for i in range(6)]
    met = held_by_a_wall(9, 0.29).traced(law)
    trainer = Trainer(tiny, law)
    trainer.fit_statistics(episodes)
    trainer.remember(episodes)
    for _ in range(20):
        trainer.update(episodes)
    model = trainer.averaged
    batch = segments([met], [(0, 8)], 4)
    given = (batch.first, batch.current, batch.first_proprio, batch.proprio[:, 0], batch.actions)
    through = model.imagine(*given, commanded=batch.commanded).proprio[0, -1, 0]
    predicted, known = (
        model.imagine(
            *given, commanded=batch.commanded, evidence=model.abduce([met], batch.episode, until)
        ).proprio[0, -1, 0]
        for until in (batch.step, ALL)
    )
    assert through > 0.305
    assert predicted < 0.299 and known < 0.299  # four real steps against the wall
    free = model.abduce([met], batch.episode, np.array([0]))  # nothing of it is known yet
    assert model.imagine(*given, commanded=batch.commanded, evidence=free).proprio[0, -1, 0] > 0.305


def test_what_really_happened_is_what_is_imagined_again(
    tiny: WorldModelConfig, free_task: TaskConfig
) -> None:
    """A wrong model repeats the episode, too: its errors are known, and the real actions repeat them.

    Each member corrects its own errors. A shorter episode in the batch does not disturb the other one.
    """
    law = CommandLaw(free_task)
    episodes = [held_by_a_wall(i, 9.9, steps).traced(law) for i, steps in enumerate((6, 12))]
    trainer = Trainer(tiny, law)
    trainer.fit_statistics(episodes)
    model = trainer.averaged
    with torch.no_grad():
        for member in model.dynamics.members:
            member.linear.bias[:3] = 0.1  # up to 4 mm in every step
    batch = segments(episodes, [(1, 4), (0, 0), (0, 2), (1, 0)], 4)
    given = (batch.first, batch.current, batch.first_proprio, batch.proprio[:, 0], batch.actions)

    def off(evidence: Evidence | None, seed: int) -> float:
        rng = np.random.default_rng(seed)  # draws the members
        imagined = model.imagine(*given, rng, commanded=batch.commanded, evidence=evidence)
        return float(np.abs(imagined.proprio - batch.proprio[:, 1:])[..., :3].max())

    for seed in range(3):
        assert off(None, seed) > 0.004
        assert off(model.abduce(episodes, batch.episode, ALL), seed) < 0.0015

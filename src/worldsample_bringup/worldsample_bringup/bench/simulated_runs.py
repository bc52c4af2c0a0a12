"""Episodes from the simulated cell, for the benchmarks: demonstrations, and what an online run looks like.

The only file here that needs :mod:`a1x_sim`, and nothing of the method imports it.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from a1x_sim.cell import Cell
from a1x_sim.operator import OperatorConfig, ScriptedOperator
from worldsample_core.arm.command_law import CommandLaw
from worldsample_core.observation import clean_action
from worldsample_worldmodel.data.episodes import Episode

Behaviour = Literal["demo", "noisy expert", "biased expert", "wandering", "helped"]
ONLINE: tuple[Behaviour, ...] = ("noisy expert", "biased expert", "wandering", "helped")
"""A policy's rollouts, from nearly solved to nearly random."""


class SimulatedRuns:
    """Makes episodes of a task with the scripted operator and with stand-ins for a learning policy."""

    def __init__(self, task: str, image_size: int = 64) -> None:
        self.cell = Cell(task, image_size)
        self.config = self.cell.config
        self._law = CommandLaw(self.config)
        self._operator = ScriptedOperator(self.cell.task, config=OperatorConfig())

    def episode(self, behaviour: Behaviour, seed: int, number: int = 0) -> Episode:
        """Run one episode. Equal arguments give equal episodes."""
        rng = np.random.default_rng((seed, 7))
        observation = self.cell.reset(seed)
        self._operator.start_episode(seed)
        images, proprio = [observation.images], [observation.proprio]
        actions: list[NDArray[np.float32]] = []
        bias = rng.normal(0.0, 0.35, 7)
        wander = rng.normal(0.0, 0.6, 7)
        takes_over = int(rng.integers(10, 30))
        while len(actions) < self.config.horizon and not self.cell.success:
            state = self.cell.state()
            driven = self._operator.act(state, "demo").action.astype(np.float64)
            wander = 0.9 * wander + np.sqrt(1 - 0.9**2) * rng.normal(0.0, 0.6, 7)
            if behaviour == "noisy expert":
                driven += rng.normal(0.0, 0.35, 7)
            elif behaviour == "biased expert":
                driven = 0.8 * driven + bias + rng.normal(0.0, 0.2, 7)
            elif behaviour == "wandering" or (behaviour == "helped" and len(actions) < takes_over):
                driven = wander + rng.normal(0.0, 0.3, 7)
            action = clean_action(driven, self.config.active_mask)
            observation = self.cell.step(action)
            images.append(observation.images)
            proprio.append(observation.proprio)
            actions.append(action)
        return Episode(
            np.stack(images),
            np.stack(proprio),
            np.stack(actions),
            self.cell.success,
            number,
            behaviour == "demo",
            seed,
        ).traced(self._law)

    def demonstrations(self, count: int, seed: int = 10_000) -> list[Episode]:
        """Episodes driven by the scripted operator."""
        return [self.episode("demo", seed + i, i) for i in range(count)]

    def online(self, count: int, seed: int = 20_000) -> list[Episode]:
        """Episodes of an online run: the behaviours of ``ONLINE`` in turn."""
        return [self.episode(ONLINE[i % len(ONLINE)], seed + i, i) for i in range(count)]

    def replay(
        self, episode: Episode, step: int, actions: NDArray[np.float32]
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.bool_]]:
        """Execute ``actions`` (H, 7) from step ``step`` of a simulated episode: the true counterfactual.

        Resets with the episode's seed, repeats its actions up to ``step``, then executes ``actions``; after a
        success the cell holds still.

        Returns:
            images ``(H, 2, S, S, 3) uint8``, proprio ``(H, 10)``, success ``(H,) bool`` (stays true).
        """
        self.cell.reset(episode.seed)
        for action in episode.actions[:step]:
            self.cell.step(action)
        images, proprio, success = [], [], []
        succeeded = False
        for action in actions:
            observation = self.cell.step(action)
            succeeded = succeeded or self.cell.success
            images.append(observation.images)
            proprio.append(observation.proprio)
            success.append(succeeded)
        return np.stack(images), np.stack(proprio), np.array(success)

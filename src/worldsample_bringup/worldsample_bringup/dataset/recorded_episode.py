"""One recorded episode as arrays, between a run's bags and the formats of others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsample_core.episodes.episode_bag import read_transitions
from worldsample_core.observation import Observation
from worldsample_core.transition import Transition


@dataclass(frozen=True)
class RecordedEpisode:
    """One episode of T control steps: T + 1 observations, T actions.

    Attributes:
        images: ``(T + 1, 2, H, W, 3) uint8`` rgb, side and wrist.
        proprio: ``(T + 1, 10) float32``.
        actions: ``(T, 7) float32`` in [-1, 1].
        rewards: ``(T,) float32``.
        terminated, truncated, success, intervention: ``(T,) bool``.
        period: time of one control step, s.
    """

    images: NDArray[np.uint8]
    proprio: NDArray[np.float32]
    actions: NDArray[np.float32]
    rewards: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    success: NDArray[np.bool_]
    intervention: NDArray[np.bool_]
    period: float = 0.1

    def __len__(self) -> int:
        return len(self.actions)

    def transitions(self, first_seq: int, episode: int, run: str) -> Iterator[Transition]:
        """The control steps, as those of a demonstration."""
        for step in range(len(self)):
            before, after = (
                Observation(self.images[at], self.proprio[at], at * self.period) for at in (step, step + 1)
            )
            yield Transition(
                before,
                self.actions[step],
                float(self.rewards[step]),
                after,
                bool(self.terminated[step]),
                bool(self.truncated[step]),
                bool(self.success[step]),
                bool(self.intervention[step]),
                first_seq + step,
                episode,
                step,
                source="demo",
                run=run,
            ).validate()


def read_episode(bag: Path) -> RecordedEpisode:
    """The episode of one of a run's bags. Raises :class:`DamagedBag`, :class:`InvalidObservation`."""
    steps = read_transitions(bag)
    seen = [*(step.observation for step in steps), steps[-1].next_observation]

    def flags(name: str) -> NDArray[Any]:
        return np.array([getattr(step, name) for step in steps], np.bool_)

    return RecordedEpisode(
        np.stack([observation.images for observation in seen]),
        np.stack([observation.proprio for observation in seen]),
        np.stack([step.action for step in steps]),
        np.array([step.reward for step in steps], np.float32),
        flags("terminated"),
        flags("truncated"),
        flags("success"),
        flags("intervention"),
    )

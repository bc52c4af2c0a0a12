"""Pushes off the path while an operator drives, so that it is also recorded how to come back (DART).

A demonstrator without errors never shows what to do beside the path, and a policy that errs stands still
there. So the commanded translation is pushed at random, for a few steps at a time. What is executed is
recorded as the action, for the critic and the world model; what the operator intended is what is imitated.
Pushes never leave [-1, 1], so all limits of a command hold.

Source: DART, Laskey et al. 2017.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from worldsample_core.disturbance_config import DisturbanceConfig

TRANSLATION = slice(0, 3)


class Disturbance:
    """The pushes of one episode.

    Args:
        config: how often and how hard.
        rate: probability per step that a push begins; 0: never.
        active: ``(7,) bool``, which dimensions of the action the task uses.
        seed: numbers that decide the pushes.
    """

    def __init__(self, config: DisturbanceConfig, rate: float, active: NDArray[np.bool_], *seed: int) -> None:
        self._config, self._rate, self._active = config, rate, active
        self._rng = np.random.default_rng(seed)
        self._left = 0
        self._push = np.zeros(3)

    def __call__(self, intended: NDArray[np.float32]) -> NDArray[np.float32]:
        """The action to execute, ``(7,) float32``, in place of the one that the operator intended."""
        if self._left == 0 and self._rng.random() < self._rate:
            self._begin()
        if self._left == 0:
            return intended
        self._left -= 1
        executed = intended.copy()
        executed[TRANSLATION] = np.clip(executed[TRANSLATION] + self._push, -1.0, 1.0)
        return np.where(self._active, executed, intended).astype(np.float32)

    def _begin(self) -> None:
        config, rng = self._config, self._rng
        self._left = int(rng.integers(config.shortest, config.longest + 1))
        direction = rng.normal(size=3)
        length = rng.uniform(config.weakest, config.strongest)
        self._push = direction * (length / max(1e-9, float(np.linalg.norm(direction))))

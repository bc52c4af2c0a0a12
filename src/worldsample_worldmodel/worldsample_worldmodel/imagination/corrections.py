"""Imagined corrections: pushed off a person's path, and back to it, without a single real step.

A person has shown one path through each layout. The arm is pushed off it in the imagination, as
:mod:`worldsample_core.disturbance_config` does it on the robot, and then steered back along the command law:

    level_t   the path's point nearest to the commanded position c_t, never falling, not past the next key
    pose intended  a_t = (C_aim - c_t) / scale, aim = level_t + 2 but not past the key pose, at most the
    path's pace executed  a_t + push_t, within [-1, 1]

A key pose is where the person's gripper command changes; there the person's own action is taken. Only the
start frame is real; the world model shows what follows. What is intended is cloned. Source: DART (Laskey et
al. 2017) with the pursuit of a path (Coulter 1992) in the person's place.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worldsample_core.observation import GRIPPER
from worldsample_worldmodel.data.episodes import Episode
from worldsample_worldmodel.imagination.correction_config import CorrectionConfig

AHEAD = 2
"""Points of the path that are aimed ahead."""
NEAR_KEY = 0.3
"""Share of a step's length within which a key pose counts as reached."""
WAITING = 0.1
"""Largest translation of an action with which a person waits, for the gripper to close."""
SLOWEST = 0.5
"""Least pace of a correction, as a share of the largest action."""


@dataclass(frozen=True)
class Correction:
    """Actions of one imagined correction of T steps.

    Attributes:
        executed: ``(T, 7) float32`` in [-1, 1], what the world model is told.
        intended: ``(T, 7) float32``, what is to be imitated.
    """

    executed: NDArray[np.float32]
    intended: NDArray[np.float32]


def undisturbed_path(episode: Episode, start: int) -> int:
    """Number of steps from ``start`` on that a person drove in one go and that no push disturbed."""
    length = len(episode)
    driven = np.ones(length, bool) if episode.demo else episode.interventions
    if len(driven) != length:
        return 0
    own = driven & ~(episode.disturbed if len(episode.disturbed) else np.zeros(length, bool))
    stopped = np.flatnonzero(~own[start:])
    return int(stopped[0]) if len(stopped) else length - start


def starts_of_corrections(episode: Episode, config: CorrectionConfig) -> list[int]:
    """Steps of an episode at which a correction may start; none of an episode that failed."""
    if not episode.success or episode.commanded is None:
        return []
    return [s for s in range(len(episode)) if undisturbed_path(episode, s) >= config.path]


def plan_correction(
    episode: Episode,
    start: int,
    scale: NDArray[np.float64],
    active: NDArray[np.bool_],
    rng: np.random.Generator,
    config: CorrectionConfig,
) -> Correction:
    """The actions of a correction that leaves the path of ``episode`` at ``start``.

    Args:
        scale: ``(3,)`` m, what a translation of 1 moves the commanded position by; 0 where inactive.
        active: ``(7,)``, the dimensions that the task uses.
    """
    assert episode.commanded is not None
    end = start + undisturbed_path(episode, start)
    path = episode.commanded.position[start : end + 1]  # (L + 1, 3)
    shown = episode.actions[start:end]
    push = _push(rng, config)
    following = _Pursuit(path, shown, scale)
    executed, intended = [], []
    for step in range(config.horizon):
        wanted = following.action()
        if wanted is None:
            break
        done = wanted.copy()
        if step < len(push):
            done[:3] = np.clip(done[:3] + push[step], -1.0, 1.0)
        done, wanted = np.where(active, done, 0.0), np.where(active, wanted, 0.0)
        following.moved(done, wanted)
        executed.append(done)
        intended.append(wanted)
    return Correction(np.array(executed, np.float32), np.array(intended, np.float32))


def _push(rng: np.random.Generator, config: CorrectionConfig) -> NDArray[np.float64]:
    direction = rng.normal(size=3)
    length = rng.uniform(config.weakest, config.strongest)
    steps = int(rng.integers(config.shortest, config.longest + 1))
    return np.tile(direction * (length / max(1e-9, float(np.linalg.norm(direction)))), (steps, 1))


class _Pursuit:
    """Follows a path of L + 1 commanded positions with the actions of the person who made it."""

    def __init__(
        self, path: NDArray[np.float64], shown: NDArray[np.float32], scale: NDArray[np.float64]
    ) -> None:
        self._path, self._shown = path, shown
        self._moves = scale > 0.0
        self._scale = np.where(self._moves, scale, 1.0)
        changes = np.flatnonzero(np.diff(shown[:, GRIPPER]) != 0.0) + 1
        self._keys = [*changes.tolist(), len(shown)]
        self._level, self._at = 0, path[0].copy()

    @property
    def _key(self) -> int:
        """The next key pose that has not been passed."""
        return next(key for key in self._keys if key >= self._level)

    def action(self) -> NDArray[np.float64] | None:
        """The action of a person here; None where the path has ended."""
        if self._level >= len(self._shown):
            return None
        if self._as_shown():
            return self._shown[self._level].astype(np.float64)
        aim = self._path[min(self._level + AHEAD, self._key)]
        wanted = (aim - self._at) / self._scale * self._moves
        pace = max(SLOWEST, float(np.abs(self._shown[min(self._level, len(self._shown) - 1), :3]).max()))
        wanted *= min(1.0, pace / max(1e-9, float(np.abs(wanted).max())))
        shown = self._shown[max(0, min(self._level, self._key - 1))].astype(np.float64)
        return np.concatenate([wanted, shown[3:]])

    def moved(self, executed: NDArray[np.float64], intended: NDArray[np.float64]) -> None:
        """An action was executed."""
        as_shown, key = self._as_shown(), self._key
        self._at = self._at + executed[:3] * self._scale * self._moves
        if as_shown:
            self._level += 1
            return
        while self._level < key and self._distance(self._level + 1) < self._distance(self._level):
            self._level += 1

    def _as_shown(self) -> bool:
        """At a key pose, and where the person waits, what was shown is done, a step at a time."""
        waits = float(np.abs(self._shown[self._level, :3] * self._moves).max()) < WAITING
        return (self._level == self._key or waits) and self._off(self._level) <= NEAR_KEY

    def _distance(self, point: int) -> float:
        return float(np.linalg.norm(self._path[point] - self._at))

    def _off(self, point: int) -> float:
        """Largest distance from a point of the path along an axis, in steps."""
        return float(np.abs((self._path[point] - self._at) / self._scale * self._moves).max())

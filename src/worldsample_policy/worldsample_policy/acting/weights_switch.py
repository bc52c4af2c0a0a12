"""Decides when the policy takes new weights.

In lockstep it is a dated step, so that a seed repeats; in real time it is at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ReadyWeights:
    """Checked weights. received: s, monotonic; published: s, wall clock (nan where unknown)."""

    version: int
    updates: int
    effective_step: int
    tensors: Any
    received: float
    published: float = float("nan")


class WeightsSwitch:
    """Weights that have arrived and wait for their step.

    In lockstep the learner dates the weights of real step ``m`` to step ``m + lag`` and publishes every
    ``publish_every`` steps, so the policy knows at which steps to expect some. It waits for them there,
    ``patience`` seconds at most, and after waiting in vain no more until weights arrive again: acting never
    waits for a dead learner. Such a step is a lapse: a run with one does not repeat by its seed.

    Attributes:
        version: of the weights in use (0: none yet); updates: of theirs.
        newest: highest version that arrived.
        lapses: lockstep: real steps acted at without the weights dated to them, and returns to weights of
            fewer updates (the learner was started again).
    """

    def __init__(self, lockstep: bool, lag: int, publish_every: int, patience: float = 1.0) -> None:
        self.lockstep, self.lag, self.publish_every, self.patience = lockstep, lag, publish_every, patience
        self.version = self.updates = self.newest = 0
        self.newest_updates = self.lapses = 0
        self._pending: list[ReadyWeights] = []
        self._dated = 0
        self._gave_up = False
        self._waiting_since: float | None = None
        self._lapsed_at = 0
        self._undated_until = 0

    def offer(self, weights: ReadyWeights) -> bool:
        """Take what arrived; False where it is not newer than what is there."""
        if weights.version <= self.newest:
            return False
        self.newest, self.newest_updates = weights.version, weights.updates
        self._pending.append(weights)
        self._dated = max(self._dated, weights.effective_step)
        self._gave_up = False
        return True

    def due(self, real_steps: int) -> ReadyWeights | None:
        """The weights to load before acting at ``real_steps``, once; None: keep the ones in use."""
        ready = [w for w in self._pending if not self.lockstep or w.effective_step <= real_steps]
        if not ready:
            return None
        self._pending = [w for w in self._pending if w.version > ready[-1].version]
        if self.lockstep and not ready[-1].effective_step:
            # The learner has just begun, or goes on from a checkpoint: what it dated before never comes.
            self._undated_until = real_steps + self.lag
            self.lapses += ready[-1].updates < self.updates
        self.version, self.updates = ready[-1].version, ready[-1].updates
        return ready[-1]

    def wait(self, real_steps: int, now: float) -> bool:
        """True if acting at ``real_steps`` should wait for weights dated to it. now: s, monotonic."""
        expected = real_steps > self.lag and (real_steps - self.lag) % self.publish_every == 0
        if not self.lockstep or not expected or self._dated >= real_steps:
            self._waiting_since = None
            return False
        if not self.newest or self._gave_up:
            self._waiting_since = None
            self._lapse(real_steps)
            return False
        if self._waiting_since is None:
            self._waiting_since = now
        if now - self._waiting_since < self.patience:
            return True
        self._gave_up, self._waiting_since = True, None
        self._lapse(real_steps)
        return False

    def _lapse(self, real_steps: int) -> None:
        """Count a real step that goes on without its weights, once."""
        if real_steps > max(self._lapsed_at, self._undated_until):
            self._lapsed_at = real_steps
            self.lapses += 1

"""Regularity of the policy's ticks."""

from __future__ import annotations

import math
from collections import deque

WINDOW = 300
"""Ticks over which rate and jitter are told: half a minute at 10 Hz."""


class TickTiming:
    """Times of control ticks, s, monotonic. period: s between two ticks in real time; None in lockstep."""

    def __init__(self, period: float | None) -> None:
        self.period = period
        self._times: deque[float] = deque(maxlen=WINDOW)
        self._late: deque[float] = deque(maxlen=WINDOW)

    def tick(self, now: float) -> None:
        """A control tick begins."""
        if self._times and self.period is not None:
            self._late.append(abs(now - self._times[-1] - self.period))
        self._times.append(now)

    def pause(self) -> None:
        """The time until the next tick is no control step (a reset, a wait for the learner)."""
        self._times.clear()

    def rate(self) -> float:
        """Ticks per second (0 before the second)."""
        if len(self._times) < 2 or self._times[-1] <= self._times[0]:
            return 0.0
        return (len(self._times) - 1) / (self._times[-1] - self._times[0])

    def jitter_p99_ms(self) -> float:
        """99th percentile of |time between two ticks - period|, ms (0 in lockstep)."""
        if not self._late:
            return 0.0
        ordered = sorted(self._late)
        return 1e3 * ordered[min(len(ordered) - 1, math.ceil(0.99 * len(ordered)) - 1)]

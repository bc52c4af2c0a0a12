"""A clock for patience: it stands still while the process does, as on a suspended laptop."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock


class AwakeClock:
    """Seconds, monotonic. Whoever waits for another process must look at it often.

    After a suspension all processes go on at once, but each finds that a long time has passed; one that was
    waited for has had none of it. So the time between two looks counts ``longest`` s at most.

    Args:
        longest: s. clock: what it follows.
    """

    def __init__(self, longest: float = 0.25, clock: Callable[[], float] = time.monotonic) -> None:
        if longest <= 0.0:
            raise ValueError("longest must be positive")
        self._longest, self._clock = longest, clock
        self._lock = Lock()
        self._looked = self._now = clock()

    def __call__(self) -> float:
        """Now, s. From any thread."""
        with self._lock:
            looked = self._clock()
            self._now += min(max(looked - self._looked, 0.0), self._longest)
            self._looked = looked
            return self._now

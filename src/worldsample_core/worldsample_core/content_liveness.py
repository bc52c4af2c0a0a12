"""Judges by content, not by arrival, whether a source of readings is alive."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class ContentLiveness:
    """A source whose content must change while something that it shows moves.

    A device that has lost its sensor, power or radio often repeats its last reading at the usual rate.
    Whatever keeps still may repeat itself, too; so a repetition counts only against motion that must be seen.

    Args:
        patience: s for which the content may stay the same although it must change.
        travel: motion beyond which it must change, in the unit of ``cause``.
    """

    def __init__(self, patience: float, travel: float) -> None:
        self._patience, self._travel = patience, travel
        self._content: bytes | None = None
        self._origin: NDArray[np.float64] | None = None
        self._changed = self._due = np.inf

    def take(self, content: bytes, now: float) -> bool:
        """Take the content of a reading. now: s, monotonic. Returns whether it differs from the last one."""
        if content == self._content:
            return False
        self._content, self._changed, self._due = content, now, np.inf
        self._origin = None
        return True

    def moved(self, cause: NDArray[np.float64], now: float) -> None:
        """Note where that is which the source must show, ``(n,)``."""
        if self._origin is None or self._origin.shape != cause.shape:
            self._origin = cause.copy()
        elif float(np.abs(cause - self._origin).max()) > self._travel:
            self._due = min(self._due, now)

    def excuse(self, stall: float) -> None:
        """Note that this process did not run for ``stall`` s: readings may be waiting to be heard."""
        self._due += stall

    def frozen(self, now: float) -> float:
        """For how long the same content has been repeated although it had to change, s; 0 if it is alive."""
        return now - self._changed if now - self._due > self._patience else 0.0

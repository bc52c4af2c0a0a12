"""Every line that a person reads while a run goes on, with the time at which it came."""

from __future__ import annotations

import io
import time
from typing import TextIO

WARNINGS = (" WARN ", " ERROR ", " FATAL ", "Stopped early")


class ToldLines(io.TextIOBase):
    """Stands in place of standard output, and writes on to a log."""

    def __init__(self, log: TextIO) -> None:
        self._log, self._partial = log, ""
        self.lines: list[tuple[float, str]] = []

    def write(self, text: str) -> int:
        """Take text; whole lines are kept with the time."""
        self._log.write(text)
        *lines, self._partial = (self._partial + text).split("\n")
        now = time.monotonic()
        self.lines += [(now, line.rstrip()) for line in lines if line.strip()]
        return len(text)

    def flush(self) -> None:
        """Write on what the log holds back."""
        self._log.flush()

    def warnings(self, since: float) -> list[str]:
        """Warnings and errors that came since then, each once."""
        said = [line for at, line in self.lines if at >= since and any(word in line for word in WARNINGS)]
        return list(dict.fromkeys(said))

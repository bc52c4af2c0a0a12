"""One arm, one run: whoever drives the arm decides who may, however late discovery makes others visible."""

from __future__ import annotations


class SingleWriter:
    """Remembers the run that drives the arm; another one gets it only after ``silence`` s without a sign.

    The arm's node asks :meth:`refuses` at every reset and calls :meth:`seen` at every command.
    """

    def __init__(self, silence: float = 5.0) -> None:
        self.silence = silence
        self.run = ""
        self._seen_at = 0.0

    def refuses(self, run: str, now: float) -> str:
        """Why ``run`` may not drive the arm at time ``now`` (s); "" where it may, and then it does."""
        if self.run not in ("", run) and now - self._seen_at < self.silence:
            return f"the run {self.run} drives this arm"
        self.run, self._seen_at = run, now
        return ""

    def seen(self, now: float) -> None:
        """The run that drives the arm has sent a command."""
        self._seen_at = now

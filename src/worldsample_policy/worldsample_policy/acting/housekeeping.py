"""Housekeeping of a run, some times a second: signs of life, what comes next, status, end."""

from __future__ import annotations

from collections.abc import Callable

from worldsample_core.command_name import command_name
from worldsample_core.node.stopping import RunFailed
from worldsample_policy.acting.policy_loop import PolicyLoop
from worldsample_policy.acting.watchdogs import CellWatch, LearnerReport

STATUS_IN_EPISODE = 1.0
"""s between two statuses while an episode runs."""
STATUS_BETWEEN = 0.5
"""s between two statuses while something is waited for."""


class Housekeeping:
    """Moves a run on between its control steps.

    Args:
        clock: s, monotonic.
        linger: s from the end of the run until the node may go: everybody hears of the end meanwhile.
        publish_status: publishes the policy's status and calls :meth:`status_published`.
    """

    def __init__(
        self,
        loop: PolicyLoop,
        cell: CellWatch,
        clock: Callable[[], float],
        linger: float,
        publish_status: Callable[[], None],
    ) -> None:
        self._loop, self._cell, self._clock = loop, cell, clock
        self._linger, self._publish_status = linger, publish_status
        self._learner: LearnerReport | None = None
        self._status_at = 0.0
        self._done_at: float | None = None

    def hear_learner(self, report: LearnerReport | None) -> None:
        """Take note of the learner's last report, where it shows progress; None before the first one."""
        if report is None or report == self._learner:
            return
        self._learner = report
        now = self._clock()
        self._cell.alive(now)  # in lockstep the cell may be waiting for the learner
        self._loop.on_learner(report.completed_steps, report.activity, now)

    def look(self, fault: str) -> None:
        """Do what is due.

        Args:
            fault: of the arm, in words; "" for none.

        Raises:
            RunFailed: the cell is silent, or the run cannot go on. StorageError, ConfigError.
        """
        now = self._clock()
        running = self._loop.state == "running"
        if running:
            self._cell.check(now, fault)
        else:
            self.advance()
        if now - self._status_at >= (STATUS_IN_EPISODE if running else STATUS_BETWEEN):
            self._publish_status()

    def advance(self) -> None:
        """Begin what comes next; at the end of the run, have everything on disk and say so."""
        if self._done_at is not None:
            return
        self._loop.advance(self._clock())
        if self._loop.state == "done":
            self._done_at = self._clock()
            self._loop.store.drain()
            self._loop.store.check()
            self._publish_status()

    def status_published(self) -> None:
        """A status has just been published."""
        self._status_at = self._clock()

    @property
    def complete(self) -> bool:
        """True if the run is done and everybody has had time to hear of it."""
        return self._done_at is not None and self._clock() - self._done_at > self._linger

    def missing_at_end(self) -> RunFailed | None:
        """The failure of a complete run whose learner wrote no last checkpoint; None where it did."""
        if self._loop.checkpointed:
            return None
        return RunFailed(
            "the run is complete, but its learner wrote no last checkpoint",
            f"look at the learner's log; `{command_name()} train --resume` writes it",
        )

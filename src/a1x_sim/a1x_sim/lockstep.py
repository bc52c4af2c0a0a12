"""Pacing of virtual time: acting is at most ``lag`` real steps ahead of learning; it never waits for ever."""

from __future__ import annotations

from collections.abc import Hashable


class LearnerPacing:
    """Decides whether the tick after real (training) step n may be published.

    A tick is held until the learner has completed n - lag steps, unless the learner's status has not changed
    for ``patience`` seconds of wall time: a stalled learner costs fresh weights, never a control tick.
    Counts of a resumed run start where the policy says.
    """

    def __init__(self, lag: int, patience: float) -> None:
        self._lag = lag
        self._patience = patience
        self._steps = 0
        self._offset = 0
        self._completed = 0
        self._finished = False
        self._status: Hashable = None
        self._changed_at: float | None = None

    @property
    def real_steps(self) -> int:
        """Training steps of the run so far."""
        return self._steps + self._offset

    def step_done(self) -> None:
        """A training step has been simulated."""
        self._steps += 1

    def policy_reports(self, real_steps: int) -> None:
        """The policy's count: perhaps late, never ahead of ours; a larger one is a resumed run's start."""
        self._offset = max(self._offset, real_steps - self._steps)

    def learner_reports(self, completed_steps: int, finished: bool, status: Hashable, now: float) -> None:
        """A status of the learner: ``status`` is what must change for the learner to count as alive."""
        self._completed, self._finished = completed_steps, finished
        if status != self._status:
            self._status, self._changed_at = status, now

    def may_go_on(self, now: float) -> bool:
        """True if the next tick may be published at wall time ``now``, s."""
        if self._finished or self._completed >= self.real_steps - self._lag:
            return True
        if self._changed_at is None:  # no learner yet: give it the same patience from the first need on
            self._changed_at = now
        return now - self._changed_at > self._patience

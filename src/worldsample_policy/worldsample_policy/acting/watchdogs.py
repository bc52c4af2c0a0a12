"""Signs of life: of the learner, which is waited for, and of the cell, without which the run ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from worldsample_core.node.inherited_environment import also
from worldsample_core.node.stopping import RunFailed

TYPES_CHECKED_EVERY = 2.0
"""s of silence between two looks whether somebody publishes a topic with another type."""


@dataclass(frozen=True)
class LearnerReport:
    """Progress of the learner, as a status tells it; two equal reports show none.

    Attributes:
        activity: what it is doing, in words for people.
        completed_steps: real steps that it is done with.
        next_seq: number of the transition that it takes next.
    """

    state: int
    activity: str
    updates: int
    completed_steps: int
    next_seq: int


class ObservedCell(Protocol):
    """The cell, as far as its silence can be explained."""

    def explain_missing(self) -> str:
        """For people: which parts of an observation are missing, and why."""

    def check_types(self) -> None:
        """Raises :class:`RunFailed` where somebody publishes one of the topics with another type."""


class CellWatch:
    """Ends a run whose cell has fallen silent in the middle of an episode.

    Args:
        start_timeout: s until the first observation must be there; sensor_timeout: s without one later on.
        now: s, monotonic.
    """

    def __init__(self, cell: ObservedCell, start_timeout: float, sensor_timeout: float, now: float) -> None:
        self._cell = cell
        self._start_timeout, self._sensor_timeout = start_timeout, sensor_timeout
        self._alive_at = now
        self._types_checked_at = 0.0
        self._observed = False

    def alive(self, now: float) -> None:
        """Something has shown that the cell need not have sent an observation before ``now``."""
        self._alive_at = now

    def observed(self, now: float) -> None:
        """An observation has arrived."""
        self._observed, self._alive_at = True, now

    def check(self, now: float, fault: str) -> None:
        """Raises :class:`RunFailed` where no observation has come for too long.

        Args:
            fault: of the arm, in words; "" for none.
        """
        silent = now - self._alive_at
        if silent > TYPES_CHECKED_EVERY and now - self._types_checked_at > TYPES_CHECKED_EVERY:
            self._types_checked_at = now
            self._cell.check_types()
        if silent > (self._sensor_timeout if self._observed else self._start_timeout):
            raise RunFailed(
                fault or f"no observation for {silent:.0f} s: {self._cell.explain_missing()}",
                "look at that node's log; is it running, on the same ROS_DOMAIN_ID, with these topic names?"
                + also(),
            )

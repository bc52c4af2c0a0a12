"""Puts transitions into order, each exactly once, despite loss, duplicates and restarts."""

from __future__ import annotations

from collections.abc import Sequence

from worldsample_core.transition import Transition

MAX_WAITING = 2000
"""Transitions ahead of a gap that are kept; later ones are fetched again with the gap."""


class TransitionIntake:
    """Takes live and fetched transitions, and hands them out in order of ``seq``.

    Attributes:
        next_seq: of the next transition to be handed out: all below were.
        known_end: at least so many transitions exist (one more than the highest seq heard of).
        duplicates: ignored because their seq was there already.
        fetched: handed in by :meth:`fetched_from`, and new.
        lost: seqs that the run's episodes do not have any more.
    """

    def __init__(self) -> None:
        self.next_seq = 0
        self.known_end = 0
        self.duplicates = 0
        self.fetched = 0
        self.lost: list[int] = []
        self._waiting: dict[int, Transition] = {}

    def __len__(self) -> int:
        """Number of transitions that wait, in order or ahead of a gap."""
        return len(self._waiting)

    def offer(self, transition: Transition) -> bool:
        """Take a live transition; False if it is a duplicate."""
        self.known_end = max(self.known_end, transition.seq + 1)
        return self._keep(transition)

    def _keep(self, transition: Transition) -> bool:
        if transition.seq < self.next_seq or transition.seq in self._waiting:
            self.duplicates += 1
            return False
        if len(self._waiting) < MAX_WAITING or transition.seq == self.next_seq:
            self._waiting[transition.seq] = transition
        return True

    def heard_of(self, next_seq: int) -> None:
        """Note that the run will give the next transition the number ``next_seq``."""
        self.known_end = max(self.known_end, next_seq)

    def gap(self) -> int | None:
        """The first seq that must be fetched, or None if no known transition is missing."""
        if self.next_seq in self._waiting or self.next_seq >= self.known_end:
            return None
        return self.next_seq

    def fetched_from(self, from_seq: int, transitions: Sequence[Transition], run_next_seq: int) -> None:
        """Take the answer to a fetch: the transitions on disk from ``from_seq`` on, in order and complete.

        If the first has a greater seq than ``from_seq``, those between are lost (a damaged episode) and are
        not waited for any longer.
        """
        self.heard_of(run_next_seq)
        if not transitions and run_next_seq <= from_seq:  # the policy itself says that there is nothing there
            self.known_end = max(run_next_seq, self.next_seq, *(seq + 1 for seq in self._waiting))
        end = transitions[0].seq if transitions else run_next_seq
        if from_seq <= self.next_seq < end:
            missing = [seq for seq in range(self.next_seq, end) if seq not in self._waiting]
            if len(missing) == end - self.next_seq:
                self.lost += missing
                self.next_seq = end
        for transition in transitions:
            if transition.seq >= self.next_seq and transition.seq not in self._waiting:
                self.fetched += 1
                self._keep(transition)

    def take(self) -> Transition | None:
        """Remove and return the next transition in order; None if it has not arrived."""
        transition = self._waiting.pop(self.next_seq, None)
        if transition is not None:
            self.next_seq += 1
        return transition

    def peek(self) -> Transition | None:
        """The transition that :meth:`take` would return."""
        return self._waiting.get(self.next_seq)

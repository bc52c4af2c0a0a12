"""Holds generation back while a slow learner still has much to read."""

from __future__ import annotations


class Backpressure:
    """Counts the segments under way from all world models of a run to the learner.

    A segment is under way from its publication until the learner has accepted or refused it.

    Where nobody says what the learner takes (no Policy-Paced Learning), nothing is held back; the rate of
    generation is bounded by the real steps all the same.

    Args:
        limit: segments under way above which generation stops.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.published = 0
        self._taken = 0
        self._lead: int | None = None
        self._others: dict[str, int] = {}

    def sent(self) -> None:
        """A segment has been published here."""
        self.published += 1

    def others_sent(self, publisher: str, segments: int) -> None:
        """Another world model's count; what it had published when it was first heard of is long taken."""
        before = self._others.get(publisher, segments)
        self._others[publisher] = segments
        self.published += max(0, segments - before)

    def learner_took(self, segments: int) -> None:
        """Take the learner's count of segments, accepted and refused, from all publishers.

        The comparison starts again if the count falls (a restarted learner) or is ahead of ours (a publisher
        that was not heard of yet).
        """
        if self._lead is None or segments < self._taken or segments > self._lead + self.published:
            self._lead = segments - self.published
        self._taken = segments

    @property
    def under_way(self) -> int:
        """Segments; 0 where nobody says."""
        return 0 if self._lead is None else self._lead + self.published - self._taken

    @property
    def holds(self) -> bool:
        """True if nothing should be generated for now."""
        return self.under_way > self.limit

"""Whether a slow learner still has so much to read that nothing should be generated for it."""

from __future__ import annotations


class Backpressure:
    """Counts segments under way: published by any world model of the run, and not yet taken (accepted or
    refused) by the learner.

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
        """The learner's count, accepted and refused, from all publishers. One that falls (a restarted
        learner), or that runs ahead of ours (a publisher not heard of yet), starts the comparison again."""
        if self._lead is None or segments < self._taken or segments > self._lead + self.published:
            self._lead = segments - self.published
        self._taken = segments

    @property
    def under_way(self) -> int:
        """Segments; 0 where nobody says."""
        return 0 if self._lead is None else self._lead + self.published - self._taken

    @property
    def holds(self) -> bool:
        """Whether to generate nothing for now."""
        return self.under_way > self.limit

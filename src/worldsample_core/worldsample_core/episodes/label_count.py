"""Number of labelled frames, of success and of failure, in a recording."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from worldsample_core.transition import EpisodeSummary


@dataclass(frozen=True)
class LabelCount:
    """Number of labelled frames of each kind."""

    successes: int = 0
    failures: int = 0

    def plus(self, steps: int, successes: float) -> LabelCount:
        """The count with one more episode of ``steps`` frames; ``successes`` of them show a success."""
        shown = round(successes)
        return LabelCount(self.successes + shown, self.failures + steps - shown)

    def complete(self, wanted: int) -> bool:
        """True if there are at least ``wanted`` frames of each kind."""
        return min(self.successes, self.failures) >= wanted

    def in_words(self, wanted: int) -> str:
        """The count as text for people."""
        return f"successes {self.successes}/{wanted}, failures {self.failures}/{wanted}"


def is_kept(summary: EpisodeSummary) -> bool:
    """True for a labelled episode that the person kept: neither discarded nor interrupted."""
    return summary.kind == "label" and not summary.aborted and summary.steps > 0


def label_count(episodes: Iterable[EpisodeSummary]) -> LabelCount:
    """Count the frames of all kept episodes."""
    count = LabelCount()
    for summary in filter(is_kept, episodes):
        count = count.plus(summary.steps, summary.episode_return)
    return count

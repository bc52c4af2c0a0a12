"""How many frames of success and of failure a recording of labels holds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from worldsample_core.transition import EpisodeSummary


@dataclass(frozen=True)
class LabelCount:
    """Labelled frames."""

    successes: int = 0
    failures: int = 0

    def plus(self, steps: int, successes: float) -> LabelCount:
        """With an episode of ``steps`` frames, of which ``successes`` show one (its return)."""
        shown = round(successes)
        return LabelCount(self.successes + shown, self.failures + steps - shown)

    def complete(self, wanted: int) -> bool:
        """Whether there are as many of each as wanted."""
        return min(self.successes, self.failures) >= wanted

    def in_words(self, wanted: int) -> str:
        """For people."""
        return f"successes {self.successes}/{wanted}, failures {self.failures}/{wanted}"


def is_kept(summary: EpisodeSummary) -> bool:
    """Whether it is an episode of labels that the person kept, neither discarded nor interrupted."""
    return summary.kind == "label" and not summary.aborted and summary.steps > 0


def label_count(episodes: Iterable[EpisodeSummary]) -> LabelCount:
    """Over the kept ones."""
    count = LabelCount()
    for summary in filter(is_kept, episodes):
        count = count.plus(summary.steps, summary.episode_return)
    return count

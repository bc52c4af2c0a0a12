"""Numbers of episodes and steps that a run has given away: damage must not make it use them a second time."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from zlib import crc32

from worldsample_core.episodes.journal import explain
from worldsample_core.transition import EpisodeSummary

FILE = ".numbering"
LIMIT = 1 << 53
"""Numbers are below it: a larger one is damage."""


@dataclass(frozen=True)
class Numbering:
    """The next number of a step (seq) and of an episode."""

    next_seq: int = 0
    next_episode: int = 0

    def above(self, next_seq: int, next_episode: int) -> Numbering:
        """The same, at least so high."""
        return Numbering(max(self.next_seq, next_seq), max(self.next_episode, next_episode))


def read_numbering(folder: Path) -> Numbering:
    """The numbers kept in an ``episodes`` folder; zeros where nothing was, or where it is damaged."""
    try:
        text, _, checksum = (folder / FILE).read_text().rpartition(" ")
        numbers = Numbering(**json.loads(text))
        intact = int(checksum) == crc32(text.encode())
        if intact and all(0 <= value < LIMIT for value in (numbers.next_seq, numbers.next_episode)):
            return numbers
    except (OSError, ValueError, TypeError, RecursionError):
        pass
    return Numbering()


def keep_numbering(folder: Path, numbers: Numbering) -> None:
    """Remember what is given away. Raises :class:`worldsample_core.episodes.journal.StorageError`."""
    text = json.dumps(asdict(numbers))
    temporary = folder / f"{FILE}.part"
    try:
        temporary.write_text(f"{text} {crc32(text.encode())}")
        os.replace(temporary, folder / FILE)
    except OSError as error:
        raise explain(error, folder / FILE) from error


def missing_numbers(
    episodes: Sequence[EpisodeSummary], next_seq: int, known: Collection[int] = ()
) -> Iterator[str]:
    """Gaps in the numbers of the steps, in words for people.

    Args:
        episodes: in order. next_seq: of the step that comes next.
        known: episodes whose loss was told already.
    """
    expected, before = 0, -1
    for summary in episodes:
        told = any(before < episode < summary.episode for episode in known)
        if summary.first_seq > expected and not told:
            yield (
                f"steps {expected} to {summary.first_seq - 1} are missing: the bags between episode {before} "
                f"and episode {summary.episode} were removed"
            )
        elif summary.first_seq < expected:
            yield f"episode {summary.episode} has steps from {summary.first_seq} on, which are there already"
        expected, before = summary.first_seq + summary.steps, summary.episode
    if next_seq > expected and not any(episode > before for episode in known):
        yield f"steps {expected} to {next_seq - 1}, after episode {before}, are missing"

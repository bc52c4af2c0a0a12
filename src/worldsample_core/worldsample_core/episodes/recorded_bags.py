"""The bags of another recording, as a run would mend its own: lost metadata are read from the data.

Nothing is written: the recording belongs to somebody else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from worldsample_core.command_name import command_name
from worldsample_core.config import ConfigError
from worldsample_core.episodes.episode_bag import (
    DamagedBag,
    check_bag,
    read_metadata,
    read_transitions,
    true_summary,
)
from worldsample_core.episodes.episode_store import find_bags
from worldsample_core.observation import InvalidObservation
from worldsample_core.transition import EpisodeKind, EpisodeSummary

LEROBOT = "meta/info.json"
"""File that every LeRobotDataset has."""


@dataclass(frozen=True)
class RecordedBag:
    """One whole episode.

    Attributes:
        path: of the bag.
        custom: the further strings of its metadata: task, image_size; without the task where they are lost.
    """

    path: Path
    summary: EpisodeSummary
    custom: dict[str, str]


def recorded_bags(
    folder: Path, kind: EpisodeKind | None = None, told: Callable[[str], object] = lambda _: None
) -> list[RecordedBag]:
    """The whole episodes of a run folder, or of its ``episodes`` folder, by number.

    Args:
        kind: only these; None: all.
        told: gets a sentence for each bag that was mended, or is left out because its data are damaged.

    Raises:
        ConfigError: the folder is of another format.
    """
    refuse_foreign(folder)
    return list(_whole(folder, kind, told))


def _whole(folder: Path, kind: EpisodeKind | None, told: Callable[[str], object]) -> Iterator[RecordedBag]:
    for path in find_bags(folder):
        try:
            bag = read_bag(path, kind, told)
        except DamagedBag as problem:
            verify = f"{command_name()} verify {quote(str(folder))}"
            told(f"{problem}; it is left out (`{verify}` looks at all of them)")
            continue
        if kind in (None, bag.summary.kind):
            yield bag


def read_bag(
    path: Path, kind: EpisodeKind | None = None, told: Callable[[str], object] = lambda _: None
) -> RecordedBag:
    """One episode, its data verified where it is of this kind. Raises :class:`DamagedBag`."""
    try:
        summary, custom = read_metadata(path)
        if kind in (None, summary.kind):
            check_bag(path)
        return RecordedBag(path, summary, custom)
    except DamagedBag as problem:
        try:
            transitions = read_transitions(path)
            summary = true_summary(path, transitions)
        except (DamagedBag, InvalidObservation):
            raise problem from None
        told(f"{problem}; what they said is read from its data file")
        return RecordedBag(path, summary, {"image_size": str(transitions[0].observation.size[0])})


def refuse_foreign(folder: Path) -> None:
    """Raises :class:`ConfigError` where the folder is no run's, but of a format that can be imported."""
    if find_bags(folder):
        return
    if (folder / LEROBOT).is_file():
        said, option = "is a LeRobotDataset", "--lerobot"
    elif (folder / "metadata.yaml").is_file() or any(folder.glob("*.mcap")) or any(folder.glob("*.db3")):
        said, option = "is a rosbag2 recording", "--bag"
    else:
        return
    raise ConfigError(
        f"{folder} {said}, no run folder: make one of it with\n"
        f"  {command_name()} dataset import {option} {quote(str(folder))} --task TASK --out DIR"
    )

"""The episodes of a history, compared with those on disk: what was never recorded does not count."""

from __future__ import annotations

import re

from worldsample_bringup.run.history import History
from worldsample_bringup.run.run_folder import RunFolder

_NUMBER = re.compile(r"(?:episode_)?(\d{6,})")
"""Begin of the name of a bag or a journal."""


def recorded_numbers(folder: RunFolder) -> set[int]:
    """Numbers of all episodes that left something on disk, damaged ones included."""
    places = [folder.episodes, folder.episodes / "damaged"]
    names = [path.name for place in places if place.is_dir() for path in place.iterdir()]
    return {int(match[1]) for name in names if (match := _NUMBER.match(name))}


def drop_unrecorded(folder: RunFolder, history: History) -> int:
    """Take episodes out of the history that have no bag; returns their number.

    A folder without any bag is one of another computer, or an exported policy: nothing can be compared there.
    """
    recorded = recorded_numbers(folder)
    if not recorded:
        return 0
    dropped = 0
    for episodes in (history.train, history.demos, history.labels):
        for record in list(episodes):
            path = str(record.get("path") or "")
            if record["episode"] not in recorded and not (path and (folder.path / path).is_dir()):
                history.drop(record)
                dropped += 1
    return dropped

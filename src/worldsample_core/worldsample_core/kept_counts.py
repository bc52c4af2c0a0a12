"""Counts that a process keeps for the one after it: a small file with a checksum, and a copy of it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from zlib import crc32

LIMIT = 1 << 53
"""Counts are below it: a larger one is damage."""
_MARK = " crc32:"


def keep_counts(path: Path, counts: Mapping[str, int]) -> None:
    """Write counts to ``path``, and then to its copy, each at once or not at all. Raises OSError."""
    text = json.dumps(dict(counts))
    for place in (path, copy_of(path)):
        temporary = place.with_name(f".{place.name}.part")
        temporary.write_text(f"{text}{_MARK}{crc32(text.encode())}")
        os.replace(temporary, place)


def read_counts(path: Path, names: Iterable[str]) -> dict[str, int] | None:
    """The counts of these names; of the copy where the file is missing or damaged, None where both are."""
    names = tuple(names)
    for place in (path, copy_of(path)):
        if (counts := whole_counts(place, names)) is not None:
            return counts
    return None


def whole_counts(path: Path, names: Iterable[str]) -> dict[str, int] | None:
    """The counts of one file; None where it is missing or damaged.

    Files of 0.1.0 are read, too: JSON, or a single number, without a checksum.
    """
    try:
        text, mark, checksum = path.read_text(encoding="utf-8").rpartition(_MARK)
        if mark and int(checksum) != crc32(text.encode()):
            return None
        values = json.loads(text if mark else checksum)
        values = values if isinstance(values, dict) else dict.fromkeys(names, values)
        counts = {name: values[name] for name in names}
    except (OSError, ValueError, KeyError, RecursionError):
        return None
    good = all(type(value) is int and 0 <= value < LIMIT for value in counts.values())
    return counts if good else None


def copy_of(path: Path) -> Path:
    """Path of the copy of a file of counts."""
    return path.with_name(f"{path.name}.copy")

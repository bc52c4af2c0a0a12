"""One line of ``metrics.jsonl``, checked: what is no record of a run is left out, never believed."""

from __future__ import annotations

import json
import math
import re
from typing import Any

Record = dict[str, Any]

MAX_LINE = 65_536
"""Bytes; a longer line is damage."""
LIMIT = 1 << 62
"""Counters are below it."""
WORDS = frozenset(
    ("kind", "episode_kind", "state", "phase", "detail", "publisher", "utc", "git_revision", "path")
)
"""Fields that are text; all others are numbers, true or false, or null (a figure that was not a number)."""
EPISODE_KINDS = ("train", "demo", "label", "eval")
COUNTS = ("episode", "steps", "intervention_steps", "real_steps")
REQUIRED: dict[str, tuple[str, ...]] = {
    "episode": ("episode_kind", *COUNTS, "return", "success", "aborted"),
    "start": ("utc",),
    "learner": ("updates", "real_steps"),
    "policy": ("real_steps",),
}
"""Fields that a record of a kind cannot do without."""
_BAG = re.compile(r"(episodes/episode_\d{6,12})?$")


def read_record(line: bytes | str) -> Record | None:
    """The record in a line; None where it is damaged, or none that a run writes."""
    if len(line) > MAX_LINE:
        return None
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and is_record(record) else None


def is_record(record: Record) -> bool:
    """True if every field has a value that can stand there."""
    kind = record.get("kind")
    if not isinstance(kind, str) or not all(_fits(str(name), value) for name, value in record.items()):
        return False
    if not isinstance(record.get("t", 0.0), (int, float)) or record.get("t", 0.0) < 0:
        return False
    required = REQUIRED.get(kind, ())
    if any(name not in record for name in required):
        return False
    if any(not _is_count(record[name]) for name in ("updates", *COUNTS) if name in required):
        return False
    return kind != "episode" or _is_episode(record)


def _fits(name: str, value: Any) -> bool:
    if name in WORDS:
        return isinstance(value, str)
    if value is None or isinstance(value, bool):
        return name != "t"
    if isinstance(value, int):
        return abs(value) < LIMIT * 4
    return isinstance(value, float) and math.isfinite(value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < LIMIT


def _is_episode(record: Record) -> bool:
    flags = all(isinstance(record[name], bool) for name in ("success", "aborted"))
    known = record["episode_kind"] in EPISODE_KINDS and _BAG.match(record.get("path", "")) is not None
    return flags and known and isinstance(record["return"], (int, float))

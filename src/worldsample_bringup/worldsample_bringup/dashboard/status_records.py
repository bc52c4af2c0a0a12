"""Status messages as records of plain fields, for ``metrics.jsonl`` and the live line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worldsample_bringup.run.history import Record
from worldsample_msgs.msg import LearnerStatus, PacingStatus, PolicyStatus, WorldModelStatus

PHASES = ("STARTING", "DEMO", "TRAIN", "EVAL", "DONE", "FAILED", "LABEL")
LEARNER_STATES = ("WAITING", "ADAPTING", "TRAINING", "FAILED", "DONE")
WORLD_STATES = ("WAITING", "ADAPTING", "GENERATING", "FAILED")


def words(message_type: Any, names: tuple[str, ...]) -> dict[int, str]:
    """Words for the numbers of an enumeration in a message."""
    return {int(getattr(message_type, name)): name.lower() for name in names}


STATUSES: dict[str, tuple[str, Any, Mapping[str, Mapping[int, str]]]] = {
    "policy": ("policy/status", PolicyStatus, {"phase": words(PolicyStatus, PHASES)}),
    "learner": ("learner/status", LearnerStatus, {"state": words(LearnerStatus, LEARNER_STATES)}),
    "pacing": ("learner/pacing", PacingStatus, {}),
    "worldmodel": (
        "worldmodel/status",
        WorldModelStatus,
        {"state": words(WorldModelStatus, WORLD_STATES)},
    ),
}
"""Kind of record: topic, message, words for its enumerations."""


def to_record(message: Any, names: Mapping[str, Mapping[int, str]]) -> Record:
    """The plain fields of a status message; ``names`` gives words to the numbers of its enumerations."""
    record: Record = {}
    for field in message.get_fields_and_field_types():
        value = getattr(message, field)
        if field in names:
            record[field] = names[field].get(int(value), str(value))
        elif field != "run" and isinstance(value, (bool, int, float, str)):
            record[field] = value
    return record

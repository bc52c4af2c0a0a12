"""``summary.json``, checked: damage in it is never believed, because the file can be written again."""

from __future__ import annotations

import json
import math
from typing import Any

WORDS = ("task", "method", "checkpoint", "git_revision")
FLAGS = ("finished", "exported")
COUNTS = (
    *("seed", "real_steps", "synthetic_transitions", "episodes", "eval_episodes", "lockstep_lapses"),
    *("demo_episodes", "demo_successes", "demo_steps", "label_successes", "label_failures"),
)
FIGURES = ("eval_success_rate", "intervention_rate", "psnr", "ssim", "wall_seconds")
LIMIT = 1 << 62


def read_summary_text(text: bytes) -> dict[str, Any]:
    """The values of a ``summary.json``.

    Raises:
        ValueError: it is damaged: no JSON, or a value that cannot stand there.
    """
    try:
        values = json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(values, dict):
        raise ValueError("it is no mapping")
    for name, value in values.items():
        if not _fits(name, value):
            raise ValueError(f"{name} is {str(value)[:80]!r}")
    if values.get("eval_success_rate") is not None and values.get("eval_episodes") is None:
        raise ValueError("eval_episodes is missing")
    return values


def _fits(name: str, value: Any) -> bool:
    if name in FLAGS:
        return isinstance(value, bool)
    if name == "eval_history":
        return isinstance(value, list) and all(_is_evaluation(each) for each in value)
    if value is None or name not in (*WORDS, *COUNTS, *FIGURES, "versions"):
        return True
    if name in WORDS:
        return isinstance(value, str)
    if name == "versions":
        return isinstance(value, dict)
    if name in COUNTS:
        return _is_number(value) and isinstance(value, int) and 0 <= value < LIMIT
    return _is_number(value)


def _is_evaluation(value: Any) -> bool:
    """True for [real steps, episodes, success rate]."""
    return isinstance(value, list) and len(value) == 3 and all(_is_number(part) for part in value)


def _is_number(value: Any) -> bool:
    whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) < LIMIT
    return whole or (isinstance(value, float) and math.isfinite(value))

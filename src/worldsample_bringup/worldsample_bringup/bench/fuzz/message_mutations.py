"""Mutations of ROS messages field by field: extreme numbers, other lengths, other words."""

from __future__ import annotations

import math
import re
from random import Random
from typing import Any

import numpy as np

FLOATS = (math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, -1.0, 1.1, 999.0, 1e4, 1e30, -1e30, 3.4e38, 1e-45)
TEXTS = (
    "",
    "a",
    "x" * 64,
    "x" * 100_000,
    "../../etc/passwd",
    "\n",
    "é",
    "[" * 100_000,
    "{}",
    "null",
    "1e999",
)
LENGTHS = (0, 1, 2, 3, 7, 8, 255, 256, 257, 768, 1000, 65_535, 65_536)
_ARRAY = re.compile(r"(?P<of>[^\[]+)\[(?P<count>\d+)\]|sequence<(?P<element>[^,>]+)(?:, \d+)?>")
_INTEGER = re.compile(r"(u?)int(\d+)")


def spoil(message: Any, dice: Random) -> None:
    """Change a field of a message, or one of a message in it, to another value of its type.

    Everything that a publisher can send is possible, nothing else.
    """
    name, kind = dice.choice(list(message.get_fields_and_field_types().items()))
    value = getattr(message, name)
    if hasattr(value, "get_fields_and_field_types"):
        spoil(value, dice)
    else:
        setattr(message, name, _another(kind, value, dice))


def _another(kind: str, value: Any, dice: Random) -> Any:
    array = _ARRAY.fullmatch(kind)
    if array is None:
        return _scalar(kind, dice)
    if array["count"] is not None:  # its length is fixed on the wire
        changed = np.array(value)
        changed[dice.randrange(len(changed))] = _scalar(array["of"], dice)
        return changed
    return _sequence(array["element"], value, dice)


def _sequence(kind: str, value: Any, dice: Random) -> Any:
    values = list(value)
    if values and dice.random() < 0.4:
        values[dice.randrange(len(values))] = _scalar(kind, dice)
        return values
    length = dice.choice((*LENGTHS, max(0, len(values) - 1), len(values) + 1, 2 * len(values)))
    first = values[0] if values else _scalar(kind, dice)
    return (values + [first] * length)[:length]


def _scalar(kind: str, dice: Random) -> Any:
    if kind == "boolean":
        return dice.random() < 0.5
    if kind in ("float", "double"):
        return dice.choice(FLOATS)
    if kind.startswith("string"):
        bound = re.fullmatch(r"string<(\d+)>", kind)
        return dice.choice(TEXTS)[: int(bound[1]) if bound else None]
    integer = _INTEGER.fullmatch(kind)
    bits = int(integer[2]) if integer else 8  # octet
    low, high = (
        (0, (1 << bits) - 1) if integer is None or integer[1] else (-(1 << bits - 1), (1 << bits - 1) - 1)
    )
    chosen = dice.choice((low, low + 1, 0, 1, 2, 16, 17, 255, 1 << 16, 1 << 31, 1 << 53, high - 1, high))
    return min(max(chosen, low), high)

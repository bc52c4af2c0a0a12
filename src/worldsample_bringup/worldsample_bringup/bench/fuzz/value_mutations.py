"""Mutations of plain values: mappings, lists and scalars, as configurations and counters are made of."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from random import Random
from typing import Any

DEEP = 100_000
"""Levels of brackets in a text that no parser should follow."""

SCALARS: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 1 << 31, 1 << 53, (1 << 63) - 1, 1 << 63, 1 << 64, -(1 << 63), 10**400),
    *(0.5, -0.0, 1e-320, 1e308, -1e308, math.nan, math.inf, -math.inf),
    *("", "a", "nan", "1e999", "-1", "0x10", "~", "../../etc/passwd", "\0", "\ud800", "é", "x" * 5000),
    *([], {}, [[]], [None], {"a": {}}, {"": 0}, [0] * 300, "2026-11-27", "BF16", "PCG65"),
)
"""Values that stand where others are expected."""


def spoil(value: Any, dice: Random) -> Any:
    """A copy of a mapping or a list in which one or a few parts are others, missing, or of another kind."""
    spoilt = copy.deepcopy(value)
    for _ in range(dice.choice((1, 1, 1, 2, 5))):
        holder, key = _pick(spoilt, dice)
        if holder is None:
            return dice.choice(SCALARS)
        _spoil_part(holder, key, dice)
    return spoilt


def _pick(value: Any, dice: Random) -> tuple[Any, Any]:
    """A place in a tree of values: (what holds it, its key or index); (None, None) where there is none."""
    holder: Any = None
    key: Any = None
    while isinstance(value, (dict, list)) and value and (holder is None or dice.random() < 0.8):
        holder = value
        key = dice.choice(list(value)) if isinstance(value, dict) else dice.randrange(len(value))
        value = holder[key]
    return holder, key


def _spoil_part(holder: Any, key: Any, dice: Random) -> None:
    what = dice.randrange(8)
    if what == 0:
        del holder[key]
    elif what == 1 and isinstance(holder, dict):
        holder[dice.choice((f"{key}x", str(key)[:-1], "", "__class__", 7, None, 1.5))] = holder.pop(key)
    elif what == 2 and isinstance(holder, list):
        holder.insert(key, copy.deepcopy(holder[key]))
    elif what == 3:
        holder[key] = [holder[key]]
    elif what == 4 and isinstance(holder[key], (int, float)) and not isinstance(holder[key], bool):
        holder[key] = dice.choice((-holder[key], holder[key] + 1, holder[key] * 1000, str(holder[key])))
    else:
        holder[key] = copy.deepcopy(dice.choice(SCALARS))


def spoilt_json(value: Any, dice: Random) -> str:
    """A JSON text of a spoilt value, or one that is hostile as a text."""
    if dice.random() < 0.85:
        return json.dumps(spoil(value, dice))
    return dice.choice(_TEXTS)(json.dumps(value), dice)


def _deep(text: str, dice: Random) -> str:
    opening = dice.choice(("[", '{"a":', "[[["))
    return opening * (dice.choice((40, 1000, DEEP)) // len(opening))


def _inside(text: str, dice: Random) -> str:
    place = text.rfind(":") + 1
    return text[:place] + _deep(text, dice) + text[place:]


def _repeated_key(text: str, dice: Random) -> str:
    return text.replace("{", '{"format": 1, "format": 9, ', 1)


def _long_number(text: str, dice: Random) -> str:
    return text.replace(": ", ": " + "9" * dice.choice((20, 400, 5000)), 1)


def _not_text(text: str, dice: Random) -> str:
    place = dice.randrange(len(text) + 1)
    return text[:place] + dice.choice(("\0", "\ud83d", "\x1b[", "﻿", '"', "\\u")) + text[place:]


_TEXTS: tuple[Callable[[str, Random], str], ...] = (_deep, _inside, _repeated_key, _long_number, _not_text)

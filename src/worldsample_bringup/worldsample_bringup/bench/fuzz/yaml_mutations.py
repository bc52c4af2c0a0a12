"""Mutations of YAML texts: what a person, or somebody hostile, may write into a configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import yaml

from worldsample_bringup.bench.fuzz.byte_mutations import mutate
from worldsample_bringup.bench.fuzz.value_mutations import DEEP, spoil

_TAGS = (
    "!!python/object/apply:os.getpid []",
    "!!python/name:os.system",
    "!!binary aGk=",
    "!!set {a, b}",
    "!!omap [a: 1]",
    "!!timestamp 2026-99-99",
    "!!int x",
    "!!float .",
    "!!bool maybe",
    "!unknown 1",
)
_WORDS = (
    "190:20:30",
    "0o17",
    "0x_",
    "1_000",
    "yes",
    ".nan",
    "-.inf",
    "2026-11-27",
    "1" * 5000,
    "? a",
    "=",
    "<<",
)


def spoilt_yaml(values: Mapping[str, Any], text: str, dice: Random) -> bytes:
    """A mutation of a document: of its values, of its bytes, or of its form.

    Args:
        values: that the document holds.
        text: the document.
    """
    way = dice.random()
    if way < 0.45:
        return yaml.dump(spoil(dict(values), dice), sort_keys=False).encode("utf-8", "surrogatepass")
    if way < 0.7:
        return mutate(text.encode(), (), dice).data
    return dice.choice(_FORMS)(text, dice).encode("utf-8", "surrogatepass")


def _nested(text: str, dice: Random) -> str:
    levels = dice.choice((30, 40, 1000, DEEP))
    kind = dice.randrange(3)
    if kind == 0:
        return f"{text}\nmore: " + "[" * levels + "]" * dice.choice((0, levels))
    if kind == 1:
        return f"{text}\nmore: " + "{a: " * levels
    return f"{text}\nmore:\n" + "\n".join(" " * level + "a:" for level in range(1, min(levels, 1000)))


def _bomb(text: str, dice: Random) -> str:
    """Aliases by which a small document stands for a very large one."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    for level in range(1, dice.choice((2, 9, 40))):
        lines.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]")
    return text + "\n" + "\n".join(lines)


def _itself(text: str, dice: Random) -> str:
    return text + dice.choice(
        ("\nmore: &m [*m]", "\nmore: &m {a: *m}", "\nmore: {<<: &m {<<: *m}}", "\n*x: 1")
    )


def _repeated(text: str, dice: Random) -> str:
    lines = text.splitlines()
    place = dice.randrange(len(lines))
    return "\n".join([*lines[: place + 1], *lines[place:]])


def _tagged(text: str, dice: Random) -> str:
    lines = text.splitlines()
    place = dice.randrange(len(lines))
    key = lines[place].partition(":")[0]
    lines[place] = f"{key}: {dice.choice((*_TAGS, *_WORDS))}"
    return "\n".join(lines)


def _odd(text: str, dice: Random) -> str:
    return dice.choice(
        (
            "",
            "\t" + text,
            "%YAML 9.9\n---\n" + text,
            "---\n" + text + "\n---\n" + text,
            "\ufeff" + text,
            text + "\n\0",
            text.replace("\n", "\r"),
            "? [a, b]\n: 1\n" + text,
            "? {a: b}\n: 1\n" + text,
            "1: 1\n1.0: 2\ntrue: 3\n" + text,
            "# " + "x" * 1_000_001,
            "- " * 2000,
            "- " * 60_000,
        )
    )


_FORMS: tuple[Callable[[str, Random], str], ...] = (_nested, _bomb, _itself, _repeated, _tagged, _odd)

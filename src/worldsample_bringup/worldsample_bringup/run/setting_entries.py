"""Every key of a run's ``config.yaml``, read from the dataclasses that check it.

A field's default stands behind it, its unit is its type (:mod:`worldsample_core.units`), its meaning is the
text right below it, and its source closes that text in square brackets. Nothing is written twice.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import inspect
import re
import textwrap
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

from worldsample_bringup.run.configuration import OWNED, section_classes
from worldsample_core.config import ConfigError, to_mapping

OURS = "ours"
"""The source of a value that names none: chosen in this project."""
_SOURCE = re.compile(r"\s*\[([^\[\]]+)\]\.$")


@dataclass(frozen=True)
class SettingEntry:
    """One key of ``config.yaml``.

    Attributes:
        key: with its section, e.g. ``learner.lr``.
        default: as it stands in YAML; None also where every run is given a value: see ``set_by``.
        unit: e.g. ``m/s``; "" for none.
        meaning: one or more sentences.
        source: where the default comes from: a paper, or ``ours``.
        choices: what the value may be; empty for any.
        group: what the keys of this class are about.
        set_by: the option or the layers that give every run its value; "" where the default may count.
    """

    key: str
    default: Any
    unit: str
    meaning: str
    source: str
    choices: tuple[str, ...]
    group: str
    set_by: str = ""


def all_entries() -> tuple[SettingEntry, ...]:
    """The keys of every section, in the order of ``config.yaml``."""
    return tuple(entry for section, kind in section_classes().items() for entry in _entries(kind, section))


def entries_of(prefix: str) -> tuple[SettingEntry, ...]:
    """The keys of a section, of a part of it (``worldmodel.gate``), or one key; all for "".

    Raises:
        ConfigError: there is no such section or key; the message names the nearest ones.
    """
    entries = all_entries()
    found = tuple(e for e in entries if not prefix or e.key == prefix or e.key.startswith(prefix + "."))
    if not found:
        sections = list(section_classes())
        parts = {entry.key.rpartition(".")[0]: None for entry in entries}
        near = difflib.get_close_matches(prefix, parts, n=1, cutoff=0.8)
        near = near or difflib.get_close_matches(prefix, [entry.key for entry in entries], n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else "."
        raise ConfigError(f"there is no setting {prefix!r}{hint} Sections: {', '.join(sections)}")
    return found


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Keys with their sections, and values, of nested mappings."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _entries(kind: type, where: str, defaults: Any = None, group: str = "") -> Iterator[SettingEntry]:
    """The keys of a dataclass.

    Args:
        kind: the dataclass.
        where: its section.
        defaults: an instance of it; None where its own defaults count.
        group: what its keys are about; "" for what the class says that declares the field.
    """
    hints = typing.get_type_hints(kind, include_extras=True)
    for field in dataclasses.fields(kind):
        key, hint = f"{where}.{field.name}", hints[field.name]
        default = _default(field) if defaults is None else getattr(defaults, field.name)
        home = _home(kind, field.name)
        meaning, source = _meaning_and_source(_field_texts(home).get(field.name, ""))
        if dataclasses.is_dataclass(hint):
            yield from _entries(typing.cast(type, hint), key, default, meaning)
            continue
        given = default is dataclasses.MISSING
        yield SettingEntry(
            key,
            None if given else to_mapping(default),
            next(_units(hint), ""),
            meaning,
            source,
            tuple(map(str, typing.get_args(hint))) if typing.get_origin(hint) is typing.Literal else (),
            group or inspect.cleandoc(home.__doc__ or "").partition("\n\n")[0].replace("\n", " "),
            OWNED.get((where, field.name), "config/tasks" if given else ""),
        )


def _default(field: dataclasses.Field[Any]) -> Any:
    factory = field.default_factory
    return field.default if factory is dataclasses.MISSING else factory()


def _home(kind: type, name: str) -> type:
    """The class of the hierarchy that declares a field."""
    return next(base for base in kind.__mro__ if name in inspect.get_annotations(base))


@cache
def _field_texts(kind: type) -> dict[str, str]:
    """The text below each field of a class."""
    body = typing.cast(ast.ClassDef, ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]).body
    texts = {}
    for field, below in pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr):
            texts[ast.unparse(field.target)] = inspect.cleandoc(str(ast.literal_eval(below.value)))
    return texts


def _meaning_and_source(text: str) -> tuple[str, str]:
    text = " ".join(text.split())
    if not (found := _SOURCE.search(text)):
        return text, OURS if text else ""
    meaning = text[: found.start()]
    return meaning if meaning.endswith(".") else f"{meaning}.", found[1]


def _units(hint: Any) -> Iterator[str]:
    """The units in a type, e.g. of each value of a tuple."""
    if typing.get_origin(hint) is typing.Annotated:
        yield from (unit for unit in hint.__metadata__ if isinstance(unit, str))
    elif isinstance(hint, types.UnionType) or typing.get_origin(hint) in (tuple, list, typing.Union):
        for inner in typing.get_args(hint):
            yield from _units(inner)

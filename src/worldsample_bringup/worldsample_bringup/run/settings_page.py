"""``worldsample settings``: all keys of ``config.yaml`` as text, Markdown (docs/settings.md) or JSON."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

from worldsample_bringup.run.configuration import layer_files, named_layers
from worldsample_bringup.run.setting_entries import SettingEntry, all_entries, entries_of, flat
from worldsample_core.config import read_yaml

PREFACE = """\
# Settings

`config.yaml` of a run folder holds every key of this page, resolved. A run's values come in layers, later
ones winning: the default; `config/machines/`; `config/methods/`; `config/tasks/`; `--quick`;
`section.key=value` on the command line. The source "ours" means: chosen in this project.

This page is made by `./worldsample settings --markdown > docs/settings.md`; a test holds it to the code.
`./worldsample settings learner --method worldsample` prints a section with the values of a method.
"""
_WIDTH = 100


def as_text(entries: Sequence[SettingEntry], values: dict[str, tuple[Any, str]]) -> str:
    """Entries for the terminal.

    Args:
        entries: in their order.
        values: by key, what the layers that were asked for set, and the name of that layer.
    """
    lines = []
    for group, members in groupby(entries, key=lambda entry: entry.group):
        lines += ["", group]
        for entry in members:
            lines += [_headline(entry, values.get(entry.key)), *_wrapped(_plain(entry.meaning))]
    return "\n".join(lines).lstrip("\n")


def _headline(entry: SettingEntry, value: tuple[Any, str] | None) -> str:
    if value is not None:
        shown = f"{_yaml(value[0])}{_unit(entry)}   ({value[1]}{_default(entry)})"
    elif entry.set_by:
        shown = f"(given by {entry.set_by})"
    else:
        shown = f"{_yaml(entry.default)}{_unit(entry)}"
        shown += f"   [{entry.source}]"
    return f"  {entry.key} = {shown}"


def _default(entry: SettingEntry) -> str:
    return "" if entry.set_by else f"; default {_yaml(entry.default)}"


def _unit(entry: SettingEntry) -> str:
    return f" {entry.unit}" if entry.unit else ""


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent="      ", subsequent_indent="      ")


def _plain(text: str) -> str:
    """Without the marks of reStructuredText."""
    return re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text).replace("``", "`")


def _yaml(value: Any) -> str:
    """A value as it is written on the command line."""
    return '""' if value == "" else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def as_json(entries: Sequence[SettingEntry], values: dict[str, tuple[Any, str]]) -> str:
    """Entries with all their fields, and the ``value`` and ``layer`` of those that a layer sets."""
    rows = [asdict(entry) for entry in entries]
    for row in rows:
        if row["key"] in values:
            row["value"], row["layer"] = values[row["key"]]
    return json.dumps(rows, ensure_ascii=False)


def as_markdown() -> str:
    """All of docs/settings.md."""
    lines = [PREFACE]
    sections = groupby(all_entries(), key=lambda entry: entry.key.partition(".")[0])
    for section, entries in sections:
        lines += [f"## {section}", ""]
        for group, members in groupby(entries, key=lambda entry: entry.group):
            lines += [_plain(group), "", *_table(("key", "default", "unit", "meaning", "source"))]
            lines += [_row(entry) for entry in members]
            lines.append("")
    lines += ["## What the layers set", ""]
    for kind in ("machines", "methods", "tasks"):
        lines += [*_layer_table(kind), ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def _row(entry: SettingEntry) -> str:
    default = f"given by {entry.set_by}" if entry.set_by else f"`{_yaml(entry.default)}`"
    return _cells(
        f"`{entry.key}`",
        default.replace("<", "&lt;"),
        entry.unit,
        _plain(entry.meaning).replace("<", "&lt;"),
        entry.source,
    )


def _layer_table(kind: str) -> Iterator[str]:
    """Keys down, the layers of one kind across."""
    layers = {name: dict(flat(read_yaml(path))) for name, path in layer_files(kind, own=False).items()}
    keys = sorted({key for layer in layers.values() for key in layer})
    yield from _table((kind, *layers))
    for key in keys:
        cells = (f"`{_yaml(layer[key])}`" if key in layer else "" for layer in layers.values())
        yield _cells(f"`{key}`", *cells)


def _table(heads: Sequence[str]) -> tuple[str, str]:
    return _cells(*heads), "|" + " --- |" * len(heads)


def _cells(*texts: str) -> str:
    return "| " + " | ".join(text.replace("|", "\\|") for text in texts) + " |"


def page(section: str, machine: str, method: str, task: str, quick: bool, form: str = "text") -> str:
    """The settings of a section.

    Args:
        section: a section, a part of it or one key; "" for all.
        machine, method, task: layers whose values are shown; "" for none.
        quick: the values of ``--quick`` as well.
        form: text, json or markdown; Markdown is always the whole page.

    Raises:
        ConfigError: a name is not known.
    """
    if form == "markdown":
        return as_markdown()
    values = {
        key: (value, name)
        for name, layer in named_layers(machine, method, task, quick)
        for key, value in flat(layer)
    }
    return (as_json if form == "json" else as_text)(entries_of(section), values)

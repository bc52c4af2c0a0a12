"""Reader of the interface files (.msg, .srv) of ``worldsample_msgs``, with what stands beside each field."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from worldsample_core.config import ConfigError

LINE = re.compile(r"(?P<type>\S+)\s+(?P<name>\w+)\s*(?:=\s*(?P<value>[^#\s]+))?\s*(?:#\s*(?P<said>.*))?$")


@dataclass(frozen=True)
class Field:
    """One field or constant of a message.

    Attributes:
        type: as in the file, e.g. ``float32[7]``.
        name: of the field.
        value: of a constant; "" of a field.
        meaning: the comment beside it, with unit and shape.
    """

    type: str
    name: str
    value: str
    meaning: str


@dataclass(frozen=True)
class Interface:
    """One interface file.

    Attributes:
        name: of the message or service.
        meaning: the comment at its head.
        parts: one list of fields for a message, those of request and answer for a service.
    """

    name: str
    meaning: str
    parts: tuple[tuple[Field, ...], ...]


def interface_directory() -> Path:
    """``worldsample_msgs`` of the checkout, or its share folder where it is installed.

    Raises:
        ConfigError: there is none: the workspace is not built and sourced.
    """
    beside = Path(__file__).resolve().parents[3] / "worldsample_msgs"
    prefixes = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    installed = [Path(prefix, "share", "worldsample_msgs") for prefix in prefixes if prefix]
    for directory in (beside, *installed):
        if (directory / "msg").is_dir():
            return directory
    raise ConfigError("worldsample_msgs is not installed: build the workspace and source it")


def read_interface(name: str, text: str) -> Interface:
    """An interface from the text of its file.

    Args:
        name: of the message or service.
        text: of the .msg or .srv file.

    Raises:
        ValueError: a line is neither a field nor a comment.
    """
    head: list[str] = []
    parts: list[list[Field]] = [[]]
    for line in text.splitlines():
        line = line.strip()
        if line == "---":
            parts.append([])
        elif line.startswith("#"):
            said = line.lstrip("# ")
            if parts[-1]:  # goes on with what stands beside the field above
                field = parts[-1].pop()
                parts[-1].append(Field(field.type, field.name, field.value, f"{field.meaning} {said}"))
            else:
                head.append(said)
        elif line:
            match = LINE.match(line)
            if match is None:
                raise ValueError(f"{name}: {line!r} is no field")
            parts[-1].append(Field(match["type"], match["name"], match["value"] or "", match["said"] or ""))
    return Interface(name, " ".join(head), tuple(tuple(part) for part in parts))


def read_interfaces(kind: str) -> tuple[Interface, ...]:
    """All interfaces of a kind, by name.

    Args:
        kind: ``msg``, ``srv`` or ``action``.
    """
    folder = interface_directory() / kind
    return tuple(
        read_interface(path.stem, path.read_text(encoding="utf-8"))
        for path in sorted(folder.glob(f"*.{kind}"))
    )

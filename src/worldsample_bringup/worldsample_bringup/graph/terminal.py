"""The terminal: log lines of many nodes, and a live line below them that they do not tear."""

from __future__ import annotations

import os
import shutil
import sys
import time
from typing import TextIO

LIVE_MARK = "@live "
"""A node's line that starts with it replaces the live line instead of scrolling by."""

LIVE_INTERVAL = 10.0
"""Seconds between live lines where they cannot be rewritten in place (a file, a pipe, a CI log)."""

_PALETTE = (36, 33, 35, 32, 34, 96, 93, 95, 92, 94)
_SEVERITIES = {"WARN": "33", "ERROR": "31", "FATAL": "1;31"}


class Console:
    """Writes log lines and the live line to one stream.

    On a terminal the live line stays at the bottom, rewritten in place; elsewhere it is an ordinary line
    every :data:`LIVE_INTERVAL` seconds. Colours are left out where the stream is no terminal or ``NO_COLOR``
    is set. A reader that has gone away (a closed pipe) silences the console and nothing else.
    """

    def __init__(self, stream: TextIO | None = None, names: tuple[str, ...] = ()) -> None:
        self._stream = sys.stdout if stream is None else stream
        self._terminal = self._stream.isatty()
        self._coloured = self._terminal and "NO_COLOR" not in os.environ
        self._width = max((len(name) for name in names), default=0)
        self._colours = {name: _PALETTE[i % len(_PALETTE)] for i, name in enumerate(names)}
        self._live = ""
        self._live_shown = -LIVE_INTERVAL

    def log(self, name: str, text: str) -> None:
        """One line of a node, behind its name. The first word, rclpy's severity, becomes a colour."""
        severity, _, message = text.partition(" ")
        if severity in ("INFO", "DEBUG"):
            text = message
        elif severity in _SEVERITIES and self._coloured:
            text = f"\x1b[{_SEVERITIES[severity]}m{message}\x1b[0m"
        prefix = f"{name:<{self._width}} |"
        if self._coloured:
            prefix = f"\x1b[{self._colours.get(name, 37)}m{prefix}\x1b[0m"
        self._write_line(f"{prefix} {text}")

    def say(self, text: str = "") -> None:
        """A line of the command itself, without a prefix."""
        self._write_line(text)

    def live(self, text: str) -> None:
        """Show ``text`` as the live line."""
        if self._terminal:
            self._live = text
            self._put(f"\r\x1b[K{self._fitted()}")
        elif time.monotonic() - self._live_shown >= LIVE_INTERVAL:
            self._live_shown = time.monotonic()
            self._write_line(text)

    def close_live(self) -> None:
        """Leave the live line where it stands; what comes next starts a new line."""
        if self._live:
            self._put("\n")
            self._live = ""

    def _fitted(self) -> str:
        return self._live[: max(20, shutil.get_terminal_size().columns - 1)]

    def _write_line(self, text: str) -> None:
        if self._live:
            self._put(f"\r\x1b[K{text}\n{self._fitted()}")
        else:
            self._put(f"{text}\n")

    def _put(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (BrokenPipeError, ValueError):
            self._silence()

    def _silence(self) -> None:
        """Nobody reads any more: what follows goes nowhere, also what others print to the same stream."""
        nowhere = open(os.devnull, "w")  # noqa: SIM115 - stays open for the rest of the process
        try:
            os.dup2(nowhere.fileno(), self._stream.fileno())
        except (OSError, ValueError):  # closed, or no file at all
            self._stream = nowhere
        self._terminal = False
        self._live = ""

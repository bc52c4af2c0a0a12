"""A stand-in of the package wandb: it notes in a file what it is asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

MODULE = """
import json, sys, time

class Settings(dict):
    pass

def note(**call):
    with open({calls!r}, "a") as file:
        file.write(json.dumps(call) + "\\n")

class Run:
    offline, url = False, "https://example.org/run"
    def define_metric(self, name, step_metric):
        note(what="axis", name=name, step_metric=step_metric)
    def log(self, row):
        note(what="log", row=row)
    def finish(self):
        note(what="finish")

def Image(picture):
    return list(picture.size)

def init(**said):
    note(what="init", **said)
    print("words of wandb's own")
    {then}
    return Run()
"""


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, then: str = "pass") -> Path:
    """Put the stand-in before everything, here and in processes that are started.

    Args:
        folder: for the module; must exist.
        monkeypatch: of the test.
        then: a statement at the end of ``wandb.init``.

    Returns:
        The file of calls, see :func:`calls`.
    """
    noted = folder / "calls.jsonl"
    package = folder / "packages"
    package.mkdir()
    (package / "wandb.py").write_text(MODULE.format(calls=str(noted), then=then))
    monkeypatch.syspath_prepend(package)
    monkeypatch.setenv("PYTHONPATH", str(package), prepend=":")
    return noted


def calls(noted: Path, what: str) -> list[dict[str, Any]]:
    """The calls of one kind, in order."""
    lines = noted.read_text().splitlines() if noted.exists() else []
    return [call for call in map(json.loads, lines) if call["what"] == what]

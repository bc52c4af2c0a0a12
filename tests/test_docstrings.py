"""Docstrings begin with the thing that they describe; ruff holds the rest of their form (D205, D400, ...)."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("benchmarks", "docs", "examples", "src", "tests", "worldsample_setup")
HEADLESS = re.compile(r"(Of|In|What|Whether|How|Who|Where)\b")


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    """Line and text of each docstring of a file, those of attributes included."""
    holders = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(path.read_text())):
        for statement in node.body if isinstance(node, holders) else []:
            value = statement.value if isinstance(statement, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield statement.lineno, value.value


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_docstring_is_headless(folder: str) -> None:
    """``Of a run.`` leaves out what it is; ``Seed of a run.`` does not."""
    headless = [
        f"{path.relative_to(ROOT)}:{line}: {text.strip().splitlines()[0]}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line, text in docstrings(path)
        if HEADLESS.match(text.strip())
    ]
    assert not headless, "\n".join(headless)

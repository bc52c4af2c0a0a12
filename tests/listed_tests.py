"""A plugin of pytest that lists the tests of each file by name, and imports nothing of what they import."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest


def names_in(path: Path) -> list[str]:
    """Names of the test functions of a file."""
    parts = ast.parse(path.read_text(encoding="utf-8")).body
    return [part.name for part in parts if isinstance(part, ast.FunctionDef) and part.name.startswith("test")]


class ListedTest(pytest.Item):
    """A test that is listed only."""

    def runtest(self) -> None:
        raise NotImplementedError


class ListedFile(pytest.File):
    """A file of tests that are listed only."""

    def collect(self) -> Iterator[ListedTest]:
        for name in names_in(self.path):
            yield ListedTest.from_parent(self, name=name)


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> ListedFile:
    return ListedFile.from_parent(parent, path=module_path)

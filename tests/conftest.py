"""Fixtures of the tests across packages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.loop_graph import Graph
    from worldsample_bringup.run.run_folder import RunFolder

from tests.ros_domain import own_domain
from worldsample_bringup.selftest import ALONE, REAL_TIME
from worldsample_core.node.imported_objects import keep_imported_objects, pause_collection


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Look for no garbage in what the test files import: it stays until the end."""
    pause_collection()
    yield
    keep_imported_objects()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests first: side by side, none is left for the end, when the other worker has nothing to do.

    A test whose mark `worldsample test` would not find in its file is an error: it would never be run.
    """
    for item in items:
        for mark in (REAL_TIME, ALONE):
            if item.get_closest_marker(mark) and f"pytest.mark.{mark}" not in item.path.read_text():
                raise pytest.UsageError(
                    f"write pytest.mark.{mark} in {item.path}: {item.nodeid} has that mark"
                )
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """One thread of torch in the tests of a file: ``pytestmark = pytest.mark.usefixtures("one_thread")``."""
    import torch  # only here: it takes seconds

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def run(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A tiny run of a file's own: see :func:`tests.tiny_run.tiny_run`."""
    from tests.tiny_run import tiny_run

    return tiny_run(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def ros_domain() -> Iterator[int]:
    """A ROS domain that is this test's own."""
    with own_domain() as domain:
        yield domain


@pytest.fixture
def loop_graph(tmp_path: Path, ros_domain: int) -> Iterator[Graph]:
    """Cell, policy and learner as processes, on a ROS domain of their own; nothing of them is left."""
    pytest.importorskip("worldsample_msgs")
    from tests.loop_graph import Graph

    graph = Graph(tmp_path, ros_domain)
    yield graph
    graph.close()

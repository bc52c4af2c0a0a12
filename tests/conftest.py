"""Fixtures of the tests across packages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.loop_graph import Graph

from tests.ros_domain import own_domain


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests first: side by side, none is left for the end, when the other worker has nothing to do."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


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

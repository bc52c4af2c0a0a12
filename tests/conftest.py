"""Fixtures of the tests across packages."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.loop_graph import Graph

_domains = itertools.cycle(range(10, 60))


@pytest.fixture
def loop_graph(tmp_path: Path) -> Iterator[Graph]:
    """Cell, policy and learner as processes, on a ROS domain of their own; nothing of them is left."""
    pytest.importorskip("worldsample_msgs")
    from tests.loop_graph import Graph

    domain = 10 + (os.getpid() + next(_domains)) % 50
    graph = Graph(tmp_path, domain)
    yield graph
    graph.close()

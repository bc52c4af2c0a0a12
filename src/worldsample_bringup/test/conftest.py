"""Fixtures of the tests of the command line, the runner and the reports."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.ros_domain import own_domain


@pytest.fixture
def ros_domain() -> Iterator[int]:
    """A ROS domain that is this test's own."""
    with own_domain() as domain:
        yield domain

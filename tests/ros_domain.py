"""A ROS domain for each test: graphs of tests that run at the same time must not hear each other."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator

from worldsample_bringup.graph.domain import DomainClaim, DomainTaken

FIRST, LAST = 10, 89
"""The domains of these tests; those of the packages' own tests lie above, a person's runs begin at 0."""


@contextlib.contextmanager
def own_domain() -> Iterator[int]:
    """A domain that no other test of this machine is given meanwhile, and no run has claimed."""
    domain, mark = _marked_domain()
    with mark:
        yield domain


def _marked_domain() -> tuple[int, socket.socket]:
    first = os.getpid()
    for offset in range(LAST - FIRST + 1):
        domain = FIRST + (first + offset) % (LAST - FIRST + 1)
        mark = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            mark.bind(f"\0worldsample/test/{domain}")
            DomainClaim(domain, "a test").release()  # no run has it; the runs of the test will claim it
        except (OSError, DomainTaken):
            mark.close()
            continue
        return domain, mark
    raise RuntimeError("every ROS domain of the tests is taken")

"""A ROS domain for each test: graphs of tests that run at the same time must not hear each other."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator

FIRST, LAST = 10, 89
"""The domains of these tests; those of the packages' own tests lie above, a person's runs begin at 0."""


@contextlib.contextmanager
def own_domain() -> Iterator[int]:
    """A domain that no other test of this machine is given meanwhile, and no run has claimed."""
    first = os.getpid()
    for offset in range(LAST - FIRST + 1):
        domain = FIRST + (first + offset) % (LAST - FIRST + 1)
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as mark:
            mark.bind(f"\0worldsample/test/{domain}")
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as run:
                run.bind(f"\0worldsample/domain/{domain}")  # as worldsample_bringup.domain does
            yield domain
            return
    raise RuntimeError("every ROS domain of the tests is taken")

"""The priority of what only looks on: the least, once it is there.

While it starts, it has the priority of the run: on a busy computer it would otherwise be there when a short
run is over.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

NICE = 19
"""Niceness of everything that only looks on: the run comes first."""


def give_way(process: int) -> None:
    """Lower a process, with every thread that it has, to the least priority.

    Args:
        process: its id. One that has ended is left alone.
    """
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{process}/task").iterdir():
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, int(thread.name), NICE)

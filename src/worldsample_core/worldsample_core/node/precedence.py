"""Precedence of processes on one machine: the arm before the policy, both before what learns."""

from __future__ import annotations

import contextlib
import os

ARM = -15
"""Niceness of the arm's driver."""
POLICY = -10
LEARNING = 10


def come_first(niceness: int) -> None:
    """Take precedence over what learns on this machine, where the system allows it."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, niceness)


def give_way() -> None:
    """Let the processes that act come first, unless whoever started this one has set its niceness."""
    if os.nice(0) == 0:
        os.nice(LEARNING)

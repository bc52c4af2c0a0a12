"""Processes that end with the process that started them, however that one ends."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable
from functools import partial

_LIBC = ctypes.CDLL(None, use_errno=True)  # loaded here: nothing may be imported between fork and exec
_PR_SET_PDEATHSIG = 1


def die_with_parent(nice: int = 0) -> Callable[[], None]:
    """A ``preexec_fn``: the kernel kills the new process when this one dies, however that happens.

    The kernel watches the thread that starts the process: it must live as long as the process is to live.

    Args:
        nice: how much nicer than this process the new one is.
    """
    return partial(die_with, os.getpid(), nice)


def die_with(parent: int, nice: int = 0) -> None:
    """Have the kernel kill this process when its parent, process ``parent``, dies or has died.

    Args:
        nice: how much nicer this process becomes.
    """
    if nice:
        os.nice(nice)
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the line above
        os._exit(128 + signal.SIGKILL)

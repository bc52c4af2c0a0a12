"""Ctrl-C while a node still imports its libraries ends it without a traceback.

Node files import this module first. Importing PyTorch takes seconds, and ``ros2 launch`` sends SIGINT to all
of its nodes at once. Where another program imports a node file, nothing changes.
"""

from __future__ import annotations

import os
import signal
import sys


def is_node(program: str) -> bool:
    """True for the path of a node's file or of its installed executable."""
    return os.path.splitext(os.path.basename(program))[0].endswith("_node")


def end_quietly() -> None:
    """SIGINT ends this process at once, as it ends programs in other languages."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def imports_are_done() -> None:
    """SIGINT raises KeyboardInterrupt again."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)


if is_node(sys.argv[0]):
    end_quietly()

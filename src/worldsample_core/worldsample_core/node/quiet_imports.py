"""Ctrl-C while a node imports its libraries ends it without a traceback, and no collector slows the imports.

Node files and the evaluator import this module first. Importing PyTorch takes seconds, and ``ros2 launch``
sends SIGINT to all of its nodes at once. The garbage collector would make it last longer:
:mod:`worldsample_core.node.imported_objects`. Where another program imports a node file, nothing changes.
"""

from __future__ import annotations

import os
import signal
import sys

from worldsample_core.node.imported_objects import keep_imported_objects, pause_collection


def is_node(program: str) -> bool:
    """True for the path of the evaluator, of a node's file or of its installed executable."""
    name = os.path.splitext(os.path.basename(program))[0]
    return name.endswith("_node") or name == "evaluator"


def end_quietly() -> None:
    """SIGINT ends this process at once, as it ends programs in other languages."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def imports_are_done() -> None:
    """SIGINT raises KeyboardInterrupt again, and garbage is collected, but no imported object."""
    keep_imported_objects()
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)


if is_node(sys.argv[0]):
    end_quietly()
    pause_collection()

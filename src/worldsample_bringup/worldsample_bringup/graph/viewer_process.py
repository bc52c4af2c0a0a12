"""The viewer beside the nodes of a run, as both launchers start it."""

from __future__ import annotations

import sys

from worldsample_bringup.graph.node_command import ProcessSpec
from worldsample_bringup.graph.node_spec import OnExit
from worldsample_bringup.run.run_folder import RunFolder


def viewer_process(folder: RunFolder, port: int) -> ProcessSpec:
    """The viewer as a process of its own: what befalls it does not touch the run.

    It starts with the run's priority, and takes the least itself as soon as it shows something.

    Args:
        folder: of the run.
        port: of the page.
    """
    watch = (sys.executable, "-m", "worldsample_bringup.cli", "watch", str(folder.path))
    return ProcessSpec("watch", (*watch, "--port", str(port)), on_exit=OnExit.LOOKS_ON, grace=10.0)

"""The name of the command ``worldsample`` as a person calls it from here, for hints in messages."""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path

BESIDE_ROS = "ros2 run worldsample_bringup worldsample_cli"
"""The command in a colcon workspace, where nothing called ``worldsample`` is on the path."""


def command_name() -> str:
    """``./worldsample`` in the checkout, its path from elsewhere; beside ROS 2 :data:`BESIDE_ROS`."""
    root = os.environ.get("WORLDSAMPLE_ROOT")
    if not root:
        return "worldsample" if shutil.which("worldsample") else BESIDE_ROS
    command = Path(root, "worldsample")
    relative = os.path.relpath(command)
    if relative.startswith(".."):
        return shlex.quote(str(command))
    return shlex.quote(relative if "/" in relative else f"./{relative}")

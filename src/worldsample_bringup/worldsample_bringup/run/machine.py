"""``worldsample check``: what this machine and its set-up can do, in a few lines."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from importlib.util import find_spec

from worldsample_bringup.run.configuration import known
from worldsample_bringup.run.provenance import git_revision, version_of


def describe() -> dict[str, str]:
    """Facts about the machine, by name."""
    import torch

    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none"
    launcher = "ros2 launch" if find_spec("launch_ros") else "the embedded runner (launch is not installed)"
    return {
        "code": git_revision(),
        "python": f"{platform.python_version()} in {sys.prefix}",
        "cores": str(os.cpu_count()),
        "gpu": gpu,
        "torch": torch.__version__,
        "mujoco": version_of("mujoco"),
        "ros": os.environ.get("ROS_DISTRO") or "wheels",
        "middleware": os.environ.get("RMW_IMPLEMENTATION") or "the default",
        "launcher": launcher,
        "disk": f"{shutil.disk_usage(os.getcwd()).free / 1e9:.1f} GB free here",
        "tasks": ", ".join(known("tasks")),
        "methods": ", ".join(known("methods")),
    }

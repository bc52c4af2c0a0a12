"""Python packages that ROS 2 does not bring, looked for before anything starts.

Each node would otherwise fail by itself with a traceback, and be started again.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec

from worldsample_core.config import ConfigError

FOR_EVERY_RUN = ("torch", "safetensors", "rosbags", "tensorboardX")
FOR_SIMULATION = ("mujoco",)

PIP_LINE = "python3 -m pip install --break-system-packages -r requirements.txt"
"""The line that installs them all, given in the checkout; also in README.md and docs/ros2.md."""


OPTIONAL_PIP_LINE = PIP_LINE.replace("-r requirements.txt", "--no-deps -r lock/optional.txt")
"""The line that installs what single commands need. The lock file leaves out numpy: that of ROS 2 stays."""


WANDB = "wandb>=0.31,<1"
"""The package that the setting ``run.wandb`` needs, as pip takes it; also in setup.py and the documents."""


def missing_packages(simulated: bool) -> list[str]:
    """Names of the packages that this Python lacks."""
    names = (*FOR_EVERY_RUN, *(FOR_SIMULATION if simulated else ()))
    return [name for name in names if find_spec(name) is None]


def require_packages(simulated: bool) -> None:
    """Raise :class:`ConfigError` with what is missing and the line that installs it."""
    missing = missing_packages(simulated)
    if missing:
        raise ConfigError(
            f"Python packages are missing: {', '.join(missing)}. In the checkout:\n  {PIP_LINE}"
        )


def require_optional(*packages: str) -> None:
    """Raise :class:`ConfigError` where packages of a single command are missing, with what installs them."""
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"this needs Python packages that are missing: {', '.join(missing)}. In the checkout:\n"
            f"  ./worldsample setup, or beside ROS 2: {OPTIONAL_PIP_LINE}"
        )


def require_viewer() -> None:
    """Raise :class:`ConfigError` where Rerun is missing, with what installs it."""
    version = (sys.version_info.major, sys.version_info.minor)
    if version < (3, 11):
        raise ConfigError(
            f"the viewer needs Python 3.11 or newer, and this is {version[0]}.{version[1]}; a run needs none"
        )
    require_optional("rerun")


def require_wandb() -> None:
    """Raise :class:`ConfigError` where the package wandb is missing, with what installs it."""
    spec = find_spec("wandb")
    if spec is None or spec.origin is None:  # a folder of this name, as wandb makes it, is no package
        raise ConfigError(
            "run.wandb needs the Python package wandb, which is missing. Leave it out, or install:\n"
            f"  {sys.executable} -m pip install '{WANDB}'     (beside ROS 2 add --break-system-packages)"
        )

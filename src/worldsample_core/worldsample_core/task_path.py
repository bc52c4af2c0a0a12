"""Finds tasks that are not part of WorldSample: NAME.py and NAME.yaml in a folder of your own.

The environment variable :data:`VARIABLE` lists the folders, separated by ``:`` as in PATH. Every process of a
run inherits it.
"""

from __future__ import annotations

import os
from pathlib import Path

from worldsample_core.config import ConfigError

VARIABLE = "WORLDSAMPLE_TASK_PATH"


def task_files(suffix: str) -> dict[str, Path]:
    """The files of your own tasks, by name of the task; ``suffix`` is ".py" or ".yaml".

    Raises:
        ConfigError: a folder is missing, or two folders have a task of one name.
    """
    found: dict[str, Path] = {}
    for text in filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)):
        folder = Path(text).expanduser().absolute()
        if not folder.is_dir():
            raise ConfigError(f"{VARIABLE}: there is no folder {folder}")
        for path in sorted(folder.glob(f"[!_]*{suffix}")):
            if path.stem in found:
                raise ConfigError(f"{VARIABLE}: {path.stem!r} is in {found[path.stem]} and in {path}")
            found[path.stem] = path
    return found

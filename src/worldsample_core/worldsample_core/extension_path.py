"""Finds tasks and methods that are not part of WorldSample: NAME.py and NAME.yaml in a folder of your own.

The environment variables :data:`TASK_PATH` and :data:`METHOD_PATH` list the folders, separated by ``:`` as in
PATH. Every process of a run inherits them.
"""

from __future__ import annotations

import os
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TypeVar

from worldsample_core.config import ConfigError

TASK_PATH = "WORLDSAMPLE_TASK_PATH"
METHOD_PATH = "WORLDSAMPLE_METHOD_PATH"

Extension = TypeVar("Extension")


def extension_files(variable: str, suffix: str) -> dict[str, Path]:
    """Files in the folders that the environment variable lists, by name; ``suffix`` is ".py" or ".yaml".

    Raises:
        ConfigError: a folder is missing, or two folders have a file of one name.
    """
    found: dict[str, Path] = {}
    for text in filter(None, os.environ.get(variable, "").split(os.pathsep)):
        folder = Path(text).expanduser().absolute()
        if not folder.is_dir():
            raise ConfigError(f"{variable}: there is no folder {folder}")
        for path in sorted(folder.glob(f"[!_]*{suffix}")):
            if path.stem in found:
                raise ConfigError(f"{variable}: {path.stem!r} is in {found[path.stem]} and in {path}")
            found[path.stem] = path
    return found


def load_extension(variable: str, name: str, path: Path, base: type[Extension]) -> type[Extension]:
    """Class of a file that derives from ``base`` and has the attribute ``name``.

    Raises:
        ConfigError: the file does not load, or holds no such class.
    """
    module_name = f"{variable.lower()}.{name}"
    spec = spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path} cannot be loaded")
    module = module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ConfigError(f"{path} does not load: {type(error).__name__}: {error}") from error
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, base) and getattr(value, "name", None) == name:
            return value
    raise ConfigError(f"{path}: there is no {base.__name__} class with name = {name!r}")

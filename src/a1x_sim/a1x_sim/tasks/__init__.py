"""The tasks of the cell, by name: those that come with WorldSample and those of ``WORLDSAMPLE_TASK_PATH``."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from a1x_sim.tasks.assembly import Assembly
from a1x_sim.tasks.base import Task
from a1x_sim.tasks.insertion import Insertion
from a1x_sim.tasks.pick_place import PickPlace
from a1x_sim.tasks.pushing import Pushing
from a1x_sim.tasks.sorting import Sorting
from worldsample_core.config import ConfigError, TaskConfig, choose
from worldsample_core.task_path import task_files

TASKS: dict[str, type[Task]] = {
    task.name: task for task in (Pushing, Insertion, Sorting, PickPlace, Assembly)
}


def make_task(name: str, config: TaskConfig | None = None) -> Task:
    """The task called ``name``, with a run's own limits if given.

    Raises:
        ConfigError: unknown task (the message lists the known ones), or an own task whose file does not load.
    """
    own = task_files(".py")
    if name in TASKS and name in own:
        raise ConfigError(f"{own[name]}: the task {name!r} comes with WorldSample: give yours another name")
    choose(name, {**TASKS, **own}, "task")
    return (TASKS[name] if name in TASKS else _load(name, own[name]))(config)


def _load(name: str, path: Path) -> type[Task]:
    """The Task class called ``name`` in a file."""
    module_name = f"worldsample_task_path.{name}"
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
        if isinstance(value, type) and issubclass(value, Task) and getattr(value, "name", None) == name:
            return value
    raise ConfigError(f"{path}: there is no Task class with name = {name!r}")

"""The tasks of the cell, by name: those that come with WorldSample and those of ``WORLDSAMPLE_TASK_PATH``."""

from __future__ import annotations

from a1x_sim.tasks.assembly import Assembly
from a1x_sim.tasks.base import Task
from a1x_sim.tasks.insertion import Insertion
from a1x_sim.tasks.pick_place import PickPlace
from a1x_sim.tasks.pushing import Pushing
from a1x_sim.tasks.sorting import Sorting
from worldsample_core.config import ConfigError, TaskConfig, choose
from worldsample_core.extension_path import TASK_PATH, extension_files, load_extension

TASKS: dict[str, type[Task]] = {
    task.name: task for task in (Pushing, Insertion, Sorting, PickPlace, Assembly)
}


def make_task(name: str, config: TaskConfig | None = None) -> Task:
    """The task called ``name``, with a run's own limits if given.

    Raises:
        ConfigError: unknown task (the message lists the known ones), or an own task whose file does not load.
    """
    own = extension_files(TASK_PATH, ".py")
    if name in TASKS and name in own:
        raise ConfigError(f"{own[name]}: the task {name!r} comes with WorldSample: give yours another name")
    choose(name, {**TASKS, **own}, "task")
    task = TASKS[name] if name in TASKS else load_extension(TASK_PATH, name, own[name], Task)  # type: ignore[type-abstract]
    return task(config)

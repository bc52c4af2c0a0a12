"""The tasks of the cell, by name."""

from __future__ import annotations

from a1x_sim.tasks.assembly import Assembly
from a1x_sim.tasks.base import Task
from a1x_sim.tasks.insertion import Insertion
from a1x_sim.tasks.pick_place import PickPlace
from a1x_sim.tasks.pushing import Pushing
from a1x_sim.tasks.sorting import Sorting
from worldsample_core.config import TaskConfig, choose

TASKS: dict[str, type[Task]] = {
    task.name: task for task in (Pushing, Insertion, Sorting, PickPlace, Assembly)
}


def make_task(name: str, config: TaskConfig | None = None) -> Task:
    """The task called ``name``, with a run's own limits if given.

    Raises:
        ConfigError: unknown task; the message lists the known ones.
    """
    return TASKS[choose(name, TASKS, "task")](config)

"""Demonstrations that were recorded before, taken into a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from worldsample_core.command_name import command_name
from worldsample_core.config import ConfigError
from worldsample_core.episodes.episode_bag import encode_transition, read_joints, read_transitions
from worldsample_core.episodes.episode_store import EpisodeStore
from worldsample_core.episodes.recorded_bags import recorded_bags
from worldsample_core.settings import Settings


def import_demonstrations(
    store: EpisodeStore, settings: Settings, told: Callable[[str], object] = lambda _: None
) -> int:
    """Copy the successful demonstrations of ``run.demos_from`` into ``store``; returns how many were copied.

    The source is a run folder, or a folder of its bags. Copying ends when ``store`` has ``run.demos``
    demonstrations. They get new sequence numbers.

    Args:
        told: gets a sentence for each bag that was mended, or is left out because it is damaged.

    Raises:
        ConfigError: the folder has too few, or they are of another task or image size.
        StorageError: the disk is full.
    """
    run = settings.run
    present = sum(e.kind == "demo" and e.success for e in store.summaries)
    if present >= run.demos:
        return 0
    folder = Path(run.demos_from)
    if not folder.is_dir():
        raise ConfigError(f"run.demos_from: there is no folder {folder}")
    found = []
    for recorded in recorded_bags(folder, "demo", told):
        if recorded.summary.success:
            task = recorded.custom.get("task", settings.task.name)
            if task != settings.task.name:
                raise ConfigError(
                    f"{recorded.path} shows the task {task!r}, this run is {settings.task.name!r}"
                )
            found.append((recorded.path, recorded.summary))
    if len(found) < run.demos:
        fewer = f"set run.demos={len(found)}, or " if found else ""
        raise ConfigError(
            f"{folder} has {len(found)} successful demonstrations, {run.demos} are wanted: "
            f"{fewer}record more with `{command_name()} demos`"
        )
    size = (run.image_size, run.image_size)
    for bag, summary in found[present : run.demos]:
        transitions = read_transitions(bag)
        if transitions[0].observation.size != size:
            height, width = transitions[0].observation.size
            raise ConfigError(
                f"{bag} has images of {width}x{height}, this run uses {size[0]}x{size[1]}: set "
                "run.image_size, or record demonstrations at this size"
            )
        joints = read_joints(bag)
        episode = store.begin("demo", summary.seed)
        for step, transition in enumerate(transitions):
            record = dataclasses.replace(
                transition, seq=store.next_seq, episode=episode, source="demo", policy_version=0, run=run.name
            )
            store.append(encode_transition(record), joints[step], joints[step + 1])
        store.finish(summary)
    return run.demos - present

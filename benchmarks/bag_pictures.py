"""Measures what the pictures for viewers cost in an episode's bag: bytes and processor time per step.

    source <(./worldsample env)
    python benchmarks/bag_pictures.py

Bags are written in the background, one per episode, by a thread of the policy's process.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from statistics import median

from a1x_sim.cell import Cell
from tests.expert_episodes import record_episode
from worldsample_bringup.run.configuration import layers, make_settings
from worldsample_core.config import merge
from worldsample_core.episodes.episode_bag import read_joints, read_metadata, read_records, write_bag
from worldsample_core.episodes.episode_store import EpisodeStore, find_bags
from worldsample_core.episodes.standard_messages import StandardMessages

TASK, SIZES, REPEATS = "sorting", (64, 128), 9


def messages(folder: Path, size: int, pictures: str) -> StandardMessages | None:
    """The makers of a bag's messages for viewers, with this setting of ``run.bag_pictures``."""
    run = {"name": "r", "directory": str(folder), "image_size": size, "bag_pictures": pictures}
    return StandardMessages.of(make_settings(merge(layers("cpu", "hil_serl", TASK, False), {"run": run})))


def measure(folder: Path, size: int) -> None:
    """Print a line for each setting of ``run.bag_pictures``."""
    cell, store = Cell(TASK, size), EpisodeStore(folder, "r", standard=messages(folder, size, "jpeg"))
    record_episode(cell, store, 0)
    store.close()
    cell.close()
    (bag,) = find_bags(folder)
    records, summary, joints = read_records(bag), read_metadata(bag)[0], read_joints(bag)
    for pictures in ("none", "jpeg", "png"):
        standard, took = messages(folder, size, pictures), []
        for repeat in range(REPEATS):
            path = folder / f"{pictures}-{repeat}"
            began = time.thread_time()
            write_bag(path, records, summary, {}, standard, joints)
            took.append(time.thread_time() - began)
        written = sum(file.stat().st_size for file in path.iterdir())
        print(
            f"{size:>5} px  {pictures:<5} {len(records)} steps  {written / 1e3:7.0f} kB"
            f"  {written / len(records) / 1e3:6.1f} kB/step  {1e3 * median(took) / len(records):6.2f} ms/step"
        )


def main() -> None:
    """Measure every image size."""
    for size in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            measure(Path(folder), size)


if __name__ == "__main__":
    main()

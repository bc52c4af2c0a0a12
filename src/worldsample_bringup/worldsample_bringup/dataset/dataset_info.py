"""Facts about a folder of recorded episodes: a run's bags, or a LeRobotDataset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from worldsample_bringup.dataset.demonstration_folder import size_on_disk
from worldsample_bringup.dataset.lerobot_format import INFO, read_info
from worldsample_core.config import ConfigError


def describe(folder: Path) -> dict[str, Any]:
    """Facts about a folder, by name, for people and as JSON.

    Raises:
        ConfigError: there are neither episodes of a run nor a LeRobotDataset. DamagedBag: a bag cannot be
            read.
    """
    facts = _lerobot(folder) if (folder / INFO).is_file() else _bags(folder)
    return {**facts, "megabytes": round(size_on_disk(folder) / 1e6, 1)}


def _lerobot(folder: Path) -> dict[str, Any]:
    info = read_info(folder)
    features = {
        name: f"{feature['dtype']} {'x'.join(map(str, feature['shape']))}"
        for name, feature in info.features.items()
    }
    return {
        "format": f"LeRobotDataset {info.version}",
        "episodes": info.episodes,
        "frames": info.frames,
        "fps": info.fps,
        "features": features,
    }


def _bags(folder: Path) -> dict[str, Any]:
    from worldsample_core.episodes.recorded_bags import recorded_bags

    problems: list[str] = []
    found = [(bag.summary, bag.custom) for bag in recorded_bags(folder, told=problems.append)]
    if not found:
        raise ConfigError(
            f"{folder} holds no episodes of a run (episodes/episode_…) and no LeRobotDataset ({INFO})"
        )
    kinds = {
        kind: {
            "episodes": len(those),
            "successes": sum(s.success for s in those),
            "steps": sum(s.steps for s in those),
        }
        for kind in ("demo", "train", "label")
        if (those := [summary for summary, _ in found if summary.kind == kind])
    }
    custom = [custom for _, custom in found]
    return {
        "format": "WorldSample episodes (rosbag2, MCAP)",
        "task": ", ".join(sorted({values.get("task", "unknown") for values in custom})),
        "image_size": ", ".join(sorted({values.get("image_size", "unknown") for values in custom})),
        "episodes": len(found),
        "frames": sum(summary.steps for summary, _ in found),
        **kinds,
        **({"problems": "; ".join(problems)} if problems else {}),
    }

"""The folder of a LeRobotDataset v3.0: which file holds what, and what a feature looks like.

Source: ``lerobot.datasets`` of lerobot 0.6.1. The package itself is not needed to read or write the format.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from worldsample_core.config import ConfigError
from worldsample_core.observation import VIEWS

VERSION = "v3.0"
INFO, STATS, TASKS = "meta/info.json", "meta/stats.json", "meta/tasks.parquet"
EPISODES = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
DATA = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
FILES_PER_CHUNK, MEGABYTES_PER_FILE, MEGABYTES_PER_VIDEO = 1000, 100, 200

ORIGIN = "meta/worldsample.json"
"""Beside LeRobot's files: the summaries of the episodes, of an exported run."""
FINAL_OBSERVATIONS = "meta/worldsample_final_observations.safetensors"
"""Beside LeRobot's files: what was seen after each episode's last action; the format has no place for it."""

STATE_NAMES = ("x", "y", "z", "rx", "ry", "rz", "gripper", "vx", "vy", "vz")
ACTION_NAMES = ("dx", "dy", "dz", "drx", "dry", "drz", "gripper")
STATE, ACTION = "observation.state", "action"
CAMERAS = tuple(f"observation.images.{view}" for view in VIEWS)
FLAGS = ("next.done", "next.truncated", "next.success", "is_intervention")
INDICES = ("timestamp", "frame_index", "episode_index", "index", "task_index")


def vector(names: tuple[str, ...]) -> dict[str, Any]:
    """A feature of named float32 numbers."""
    return {"dtype": "float32", "shape": [len(names)], "names": list(names)}


def scalar(dtype: str) -> dict[str, Any]:
    """A feature of one number."""
    return {"dtype": dtype, "shape": [1], "names": None}


def exported_features(height: int, width: int) -> dict[str, dict[str, Any]]:
    """The features of an exported run, in the order of the columns."""
    image = {"dtype": "image", "shape": [height, width, 3], "names": ["height", "width", "channels"]}
    return {
        **{camera: dict(image) for camera in CAMERAS},
        STATE: vector(STATE_NAMES),
        ACTION: vector(ACTION_NAMES),
        "next.reward": scalar("float32"),
        **{flag: scalar("bool") for flag in FLAGS},
        "timestamp": scalar("float32"),
        **{name: scalar("int64") for name in INDICES[1:]},
    }


@dataclass(frozen=True)
class DatasetInfo:
    """``meta/info.json`` of a dataset, checked.

    Attributes:
        root: the dataset's folder.
        version: of the format, e.g. "v3.0".
        fps: frames per second.
        features: description of each column or video, by name.
        episodes, frames: how many there are.
        data_path, video_path: templates of file names.
    """

    root: Path
    version: str
    fps: int
    features: dict[str, dict[str, Any]]
    episodes: int
    frames: int
    data_path: str
    video_path: str

    @property
    def cameras(self) -> list[str]:
        """Names of the features that are pictures."""
        return [name for name, feature in self.features.items() if feature["dtype"] in ("image", "video")]

    def file(self, template: str, **place: object) -> Path:
        """A file of the dataset. Raises :class:`ConfigError` where its name leads out of the folder."""
        try:
            path = (self.root / template.format(**place)).resolve()
        except (KeyError, IndexError, ValueError) as error:
            raise ConfigError(f"{self.root}/{INFO}: the file name {template!r} is malformed") from error
        if not path.is_relative_to(self.root.resolve()):
            raise ConfigError(f"{self.root}/{INFO}: {template!r} leads out of the dataset")
        return path


def read_info(root: Path) -> DatasetInfo:
    """The description of a dataset.

    Raises:
        ConfigError: no dataset, another version of the format, or a malformed description.
    """
    path = root / INFO
    try:
        raw = json.loads(path.read_text())
    except FileNotFoundError:
        bags = any(root.rglob("metadata.yaml")) or any(root.rglob("*.mcap"))
        other = f"; it holds rosbag2 recordings: give it with --bag {quote(str(root))}" if bags else ""
        raise ConfigError(f"{root} is no LeRobotDataset: it has no {INFO}{other}") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    version = str(raw.get("codebase_version", "")) if isinstance(raw, dict) else ""
    if not version.startswith("v3."):
        raise ConfigError(
            f"{root} has format {version or 'unknown'}, {VERSION} is understood. LeRobot converts v2.1:\n"
            "  python -m lerobot.scripts.convert_dataset_v21_to_v30 --repo-id=NAME --root=FOLDER"
        )
    try:
        features = {str(name): dict(feature) for name, feature in raw["features"].items()}
        for name, feature in features.items():
            feature["shape"] = [int(side) for side in feature["shape"]]
            size = math.prod(feature["shape"])
            if not isinstance(feature["dtype"], str) or not 0 < size <= 1 << 28:
                raise ValueError(f"the feature {name!r} has dtype {feature['dtype']} and {size} numbers")
        info = DatasetInfo(
            root,
            version,
            int(raw["fps"]),
            features,
            int(raw["total_episodes"]),
            int(raw["total_frames"]),
            str(raw.get("data_path") or DATA),
            str(raw.get("video_path") or VIDEO),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(f"{path} is malformed: {type(error).__name__}: {error}") from error
    if min(info.fps, info.episodes, info.frames) < 1:
        raise ConfigError(f"{root} is empty: {info.episodes} episodes, {info.frames} frames, {info.fps} fps")
    return info


def element_names(feature: dict[str, Any]) -> list[str]:
    """Names of a vector's numbers; "0", "1" … where the dataset has none."""
    names = feature.get("names")
    if isinstance(names, dict):  # {"motors": ["shoulder_pan", …]} or {"x": 0, "y": 1}
        inner = next(iter(names.values()), None)
        names = list(inner) if isinstance(inner, (list, tuple)) else list(names)
    length = feature["shape"][0]
    return [str(name) for name in names] if names and len(names) == length else list(map(str, range(length)))

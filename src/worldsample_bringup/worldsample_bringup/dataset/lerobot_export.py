"""Writes a run's episodes as a LeRobotDataset v3.0.

Images are kept as PNG, so that they stay exact; states, actions and rewards are the bag's numbers to the bit.
"""

from __future__ import annotations

import dataclasses
import io
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import save_file

from worldsample_bringup.dataset import lerobot_format as fmt
from worldsample_bringup.dataset.recorded_episode import RecordedEpisode, read_episode
from worldsample_core.config import ConfigError
from worldsample_core.transition import EpisodeSummary

QUANTILES = (0.01, 0.10, 0.50, 0.90, 0.99)
Statistics = dict[str, dict[str, NDArray[Any]]]


def export_lerobot(
    bags: Sequence[tuple[Path, EpisodeSummary]],
    task: str,
    instruction: str,
    fps: int,
    out: Path,
    told: Callable[[str], None],
) -> None:
    """Write the episodes of ``bags`` into the new folder ``out``.

    Args:
        bags: the bags, in order, with their summaries.
        task: name of the task.
        instruction: what the robot does, in words, for policies that read language.
        fps: control steps per second.
        out: is made; nothing is left there where the export fails.
        told: called with a line of progress after each episode.

    Raises:
        ConfigError: ``out`` exists, there is no episode, or pyarrow is missing.
        DamagedBag: a bag cannot be read.
    """
    if out.exists():
        raise ConfigError(f"{out} exists already and is not overwritten: name another folder")
    if not bags:
        raise ConfigError("there is no episode to export")
    part = out.with_name(f"{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        _Export(part, task, instruction, fps).write(bags, told)
        part.rename(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)


class _Export:
    """The folder that is being written."""

    def __init__(self, root: Path, task: str, instruction: str, fps: int) -> None:
        self.root, self.task, self.instruction, self.fps = root, task, instruction, fps
        self.rows: list[dict[str, Any]] = []
        self.final: dict[str, NDArray[Any]] = {}
        self.statistics: list[Statistics] = []
        self.frames = self.file = self.bytes_in_file = 0
        self.writer: Any = None
        (root / "meta").mkdir(parents=True)

    def write(self, bags: Sequence[tuple[Path, EpisodeSummary]], told: Callable[[str], None]) -> None:
        size: tuple[int, ...] = ()
        for number, (bag, _) in enumerate(bags):
            episode = read_episode(bag)
            if size not in ((), episode.images.shape[2:4]):
                raise ConfigError(f"{bag} has images of another size than the episodes before it")
            size = episode.images.shape[2:4]
            self._add(number, episode)
            told(f"episode {number + 1} of {len(bags)}: {len(episode)} frames")
        if self.writer is not None:
            self.writer.close()
        self._write_meta([summary for _, summary in bags], fmt.exported_features(*size))

    def _add(self, number: int, episode: RecordedEpisode) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        length, columns = len(episode), _columns(episode)
        pictures = {
            camera: [_png(image) for image in episode.images[:-1, view]]
            for view, camera in enumerate(fmt.CAMERAS)
        }
        place = np.arange(length)
        columns["timestamp"] = (place / self.fps).astype(np.float32)
        columns["frame_index"], columns["index"] = place, place + self.frames
        columns["episode_index"], columns["task_index"] = np.full(length, number), np.zeros(length, int)
        size = sum(len(png) for pngs in pictures.values() for png in pngs)
        if self.writer is not None and self.bytes_in_file + size > fmt.MEGABYTES_PER_FILE * 1_000_000:
            self.writer.close()
            self.writer, self.bytes_in_file, self.file = None, 0, self.file + 1
        self.bytes_in_file += size
        picture_type = pa.struct({"bytes": pa.binary(), "path": pa.string()})
        arrays = {
            camera: pa.array([{"bytes": png, "path": None} for png in pngs], picture_type)
            for camera, pngs in pictures.items()
        }
        arrays |= {name: _arrow(values) for name, values in columns.items()}
        order = fmt.exported_features(1, 1)
        table = pa.table({name: arrays[name] for name in order})
        chunk, file = divmod(self.file, fmt.FILES_PER_CHUNK)
        if self.writer is None:
            path = self.root / fmt.DATA.format(chunk_index=chunk, file_index=file)
            path.parent.mkdir(parents=True, exist_ok=True)
            self.writer = pq.ParquetWriter(path, table.schema, compression="snappy")
        self.writer.write_table(table)  # one row group for each episode, as lerobot writes them
        statistics = _statistics(episode, columns)
        self.statistics.append(statistics)
        self.rows.append(
            {
                "episode_index": number,
                "tasks": [self.instruction],
                "length": length,
                "data/chunk_index": chunk,
                "data/file_index": file,
                "dataset_from_index": self.frames,
                "dataset_to_index": self.frames + length,
                "meta/episodes/chunk_index": 0,
                "meta/episodes/file_index": 0,
                **{
                    f"stats/{name}/{statistic}": values.tolist()
                    for name, found in statistics.items()
                    for statistic, values in found.items()
                },
            }
        )
        self.final[f"{number}.images"] = np.ascontiguousarray(episode.images[-1])
        self.final[f"{number}.proprio"] = np.ascontiguousarray(episode.proprio[-1])
        self.frames += length

    def _write_meta(self, summaries: list[EpisodeSummary], features: dict[str, dict[str, Any]]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self.root / fmt.EPISODES.format(chunk_index=0, file_index=0)
        path.parent.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(self.rows), path)
        pq.write_table(_tasks_table(self.instruction), self.root / fmt.TASKS)
        info = {
            "codebase_version": fmt.VERSION,
            "robot_type": "a1x",
            "total_episodes": len(self.rows),
            "total_frames": self.frames,
            "total_tasks": 1,
            "chunks_size": fmt.FILES_PER_CHUNK,
            "data_files_size_in_mb": fmt.MEGABYTES_PER_FILE,
            "video_files_size_in_mb": fmt.MEGABYTES_PER_VIDEO,
            "fps": self.fps,
            "splits": {"train": f"0:{len(self.rows)}"},
            "data_path": fmt.DATA,
            "video_path": None,
            "features": features,
        }
        origin = {
            "format": 1,
            "task": self.task,
            "episodes": [dataclasses.asdict(summary) for summary in summaries],
        }
        statistics = {
            name: {key: values.tolist() for key, values in found.items()}
            for name, found in _together(self.statistics).items()
        }
        for name, content in ((fmt.INFO, info), (fmt.STATS, statistics), (fmt.ORIGIN, origin)):
            (self.root / name).write_text(json.dumps(content, indent=2))
        save_file(self.final, self.root / fmt.FINAL_OBSERVATIONS)


def _columns(episode: RecordedEpisode) -> dict[str, NDArray[Any]]:
    """The numbers of each frame: what was seen, what was done then, and what came of it."""
    return {
        fmt.STATE: episode.proprio[:-1],
        fmt.ACTION: episode.actions,
        "next.reward": episode.rewards,
        "next.done": episode.terminated | episode.truncated,
        "next.truncated": episode.truncated,
        "next.success": episode.success,
        "is_intervention": episode.intervention,
    }


def _arrow(values: NDArray[Any]) -> Any:
    """``(T,)`` as a column of numbers, ``(T, n)`` as one of vectors."""
    import pyarrow as pa

    if values.ndim == 1:
        return pa.array(values)
    flat = pa.array(np.ascontiguousarray(values).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])


def _png(image: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, format="PNG", compress_level=3)
    return file.getvalue()


def _statistics(episode: RecordedEpisode, columns: dict[str, NDArray[Any]]) -> Statistics:
    """Statistics of each feature of an episode: (n,) of vectors, (3, 1, 1) in [0, 1] of pictures."""
    found = {
        name: _describe(values.reshape(len(values), -1).astype(np.float64), len(values))
        for name, values in columns.items()
    }
    for view, camera in enumerate(fmt.CAMERAS):
        pixels = episode.images[:-1, view].reshape(-1, 3) / 255.0
        described = _describe(pixels, len(episode))
        found[camera] = {
            key: values if key == "count" else values.reshape(3, 1, 1) for key, values in described.items()
        }
    return found


def _describe(values: NDArray[np.float64], count: int) -> dict[str, NDArray[Any]]:
    quantiles = np.quantile(values, QUANTILES, axis=0)
    return {
        "min": values.min(0),
        "max": values.max(0),
        "mean": values.mean(0),
        "std": values.std(0),
        "count": np.array([count]),
        **{f"q{round(100 * q):02d}": row for q, row in zip(QUANTILES, quantiles, strict=True)},
    }


def _together(episodes: list[Statistics]) -> Statistics:
    """Statistics over all episodes; quantiles are means over episodes, as lerobot aggregates them."""
    result: Statistics = {}
    for name in episodes[0]:
        parts = [episode[name] for episode in episodes]
        weights = np.array([float(part["count"][0]) for part in parts])
        weights /= weights.sum()

        def mean(key: str, parts: Any = parts, weights: Any = weights) -> NDArray[Any]:
            return np.asarray(np.tensordot(weights, np.stack([part[key] for part in parts]), 1))

        centre = mean("mean")
        spread = np.stack([part["std"] ** 2 + (part["mean"] - centre) ** 2 for part in parts])
        result[name] = {
            "min": np.min([part["min"] for part in parts], axis=0),
            "max": np.max([part["max"] for part in parts], axis=0),
            "mean": centre,
            "std": np.sqrt(np.tensordot(weights, spread, 1)),
            "count": np.sum([part["count"] for part in parts], axis=0),
            **{key: mean(key) for key in parts[0] if key.startswith("q")},
        }
    return result


def _tasks_table(instruction: str) -> Any:
    """The table of tasks as pandas would write it, with the instruction as its index."""
    import pyarrow as pa

    def column(name: str, kind: str, numpy_type: str) -> dict[str, Any]:
        return {
            "name": name, "field_name": name, "pandas_type": kind, "numpy_type": numpy_type, "metadata": None
        }  # fmt: skip

    pandas = {
        "index_columns": ["task"],
        "column_indexes": [],
        "columns": [column("task_index", "int64", "int64"), column("task", "unicode", "object")],
        "pandas_version": "2.2.0",
    }
    table = pa.table({"task_index": pa.array([0], pa.int64()), "task": [instruction]})
    return table.replace_schema_metadata({"pandas": json.dumps(pandas)})

"""The run folder, a contract that tools read.

::

config.yaml       all resolved settings, git revision
episodes/         one rosbag2 MCAP per real episode
checkpoints/      step_N/
metrics.jsonl     one line per episode, about one per second of each status
tensorboard/      the same as TensorBoard events
wandb/            with run.wandb: the same as Weights & Biases keeps it, and the run's id there
imagined/         with a world model: real segments above their imagined twins, PNG
rollouts/         evaluation episodes as moving pictures, WebP
logs/             what every node said
report.html       curves
summary.json      the result
"""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path
from typing import IO, Any

from worldsample_bringup.run.summary_record import read_summary_text
from worldsample_core.config import ConfigError
from worldsample_core.settings import Settings, load_settings


class RunFolder:
    """Paths of one run folder, and what stands in it."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()

    @property
    def config(self) -> Path:
        return self.path / "config.yaml"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def summary(self) -> Path:
        return self.path / "summary.json"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    @property
    def wandb(self) -> Path:
        return self.path / "wandb"

    @property
    def imagined(self) -> Path:
        return self.path / "imagined"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def episodes(self) -> Path:
        return self.path / "episodes"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def exists(self) -> bool:
        """True if there is anything at the path: such a folder is never written into as a new run."""
        return self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir()))

    def settings(self) -> Settings:
        """Raises :class:`ConfigError` where the folder is no run folder."""
        if not self.config.is_file():
            raise ConfigError(f"{self.path} is not a run folder: it has no config.yaml")
        return load_settings(self.config)

    def read_summary(self) -> dict[str, Any]:
        """``summary.json``, {} where there is none, or a damaged one."""
        try:
            return read_summary_text(self.summary.read_bytes())
        except (FileNotFoundError, ValueError):
            return {}

    def checkpoint_steps(self) -> list[int]:
        """Steps of the checkpoints that are there, in order."""
        steps = (
            path.parent.name.removeprefix("step_") for path in self.checkpoints.glob("step_*/checkpoint.json")
        )
        return sorted(int(step) for step in steps if step.isdigit())

    def checkpoint(self, choice: str = "") -> Path:
        """A checkpoint folder: of a step number, of a path, or the newest.

        Raises:
            ConfigError: there is none; the message lists what is there.
        """
        steps = self.checkpoint_steps()
        if not choice:
            if not steps:
                raise ConfigError(f"{self.path} has no checkpoint yet: train it further, or name another run")
            return self.checkpoints / f"step_{steps[-1]}"
        path = self.checkpoints / f"step_{choice.removeprefix('step_')}"
        for candidate in (path, Path(choice)):
            if candidate.is_dir():
                return candidate.absolute()
        there = ", ".join(map(str, steps)) or "none"
        raise ConfigError(f"there is no checkpoint {choice!r} in {self.path}; steps there: {there}")

    def lock(self) -> IO[str]:
        """Hold the folder until the returned file is closed or this process ends.

        Raises:
            ConfigError: another process works in it.
        """
        file = (self.path / ".lock").open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            file.close()
            raise ConfigError(
                f"process {holder} is at work in {self.path}: stop it first, or start another run"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        return file


def free_path(path: Path) -> Path:
    """``path``, or ``path-2``, ``path-3`` …: the first at which nothing is."""
    candidate, number = path, 2
    while RunFolder(candidate).exists():
        candidate = path.with_name(f"{path.name}-{number}")
        number += 1
    return candidate


def newest_runs(root: Path) -> list[RunFolder]:
    """The run folders in ``root``, the most recently started first."""
    runs = [RunFolder(path.parent) for path in root.glob("*/config.yaml")]
    return sorted(runs, key=lambda run: run.config.stat().st_mtime, reverse=True)


_BYTES_BESIDE_IMAGES = 400_000_000  # checkpoints, metrics, logs, and some air


def check_disk_space(folder: RunFolder, settings: Settings) -> None:
    """Raises :class:`ConfigError` where the run cannot fit: better now than in an hour."""
    run, views, copies = settings.run, 2, 2  # observation and next observation
    demo_steps = 0 if run.demos_from else run.demos * settings.task.horizon
    if run.mode == "label":
        demo_steps = 10 * run.labels
    steps = demo_steps + (settings.task.max_real_steps if run.mode == "train" else 0)
    needed = steps * copies * views * run.image_size**2 * 3 + _BYTES_BESIDE_IMAGES
    existing = next(path for path in (folder.path, *folder.path.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise ConfigError(
            f"the disk of {existing} has {free / 1e9:.1f} GB left; the run may take {needed / 1e9:.1f} GB.\n"
            "  Free some space, or put the run elsewhere: --run-dir DIR"
        )

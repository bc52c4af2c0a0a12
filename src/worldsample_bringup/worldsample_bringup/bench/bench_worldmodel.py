"""Command ``worldsample bench worldmodel``: reports :mod:`worldsample_bringup.bench.worldmodel_truth`.

On standard error: what the measurement says, and how long the training may still take.
"""

from __future__ import annotations

import sys
import threading
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from worldsample_bringup.dashboard.progress import duration
from worldsample_bringup.graph.terminal import LIVE_INTERVAL, Console
from worldsample_bringup.run.configuration import config_directory, known
from worldsample_bringup.run.provenance import git_revision
from worldsample_core.config import choose, from_mapping, read_yaml


class Narration:
    """Passes on what a measurement says, and shows the time left between its words.

    The first word tells that the episodes are there; from then on the training has its ``minutes``. What
    comes between and after (evaluations, counterfactual truth, speed) has no limit, so none is promised.

    Args:
        console: where it goes.
        minutes: of training.
    """

    def __init__(self, console: Console, minutes: float) -> None:
        self._console = console
        self._seconds = 60.0 * minutes
        self._began = time.monotonic()
        self._training_since: float | None = None
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Narration:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.set()
        self._thread.join()
        self._console.close_live()

    def say(self, text: str) -> None:
        """A word of the measurement."""
        self._console.say(f"[{duration(time.monotonic() - self._began)}] {text}")
        if self._training_since is None:
            self._training_since = time.monotonic()

    def line(self) -> str:
        """The live line of now."""
        now = time.monotonic()
        elapsed = f"world model · {duration(now - self._began)}"
        if self._training_since is None:
            return f"{elapsed} · simulating episodes"
        left = self._training_since + self._seconds - now
        if left <= 0.0:
            return f"{elapsed} · evaluating"
        return f"{elapsed} · training, ETA {duration(left)} at most, then evaluating"

    def _tick(self) -> None:
        interval = 1.0 if sys.stderr.isatty() else LIVE_INTERVAL
        while not self._end.wait(interval):
            self._console.live(self.line())


def measure(
    task: str, updates: int, minutes: float, save: Path | None = None, quick: bool = False
) -> dict[str, Any]:
    """Adapt a world model to a simulated online run, and measure it.

    Args:
        task: a file of config/tasks.
        updates, minutes: of training in total, whichever ends first.
        save: where to write the checkpoint.
        quick: everything tiny, as in config/quick.yaml: shows that it works, not how well.

    Returns:
        the keys of :func:`worldsample_bringup.bench.worldmodel_truth.measure`, and ``git_revision``.

    Raises:
        ConfigError: an unknown task.
    """
    choose(task, known("tasks"), "task")
    revision = git_revision()
    sizes = _tiny() if quick else {}
    with Narration(Console(sys.stderr), minutes) as narration:
        figures = import_module("worldsample_bringup.bench.worldmodel_truth").measure(
            task, updates=updates, minutes=minutes, save=save, progress=narration.say, **sizes
        )
    return {**figures, "git_revision": revision}


def _tiny() -> dict[str, Any]:
    """Arguments of the measurement that make it last seconds."""
    config = import_module("worldsample_worldmodel.model.world_model_config").WorldModelConfig
    values = read_yaml(config_directory() / "quick.yaml")
    model = {**values["worldmodel"]["model"], "image_size": values["run"]["image_size"]}
    return {
        "demos": 2,
        "online": 6,
        "held_out": 2,
        "counterfactuals": 6,
        "config": from_mapping(config, model, "worldmodel.model"),
    }

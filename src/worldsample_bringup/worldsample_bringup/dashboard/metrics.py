"""Writes ``metrics.jsonl`` and the TensorBoard events, without duplicates after a resume."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from worldsample_bringup.dashboard.episode_record import episode_to_record
from worldsample_bringup.dashboard.imagined import VIEWS, Figures
from worldsample_bringup.run.history import (
    WINDOW,
    History,
    Record,
    intervention_rate,
    read_history,
    success_rate,
)
from worldsample_bringup.run.run_folder import RunFolder
from worldsample_core.episodes.journal import explain
from worldsample_core.node.cpu_account import cpu_piece
from worldsample_core.transition import EpisodeSummary


class EventWriter(Protocol):
    """The part of ``tensorboardX.SummaryWriter`` that is used."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> Any: ...

    def add_image(self, tag: str, img_tensor: Any, global_step: int, *, dataformats: str) -> Any: ...

    def flush(self) -> None: ...

    def close(self) -> None: ...


def event_writer(folder: RunFolder) -> EventWriter:
    """TensorBoard events in a run folder."""
    torch = sys.modules.get("torch")
    sys.modules["torch"] = torch  # type: ignore[assignment]  # None: not to be imported
    try:  # tensorboardX imports torch where it can: 3 s and 250 MB for graphs that nobody draws here
        from tensorboardX import SummaryWriter
    finally:
        if torch is None:
            del sys.modules["torch"]
    return SummaryWriter(str(folder.tensorboard))


class MetricsLog:
    """The one writer of a run's metrics.

    An episode that is there already is not written again; a learner that fell back to its checkpoint is
    passed over until it is further than it was.

    Args:
        folder: of the run.
        events: TensorBoard, None for none.

    Attributes:
        history: everything written so far, in earlier sessions too.
        problem: why the disk does not take the metrics any more; "" while it does.
    """

    def __init__(self, folder: RunFolder, events: EventWriter | None = None) -> None:
        self.history: History = read_history(folder.metrics)
        self._events, self._path, self.problem = events, folder.metrics, ""
        self._file = folder.metrics.open("a+b")
        self._cut_torn_line()
        self._offset = self.history.wall_seconds
        self._started = time.monotonic()
        self._updates = max(
            (int(record["updates"]) for record in self.history.statuses.get("learner", [])), default=-1
        )

    def _cut_torn_line(self) -> None:
        """Remove what a crash has left of a last line."""
        self._file.seek(0)
        data = self._file.read()
        whole = data.rfind(b"\n") + 1
        if whole != len(data):
            self._file.truncate(whole)

    @property
    def wall(self) -> float:
        """Wall seconds of the run so far, interruptions left out."""
        return self._offset + time.monotonic() - self._started

    def start(self, resumed: bool, git_revision: str) -> None:
        """A session begins."""
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        self._write("start", {"utc": now, "resumed": resumed, "git_revision": git_revision})

    def done(self) -> None:
        """The run is complete."""
        self._write("done", {"real_steps": self.history.real_steps})

    @cpu_piece("metrics")
    def episode(self, summary: EpisodeSummary, from_disk: bool = False) -> bool:
        """One finished episode. False where it is there already.

        Args:
            from_disk: the summary was read from the episode's bag: it corrects what was heard.
        """
        known = self.history.find(summary.kind, summary.episode)
        values = episode_to_record(summary)
        if known is not None and not (
            from_disk and any(known.get(name) != _plain(value) for name, value in values.items())
        ):
            return False
        self._write("episode", values)
        if self._events is not None and known is None:
            self._episode_events(summary)
        return True

    @cpu_piece("metrics")
    def status(self, kind: str, values: Mapping[str, Any]) -> bool:
        """A status of a node. False where it was left out: a learner behind where it has been before."""
        if kind == "learner":
            if int(values["updates"]) < self._updates:
                return False
            self._updates = int(values["updates"])
        values = {"real_steps": self.history.real_steps, **values}
        self._write(kind, values)
        if self._events is not None:
            for name, value in values.items():
                if _is_curve(kind, name, value):
                    self._events.add_scalar(f"{kind}/{name}", value, int(values["real_steps"]))
        return True

    def imagined(self, image: NDArray[np.uint8], figures: Figures) -> None:
        """A real segment above its imagined twin, for TensorBoard. ``(H, W, 3) uint8``."""
        if self._events is None:
            return
        step = figures.real_steps
        self._events.add_image("imagined/real_above_imagined", image, step, dataformats="HWC")
        for view in VIEWS:
            self._events.add_scalar(f"imagined/psnr_{view}", figures.psnr(view), step)
            self._events.add_scalar(f"imagined/ssim_{view}", figures.ssim(view), step)

    def _episode_events(self, summary: EpisodeSummary) -> None:
        assert self._events is not None
        step = summary.real_steps
        if summary.kind == "train":
            recent = self.history.train[-WINDOW:]
            self._events.add_scalar(f"train/success_last_{WINDOW}", success_rate(recent) or 0.0, step)
            self._events.add_scalar(
                f"train/interventions_last_{WINDOW}", intervention_rate(recent) or 0.0, step
            )
            self._events.add_scalar("train/episode_steps", summary.steps, step)
            self._events.add_scalar("train/episode_return", summary.episode_return, step)
        elif summary.kind == "eval":
            last = self.history.evaluations(0)[-1]
            self._events.add_scalar("eval/success", last.success_rate, step)

    def _write(self, kind: str, values: Mapping[str, Any]) -> None:
        record: Record = {
            "kind": kind,
            "t": round(self.wall, 3),
            **{name: _plain(value) for name, value in values.items()},
        }
        self.history.add(record)
        with self._as_far_as_the_disk_goes():
            self._file.write(json.dumps(record, allow_nan=False).encode() + b"\n")
            self._file.flush()

    @contextmanager
    def _as_far_as_the_disk_goes(self) -> Iterator[None]:
        """A disk that takes nothing ends the run elsewhere; what was measured stays in the history."""
        try:
            yield
        except OSError as error:
            self.problem = str(explain(error, self._path))

    def close(self) -> None:
        """Flush and close, as far as the disk goes."""
        with self._as_far_as_the_disk_goes():
            self._file.close()
        if self._events is not None:
            with self._as_far_as_the_disk_goes():
                self._events.close()


def _is_curve(kind: str, name: str, value: Any) -> bool:
    """True if a value of a status is worth a curve: figures, and what the world-model half counts."""
    if isinstance(value, bool) or name == "real_steps":
        return False
    if name.startswith(("psnr", "ssim")) and not value:  # not measured yet
        return False
    return (isinstance(value, float) and math.isfinite(value)) or (
        isinstance(value, int) and kind in ("pacing", "worldmodel")
    )


def _plain(value: Any) -> Any:
    """JSON has no NaN: null instead. Floats to 6 significant digits."""
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value

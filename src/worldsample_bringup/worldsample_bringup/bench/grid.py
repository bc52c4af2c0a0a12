"""A grid of training runs: each a process of its own, a few side by side, none ever lost.

A cell is one run in one folder. A finished one is kept, an unfinished one is resumed, so the same grid may be
run again and again until it is complete; it does not matter how it ended the last time.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO, Any

from worldsample_bringup.dashboard.progress import duration
from worldsample_bringup.graph.terminal import Console
from worldsample_bringup.run.history import History, read_tail
from worldsample_bringup.run.run_folder import RunFolder
from worldsample_core.node.parent_death import die_with_parent

ATTEMPTS = 3
"""Starts of a run in one go, at most; it is started again only where it got further than before."""
STOP_PATIENCE = 60.0
"""Seconds for a run to write its last words when it is asked to stop."""
_TICK = 0.2
_LOOK = 2.0  # s between looks into the run folders
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class GridCell:
    """One run of the grid.

    Attributes:
        name: for people, unique in the grid.
        folder: its run folder.
        start: the command that begins it.
        resume: the command that goes on with it.
        steps: its budget of real steps.
    """

    name: str
    folder: RunFolder
    start: tuple[str, ...]
    resume: tuple[str, ...]
    steps: int

    @property
    def finished(self) -> bool:
        """True if its ``summary.json`` says so."""
        return bool(self.folder.read_summary().get("finished"))

    @property
    def begun(self) -> bool:
        """True if there is something to resume."""
        return self.folder.config.is_file()

    @property
    def log(self) -> Path:
        """Output of its command, beside the folder (which must not be there before the run makes it)."""
        return self.folder.path.with_name(f"{self.folder.path.name}.log")

    def command(self) -> tuple[str, ...]:
        """The command to run now."""
        return self.resume if self.begun else self.start


@dataclass(frozen=True)
class CellProgress:
    """Progress of a cell.

    Attributes:
        steps: real steps so far.
        seconds: wall time of the run so far.
        success: of its newest evaluation; None before the first.
        episodes: that the newest evaluation has so far.
    """

    steps: int = 0
    seconds: float = 0.0
    success: float | None = None
    episodes: int = 0


def progress_of(cell: GridCell) -> CellProgress:
    """A cell's progress from what stands in its run folder, whoever runs it."""
    summary = cell.folder.read_summary()
    if summary.get("finished"):
        steps, seconds = int(summary.get("real_steps") or 0), float(summary.get("wall_seconds") or 0.0)
        return CellProgress(
            steps, seconds, summary.get("eval_success_rate"), summary.get("eval_episodes") or 0
        )
    history = History()
    for record in read_tail(cell.folder.metrics):
        history.add(record)
    evaluations = history.evaluations(0)
    newest = (evaluations[-1].success_rate, evaluations[-1].episodes) if evaluations else (None, 0)
    return CellProgress(history.real_steps, history.wall_seconds, *newest)


@dataclass
class GridOutcome:
    """The end of a grid.

    Attributes:
        failed: names of cells that ended with an error, and what their commands said last.
        stopped: the signal that ended it, 0 where it ended by itself.
    """

    failed: dict[str, str] = field(default_factory=dict)
    stopped: int = 0


@dataclass
class _Running:
    process: subprocess.Popen[bytes]
    log: IO[bytes]
    attempt: int
    steps: int  # where this attempt began


class Grid:
    """Runs cells until all are finished, have failed, or a person stops it.

    Args:
        cells: in the order of starting.
        jobs: how many run side by side.
        console: where the progress line goes.
        environment: of the commands; without a ROS domain of its own where several run side by side,
            so that each takes a free one.
    """

    def __init__(
        self,
        cells: Sequence[GridCell],
        jobs: int,
        console: Console,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        if jobs < 1:
            raise ValueError(f"jobs must be at least 1, got {jobs}")
        self._cells = tuple(cells)
        self._jobs = jobs
        self._console = console
        self._environment = dict(os.environ if environment is None else environment)
        if jobs > 1:
            self._environment.pop("ROS_DOMAIN_ID", None)
        self._running: dict[str, _Running] = {}
        self._outcome = GridOutcome()
        self._signals: list[int] = []
        self._kill_at = float("inf")

    def run(self) -> GridOutcome:
        """Run what is not finished yet. SIGINT and SIGTERM stop every run in order; a second one kills."""
        kept = [cell for cell in self._cells if cell.finished]
        if kept:
            self._console.say(f"kept, finished already: {', '.join(cell.name for cell in kept)}")
        waiting = deque((cell, 1) for cell in self._cells if cell not in kept)
        look_at = 0.0
        with self._signals_caught():
            while self._running or (waiting and not self._signals):
                while waiting and len(self._running) < self._jobs and not self._signals:
                    self._start(*waiting.popleft())
                self._heed_signals()
                waiting.extend(self._reap())
                if time.monotonic() >= look_at:
                    self._console.live(self.line())
                    look_at = time.monotonic() + _LOOK
                time.sleep(_TICK)
        self._console.close_live()
        return self._outcome

    def line(self) -> str:
        """The live line: how far everything is, and how long until every budget is spent."""
        progress = {cell.name: progress_of(cell) for cell in self._cells}
        finished = {cell.name for cell in self._cells if cell.finished}
        parts = [f"{len(finished)}/{len(self._cells)} runs"]
        for cell in self._cells:
            if cell.name in self._running:
                now = progress[cell.name]
                success = "" if now.success is None else f", eval {now.success:.2f} of {now.episodes}"
                parts.append(f"{cell.name} {now.steps:,}/{cell.steps:,} real steps{success}")
        if self._outcome.failed:
            parts.append(f"{len(self._outcome.failed)} failed")
        left = self._seconds_left(progress, finished)
        if self._signals:
            parts.append("stopping")
        elif left is not None:
            parts.append(f"ETA {duration(left)} at most")
        return " · ".join(parts)

    def _seconds_left(self, progress: Mapping[str, CellProgress], finished: set[str]) -> float | None:
        """Seconds left at the mean pace of all runs so far; None before the first step."""
        steps = sum(each.steps for each in progress.values())
        seconds = sum(each.seconds for each in progress.values() if each.steps)
        left = [
            max(0, cell.steps - progress[cell.name].steps)
            for cell in self._cells
            if cell.name not in finished and cell.name not in self._outcome.failed
        ]
        if not steps or not left:
            return None
        return max(sum(left) / min(self._jobs, len(left)), max(left)) * seconds / steps

    def _start(self, cell: GridCell, attempt: int) -> None:
        again = "goes on" if cell.begun else "starts"
        self._console.say(f"{cell.name} {again}: {cell.log}")
        cell.log.parent.mkdir(parents=True, exist_ok=True)
        log = cell.log.open("ab")
        process = subprocess.Popen(
            cell.command(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=self._environment,
            start_new_session=True,  # Ctrl-C reaches it through this process, once
            preexec_fn=die_with_parent(),
        )
        self._running[cell.name] = _Running(process, log, attempt, progress_of(cell).steps)

    def _reap(self) -> list[tuple[GridCell, int]]:
        """Take leave of what has ended. Returns what is to be started again."""
        again = []
        for cell in self._cells:
            running = self._running.get(cell.name)
            code = running.process.poll() if running else None
            if running is None or code is None:
                continue
            running.log.close()
            del self._running[cell.name]
            if cell.finished:
                now = progress_of(cell)
                success = "" if now.success is None else f", success {now.success:.2f}"
                told = f"{cell.name} is finished: {now.steps:,} real steps{success}, {duration(now.seconds)}"
                self._console.say(told)
            elif self._signals:
                continue
            elif running.attempt < ATTEMPTS and progress_of(cell).steps > running.steps:
                self._console.say(f"{cell.name} ended early with exit code {code}")
                again.append((cell, running.attempt + 1))
            else:
                last = _last_words(cell.log)
                self._outcome.failed[cell.name] = last
                self._console.say(f"{cell.name} FAILED with exit code {code}: {last}")
        return again

    def _heed_signals(self) -> None:
        if not self._signals:
            return
        if not self._outcome.stopped:
            self._outcome.stopped = self._signals[0]
            self._kill_at = time.monotonic() + STOP_PATIENCE
            for running in self._running.values():
                running.process.terminate()
        if len(self._signals) > 1 or time.monotonic() > self._kill_at:
            for running in self._running.values():
                running.process.kill()

    @contextlib.contextmanager
    def _signals_caught(self) -> Iterator[None]:
        def on_signal(number: int, frame: FrameType | None) -> None:
            self._signals.append(number)

        before = {number: signal.signal(number, on_signal) for number in _STOP_SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _last_words(log: Path) -> str:
    """The last lines of a log that say something."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return " | ".join([line.strip() for line in lines if line.strip()][-3:]) or "it said nothing"


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a result; readers see the old file or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(values, indent=1) + "\n")
    partial.replace(path)

"""A training run as a process of its own, watched to its end: wall and CPU time by process and by phase."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from worldsample_bringup.bench.grid import GridCell, progress_of
from worldsample_bringup.bench.process_watch import ProcessWatch, machine_seconds
from worldsample_bringup.dashboard.progress import duration
from worldsample_bringup.graph.terminal import Console
from worldsample_bringup.run.metrics_record import Record
from worldsample_core.node.parent_death import die_with_parent

LOOK = 0.25
"""Seconds between two looks at the processes."""
STOP_PATIENCE = 60.0
"""Seconds for the run to end when it is asked to stop."""
EVALUATION = "evaluation"
PHASES = {"demo": "demonstrations", "train": "training", "eval": EVALUATION}
"""Phase of a run by the kind of its episodes."""
START, END = "start", "end"
"""The phases before the first episode and after the last one."""


class WatchedRun:
    """A run as a process of its own, looked at until it ends.

    Attributes:
        watch: CPU time by process and phase.
        wall: seconds by phase.
        wall_seconds: from the start of the command to its end.
        cpu_seconds: of the command and all that it started.
        others: CPU seconds of everything else on this machine meanwhile.
        code: exit code of the command, 128 + n after signal n.
        stopped: the signal by which a person ended the measurement; 0 for none.
    """

    def __init__(self, cell: GridCell, environment: Mapping[str, str], console: Console) -> None:
        self._cell, self._environment, self._console = cell, environment, console
        self.watch: ProcessWatch
        self.wall: Counter[str] = Counter()
        self.wall_seconds = self.cpu_seconds = self.others = 0.0
        self.code = self.stopped = 0
        self._metrics = EpisodeTail(cell.folder.metrics)
        self._began = self._charged = 0.0

    def run(self) -> None:
        """Start the run and account for it until it has ended; Ctrl-C stops it in order."""
        self._console.say(f"{self._cell.name} starts: {self._cell.log}")
        self._cell.log.parent.mkdir(parents=True, exist_ok=True)
        worked = machine_seconds()
        self._began = self._charged = time.monotonic()
        with self._cell.log.open("wb") as log:
            process = subprocess.Popen(
                self._cell.start,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,  # Ctrl-C reaches it through this process, once
                preexec_fn=die_with_parent(),
            )
        self.watch = ProcessWatch(process.pid)
        before = signal.signal(signal.SIGTERM, _as_interrupt)
        try:
            self._follow(process)
        except KeyboardInterrupt as interrupt:
            self.stopped = signal.SIGTERM if interrupt.args else signal.SIGINT
            process.send_signal(signal.SIGINT)
            self._follow(process, time.monotonic() + STOP_PATIENCE)
        finally:
            signal.signal(signal.SIGTERM, before)
            if process.returncode is None:
                process.kill()
                process.wait()
        self.wall_seconds = time.monotonic() - self._began
        self.others = max(0.0, machine_seconds() - worked - self.cpu_seconds)

    def _follow(self, process: subprocess.Popen[bytes], until: float = float("inf")) -> None:
        """Look until the process has ended: only then its whole CPU time, with its children's, is known."""
        shown = 0.0
        while process.returncode is None and time.monotonic() < until:
            self.watch.look()
            for phase in self._metrics.phases():
                self._charge(phase)
            if time.monotonic() - shown > 2.0:
                shown = time.monotonic()
                self._console.live(self._line(shown - self._began))
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                code = os.waitstatus_to_exitcode(status)
                process.returncode = self.code = code if code >= 0 else 128 - code
                self.cpu_seconds = usage.ru_utime + usage.ru_stime
            else:
                time.sleep(LOOK)
        self._charge(END)
        self._console.close_live()

    def _charge(self, phase: str) -> None:
        """Charge the CPU and wall time that was used since the last call to ``phase``."""
        now = time.monotonic()
        self.watch.charge(phase)
        self.wall[phase] += now - self._charged  # type: ignore[assignment]
        self._charged = now

    def _line(self, seconds: float) -> str:
        """Progress of the run, and the time that it may still take."""
        now = progress_of(self._cell)
        parts = [f"{self._cell.name} {now.steps:,}/{self._cell.steps:,} real steps"]
        parts += [] if now.success is None else [f"eval {now.success:.2f} of {now.episodes}"]
        parts.append(f"{duration(seconds)} so far, {duration(sum(self.watch.by_name().values()))} of CPU")
        if now.steps:
            parts.append(f"ETA {duration(seconds * (self._cell.steps / now.steps - 1.0))}")
        return " · ".join(parts)


def _as_interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt(number)


class EpisodeTail:
    """Reads what has been added to a ``metrics.jsonl``: which phases have come to an end."""

    def __init__(self, path: Path) -> None:
        self._path, self._at, self._begun = path, 0, False

    def phases(self) -> list[str]:
        """The phase of every episode that has ended since the last call, :data:`START` before the first."""
        found = []
        for record in self._records():
            if record.get("kind") == "episode" and (kind := record.get("episode_kind")) is not None:
                found.append(PHASES.get(str(kind), str(kind)))
            elif record.get("kind") == "policy" and not self._begun and record.get("phase") != "starting":
                self._begun = True
                found.append(START)
        return found

    def _records(self) -> list[Record]:
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._at)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._at += len(whole)
        return [record for line in whole.splitlines() if (record := _record_of(line)) is not None]


def _record_of(line: bytes) -> Record | None:
    """The record in a line, whatever version wrote it; None where it is damaged."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None

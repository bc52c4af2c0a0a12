"""The embedded runner: the node graph as processes, for machines without ``launch``.

honcho and circus run sets of processes too, and neither fits: honcho stops everything as soon as one
process ends (no respawn, no exit code 0 that lets the others go on) and leaves orphans when it is killed
itself; circus is a daemon with its own sockets and configuration. What a run needs is small and must be
exact, so it stands here: every line behind the name of its node; an end of a node means what
:class:`worldsample_bringup.graph.graph.OnExit` says; Ctrl-C and failures stop every process (SIGINT, SIGTERM,
SIGKILL to its group); the exit code is the failed node's; no orphans even where the runner itself is
killed. One thread, one loop over pipes, exits and deadlines.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO

from worldsample_bringup.graph.node_command import Process, ProcessSpec
from worldsample_bringup.graph.node_spec import OnExit
from worldsample_bringup.graph.terminal import LIVE_INTERVAL, LIVE_MARK, Console
from worldsample_core.node.exit_codes import BAD_CONFIGURATION

STARTED_AGAIN = (OnExit.RESPAWN, OnExit.CAN_BE_SPARED)
_TICK = 0.05  # s between looks at exits and deadlines
_LONGEST_LINE = 65536  # bytes
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Outcome:
    """The end of a graph.

    Attributes:
        code: 0 where the run is complete; the failed node's exit code; 128 + n after signal n to the runner.
        node: the failed node, if one failed.
        reason: one sentence for people; "" where the run is complete.
        last_lines: what the failed node said last.
    """

    code: int
    node: str = ""
    reason: str = ""
    last_lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class RestartPolicy:
    """Limits and delays of the restarts of a crashed node.

    Attributes:
        limit: restarts within ``window``, at most.
        window: s.
        first_delay: s before the first restart; it doubles with each.
        longest_delay: s.
    """

    limit: int = 5
    window: float = 600.0
    first_delay: float = 1.0
    longest_delay: float = 16.0


@dataclass
class _Slot:
    """A place in the graph: its process, now or next, and what it has said."""

    spec: ProcessSpec
    process: Process | None = None
    log: IO[str] | None = None
    start_at: float | None = None
    crashes: list[float] = field(default_factory=list)
    partial: bytes = b""
    last_lines: deque[str] = field(default_factory=lambda: deque(maxlen=5))
    live_logged: float = -LIVE_INTERVAL


class Runner:
    """Runs a set of processes until the run is complete, one of them fails, or a person stops it.

    Args:
        specs: what to run, in the order of starting.
        console: where lines go.
        log_directory: where each process also gets ``<name>.log`` (appended); None for no files.
        restart: for :attr:`OnExit.RESPAWN` and :attr:`OnExit.CAN_BE_SPARED`.
        finish_grace: once a MAY_FINISH process has ended with 0, how long the others have to complete the
            run, s.
        watch: called about 20 times a second with this runner.
    """

    def __init__(
        self,
        specs: Sequence[ProcessSpec],
        console: Console,
        log_directory: Path | None = None,
        restart: RestartPolicy | None = None,
        finish_grace: float = 120.0,
        watch: Callable[[Runner], None] | None = None,
    ) -> None:
        self._slots = {spec.name: _Slot(spec) for spec in specs}
        self._console = console
        self._log_directory = log_directory
        self._restart = restart or RestartPolicy()
        self._finish_grace = finish_grace
        self._watch = watch
        self._selector = selectors.DefaultSelector()
        self._outcome: Outcome | None = None
        self._signals: list[int] = []
        self._finish_by: float | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all nodes, in the order of starting."""
        return tuple(self._slots)

    def pid(self, name: str) -> int | None:
        """Process id of a running node."""
        process = self._slots[name].process
        return process.pid if process is not None and process.exit_code() is None else None

    def stop(self, outcome: Outcome | None = None) -> None:
        """End the graph; the first outcome counts."""
        if self._outcome is None:
            self._outcome = outcome or Outcome(0)

    def run(self) -> Outcome:
        """Start everything, and return when everything has ended. To be called in the main thread."""
        before = {number: signal.signal(number, self._on_signal) for number in _STOP_SIGNALS}
        try:
            for slot in self._slots.values():
                if self._outcome is None:
                    self._start(slot)
            while self._outcome is None:
                self._look()
                if self._watch is not None:
                    self._watch(self)
            self._stop_all()
            return self._outcome
        finally:
            for slot in self._slots.values():  # only after an exception is anything left here
                if slot.process is not None:
                    slot.process.kill()
                if slot.log is not None:
                    slot.log.close()
            self._selector.close()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._signals.append(number)

    def _environment(self) -> Mapping[str, str]:
        environment = {
            **os.environ,
            "PYTHONUNBUFFERED": "1",
            "RCUTILS_CONSOLE_OUTPUT_FORMAT": "{severity} {message}",
            "RCUTILS_COLORIZED_OUTPUT": "0",
            "WORLDSAMPLE_LIVE_LINE": "1",
        }
        if self._log_directory is not None:
            environment.setdefault("ROS_LOG_DIR", str(self._log_directory / "ros"))
        return environment

    def _start(self, slot: _Slot) -> None:
        slot.start_at = None
        if self._log_directory is not None and slot.log is None:
            self._log_directory.mkdir(parents=True, exist_ok=True)
            slot.log = (self._log_directory / f"{slot.spec.name}.log").open("a", encoding="utf-8")
        try:
            slot.process = Process(slot.spec, self._environment())
        except OSError as error:
            problem = f"{slot.spec.name} cannot be started: {error}"
            if slot.spec.on_exit is OnExit.LOOKS_ON:
                self._console.log(slot.spec.name, f"WARN {problem}; the run goes on without it")
            else:
                self.stop(Outcome(1, slot.spec.name, problem))
            return
        self._record(slot, f"--- started, pid {slot.process.pid}: {' '.join(slot.spec.command)}")
        self._selector.register(slot.process.output, selectors.EVENT_READ, slot)

    def _look(self) -> None:
        """One turn: output, signals, exits, restarts."""
        for key, _ in self._selector.select(_TICK):
            self._read(key.data)
        if self._signals and self._outcome is None:
            number = self._signals.pop(0)
            name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
            self.stop(Outcome(128 + number, reason=name))
        now = time.monotonic()
        for slot in self._slots.values():
            if slot.process is not None and (code := slot.process.exit_code()) is not None:
                self._close(slot, code)
                if self._outcome is None:
                    self._draw_consequence(slot, code)
            elif slot.start_at is not None and now >= slot.start_at and self._outcome is None:
                self._start(slot)
        if self._finish_by is not None and now > self._finish_by:
            self.stop(
                Outcome(1, reason=f"the run was not completed within {self._finish_grace:g} s of its end")
            )

    def _read(self, slot: _Slot) -> bool:
        """Take what a process has written. False when there is nothing (more) to take."""
        assert slot.process is not None
        try:
            data = os.read(slot.process.output.fileno(), _LONGEST_LINE)
        except BlockingIOError:
            return False
        if not data:  # closed
            with contextlib.suppress(KeyError):
                self._selector.unregister(slot.process.output)
            return False
        *lines, slot.partial = (slot.partial + data).split(b"\n")
        if len(slot.partial) > _LONGEST_LINE:
            lines, slot.partial = [*lines, slot.partial], b""
        for line in lines:
            self._show(slot, line)
        return True

    def _show(self, slot: _Slot, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip("\r").rpartition("\r")[2]
        if text.startswith(LIVE_MARK):
            text = text[len(LIVE_MARK) :]
            self._console.live(text)
            if time.monotonic() - slot.live_logged < LIVE_INTERVAL:
                return
            slot.live_logged = time.monotonic()
        else:
            self._console.log(slot.spec.name, text)
            if text.strip():
                slot.last_lines.append(text)
        self._record(slot, text)

    def _record(self, slot: _Slot, text: str) -> None:
        if slot.log is None:
            return
        try:
            slot.log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")
            slot.log.flush()
        except OSError as error:  # a full disk: the nodes themselves say so; logs are not worth the run
            self._console.say(f"{slot.spec.name}.log can no longer be written: {error}")
            slot.log = None

    def _close(self, slot: _Slot, code: int) -> None:
        """Take the last output of a process that has ended, and leave nothing of it."""
        assert slot.process is not None
        while self._read(slot):
            pass
        if slot.partial:
            self._show(slot, slot.partial)
            slot.partial = b""
        with contextlib.suppress(KeyError):
            self._selector.unregister(slot.process.output)
        slot.process.reap()
        slot.process.output.close()
        slot.process = None
        self._record(slot, f"--- ended with exit code {code}")

    def _draw_consequence(self, slot: _Slot, code: int) -> None:
        """End the run, start the node again, or go on without it, as its ``on_exit`` says."""
        name, on_exit = slot.spec.name, slot.spec.on_exit
        if on_exit is OnExit.LOOKS_ON:
            self._console.log(name, f"WARN ended with exit code {code}; the run goes on without it")
        elif code == 0 and on_exit is OnExit.COMPLETES_RUN:
            self.stop(Outcome(0))
        elif code == 0 and on_exit in (OnExit.MAY_FINISH, *STARTED_AGAIN):
            if on_exit is OnExit.MAY_FINISH:
                self._finish_by = time.monotonic() + self._finish_grace
        elif code not in (0, BAD_CONFIGURATION) and on_exit in STARTED_AGAIN and self._may_restart(slot):
            self._schedule_restart(slot, code)
        elif code != BAD_CONFIGURATION and on_exit is OnExit.CAN_BE_SPARED:
            self._console.log(name, f"WARN ended with exit code {code} again; the run goes on without it")
        else:
            reason = (
                f"{name} failed with exit code {code}"
                if code
                else f"{name} ended before the run was complete"
            )
            self.stop(Outcome(code or 1, name, reason, tuple(slot.last_lines)))

    def _may_restart(self, slot: _Slot) -> bool:
        now = time.monotonic()
        slot.crashes = [at for at in slot.crashes if now - at < self._restart.window] + [now]
        return len(slot.crashes) <= self._restart.limit

    def _schedule_restart(self, slot: _Slot, code: int) -> None:
        policy, count = self._restart, len(slot.crashes)
        delay = min(policy.first_delay * 2 ** (count - 1), policy.longest_delay)
        slot.start_at = time.monotonic() + delay
        self._console.log(
            slot.spec.name,
            f"WARN ended with exit code {code}; it starts again in {delay:g} s ({count} of {policy.limit})",
        )

    def _stop_all(self) -> None:
        """Stop every process, those that are to be stopped last after the others. A second signal kills."""
        for last in (False, True):
            wave = [slot for slot in self._slots.values() if slot.spec.stop_last is last]
            for slot in wave:
                if slot.process is not None:
                    slot.process.ask_to_stop()
            while any(slot.process is not None for slot in wave):
                if self._signals:
                    self._signals.clear()
                    for slot in self._slots.values():
                        if slot.process is not None:
                            slot.process.kill()
                for slot in wave:
                    if slot.process is not None:
                        slot.process.press()
                self._look()

"""Output of the set-up while it works: numbered steps, a live line with the time left, a log."""

from __future__ import annotations

import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TextIO

from worldsample_setup.problem import CommandFailed

SPINNER = "|/-\\"
HEARTBEAT_SECONDS = 20.0  # between two lines where the output is no terminal
TAIL_LINES = 25


def clock(seconds: float) -> str:
    """'7 s', '1:05 min' or '1:02:03 h'."""
    whole = int(seconds + 0.5)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d} h"


class Progress:
    """Shows the steps of one set-up on standard error and writes the output of every command to a log.

    Args:
        steps: (title, seconds that the step usually takes) of each step to come, in order.
        log: the log file; its folder must exist.
        stream: where the lines go; standard output stays free for the command itself.
    """

    def __init__(self, steps: list[tuple[str, float]], log: Path, stream: TextIO | None = None) -> None:
        self.stream = stream if stream is not None else sys.stderr
        self.live = self.stream.isatty()
        self.steps = steps
        self.log = open(log, "a", encoding="utf-8", errors="replace")  # noqa: SIM115 - closed by close()
        self.log_path = log
        self.current = -1
        self.detail = ""
        self.last_draw = 0.0
        self.fraction = 0.0  # of the step that runs, where its command tells; 0 if it does not
        self.started = self.step_started = self.last_line = time.monotonic()
        self.usual_done = 0.0  # what the finished steps usually take
        self.command_started: Callable[[int], None] = lambda group: None  # told the process group of each
        self.log.write(f"\n==== {time.strftime('%Y-%m-%d %H:%M:%S %z')} ====\n")

    def close(self) -> None:
        self.log.close()

    def elapsed(self) -> float:
        return time.monotonic() - self.started

    def note(self, text: str) -> None:
        """One line for people, also in the log."""
        self._clear()
        print(text, file=self.stream, flush=True)
        self.write_log(text)

    def write_log(self, text: str) -> None:
        self.log.write(text + "\n")
        self.log.flush()

    @contextmanager
    def step(self) -> Iterator[None]:
        """The next step: a line when it starts, the time it took when it ends."""
        self.current += 1
        self.detail, self.fraction = "", 0.0
        self.step_started = time.monotonic()
        self.write_log(f"---- {self._label()}")
        if self.live:
            self.tick()
        else:
            self._line(f"{self._label()} ...{self._left_text()}")
        yield
        took = time.monotonic() - self.step_started
        self.usual_done += self.steps[self.current][1]
        self._clear()
        self._line(f"{self._label()}: done in {clock(took)}" + (f" ({self.detail})" if self.detail else ""))
        self.write_log(f"---- done in {took:.1f} s")

    def failed(self) -> None:
        """Ends the live line of a step that did not come to its end."""
        self._clear()
        if self.current >= 0:
            self._line(f"{self._label()}: stopped after {clock(time.monotonic() - self.step_started)}")

    def seconds_left(self) -> float:
        """Estimate of the time left, s.

        It starts from what the steps usually take, is scaled by how long the finished ones took, and follows
        what the running command tells of itself.
        """
        done = self.step_started - self.started
        slowness = min(max(done / self.usual_done, 0.8), 5.0) if self.usual_done > 30 else 1.0
        inside = time.monotonic() - self.step_started
        this = max(self.steps[self.current][1] * slowness - inside, 1.0)
        if self.fraction > 0.05:
            this = inside * (1.0 / self.fraction - 1.0)
        return this + slowness * sum(usual for _, usual in self.steps[self.current + 1 :])

    def tick(self) -> None:
        """Redraws the live line, or prints a line now and then where the output is no terminal."""
        now = time.monotonic()
        inside = now - self.step_started
        if self.live:
            if now - self.last_draw < 0.1:
                return
            self.last_draw = now
            turn = SPINNER[int(now * 5) % len(SPINNER)]
            text = f"{self._label()} {turn} {clock(inside)}{self._left_text()}"
            if self.detail:
                text += f" | {self.detail}"
            width = shutil.get_terminal_size().columns - 1
            self.stream.write("\r\033[K" + text[:width])
            self.stream.flush()
        elif now - self.last_line >= HEARTBEAT_SECONDS:
            tail = f", {self.detail}" if self.detail else ""
            self._line(f"{self._label()} ... {clock(inside)}{self._left_text()}{tail}")

    def run(
        self,
        command: list[str],
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        describe: Callable[[str], str | None] | None = None,
    ) -> list[str]:
        """Runs a command; its output goes to the log, and the live line keeps moving meanwhile.

        Args:
            command: the command line.
            env: its whole environment; this process's own if None.
            cwd: its working folder.
            describe: turns a line of output into the text shown beside the spinner; None keeps the last one.

        Returns:
            All lines of output (standard output and error together).

        Raises:
            CommandFailed: exit code other than 0.
            FileNotFoundError: no such command.
        """
        self.write_log("$ " + " ".join(command))
        lines: queue.Queue[str | None] = queue.Queue()
        output: list[str] = []
        tail: deque[str] = deque(maxlen=TAIL_LINES)
        # A Ctrl-C between the start of the command and the first line that would end it leaves it behind.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            process = subprocess.Popen(
                command,
                env=dict(env) if env is not None else None,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,  # Ctrl-C reaches this process only, which then ends the whole group
                preexec_fn=partial(signal.pthread_sigmask, signal.SIG_SETMASK, before),
            )
        except BaseException:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            raise
        try:
            threading.Thread(target=_read_lines, args=(process, lines), daemon=True).start()
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            self.command_started(process.pid)
            while True:
                try:
                    line = lines.get(timeout=0.2)
                except queue.Empty:
                    self.tick()
                    continue
                if line is None:
                    break
                self.write_log(line)
                output.append(line)
                if line.strip():
                    tail.append(line)
                detail = describe(line) if describe else None
                if detail is not None:
                    self.detail = detail
                self.tick()
            code = process.wait()
        except BaseException:
            end_group(process)
            raise
        if code != 0:
            raise CommandFailed(command, code, list(tail))
        self.detail = ""
        return output

    def _label(self) -> str:
        return f"[{self.current + 1}/{len(self.steps)}] {self.steps[self.current][0]}"

    def _left_text(self) -> str:
        return f", about {clock(self.seconds_left())} left in all"

    def _line(self, text: str) -> None:
        print(text, file=self.stream, flush=True)
        self.last_line = time.monotonic()

    def _clear(self) -> None:
        if self.live:
            self.stream.write("\r\033[K")
            self.stream.flush()


def end_group(process: subprocess.Popen[str]) -> None:
    """Ends a command and everything that it started: asks first, then insists."""
    for sign, patience in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            return
        try:
            process.wait(timeout=patience)
            return
        except subprocess.TimeoutExpired:
            continue


def _read_lines(process: subprocess.Popen[str], lines: queue.Queue[str | None]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line.rstrip("\n"))
    lines.put(None)

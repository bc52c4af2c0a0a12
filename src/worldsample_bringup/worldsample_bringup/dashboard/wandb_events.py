"""The run's curves on their way to Weights & Biases, through a process of its own.

The package ``wandb`` waits for its server, asks for keys and starts threads. All of that is in the other
process (:mod:`worldsample_bringup.dashboard.wandb_process`), and the run does not wait for it.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from worldsample_bringup.report.filmstrip import png
from worldsample_bringup.run.run_folder import RunFolder
from worldsample_core.node.parent_death import die_with_parent

LIMIT = 4_000_000
"""Bytes that may wait for the other process: some quarters of an hour of curves."""
PATIENCE = 30.0
"""Seconds that the other process has at the end to send what is left."""
SILENCE = 3.0
"""Seconds of these after which a person is told."""
NICE = 10
"""Niceness of the other process. With 19 it would not come to its start within minutes on a busy core."""
SAY_URL, SAY_PROBLEM = "url", "problem"
"""First words of the lines that the other process says."""


class WandbEvents:
    """A run's curves for Weights & Biases. A problem is told once; it ends the curves, never the run.

    Args:
        folder: of the run.
        tell: is told where the curves can be seen.
        warn: is told what is wrong.
    """

    def __init__(
        self, folder: RunFolder, tell: Callable[[str], object], warn: Callable[[str], object]
    ) -> None:
        self._tell, self._warn = tell, warn
        self._step, self._row = 0, dict[str, float]()
        self._process: _WandbProcess | None = None
        with self._as_far_as_it_goes():
            self._process = _WandbProcess(folder, tell)

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
        """Add a point. The points of one step leave together."""
        if global_step != self._step or tag in self._row:
            self.flush()
        self._step = global_step
        self._row[tag] = float(scalar_value)

    def add_image(self, tag: str, img_tensor: Any, global_step: int, *, dataformats: str) -> None:
        """Add a picture, ``(H, W, 3) uint8``."""
        assert dataformats == "HWC"
        self._send({"step": global_step, "images": {tag: base64.b64encode(png(img_tensor)).decode()}})

    def flush(self) -> None:
        """Send the points that have gathered."""
        if self._row:
            self._send({"step": self._step, "scalars": self._row})
            self._row = {}

    def close(self) -> None:
        """Send what is left, and end the other process; it has ``PATIENCE`` seconds."""
        self.flush()
        with self._as_far_as_it_goes():
            if self._process is not None:
                self._process.end(PATIENCE)

    def _send(self, row: dict[str, Any]) -> None:
        with self._as_far_as_it_goes():
            if self._process is not None:
                self._process.send(row)

    @contextlib.contextmanager
    def _as_far_as_it_goes(self) -> Iterator[None]:
        try:
            yield
        except OSError as problem:
            if self._process is not None:
                self._process.kill()
            self._process = None
            self._warn(f"no more curves go to Weights & Biases: {problem}. The run goes on without it")


class _WandbProcess:
    """The other process: rows go in and words come out, without waiting.

    Raises:
        OSError: it cannot be started, or it goes on no longer; the message says why.
    """

    def __init__(self, folder: RunFolder, tell: Callable[[str], object]) -> None:
        self._folder, self._tell = folder, tell
        self._unsent, self._heard = bytearray(), b""
        folder.logs.mkdir(parents=True, exist_ok=True)
        with (folder.logs / "wandb.log").open("ab") as log:
            self._popen = subprocess.Popen(
                [sys.executable, "-m", "worldsample_bringup.dashboard.wandb_process", str(folder.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
                start_new_session=True,  # Ctrl-C is for the run, which then ends this process
                preexec_fn=die_with_parent(NICE),
            )
        assert self._popen.stdin is not None and self._popen.stdout is not None
        self._input, self._output = self._popen.stdin, self._popen.stdout
        for pipe in (self._input, self._output):
            os.set_blocking(pipe.fileno(), False)

    def send(self, row: dict[str, Any]) -> None:
        """Hand a row over, as soon as the pipe takes it."""
        self._unsent += json.dumps(row).encode() + b"\n"
        if len(self._unsent) > LIMIT:
            raise ConnectionError("it takes too long")
        self._exchange()

    def end(self, patience: float) -> None:
        """Hand over what is left, and wait for the end, at most so many seconds."""
        began, told = time.monotonic(), False
        while (code := self._popen.poll()) is None and time.monotonic() - began < patience:
            if self._unsent:
                self._exchange()
            elif not self._input.closed:
                self._input.close()  # the other process ends with its input
            if not told and time.monotonic() - began > SILENCE:
                told = True
                self._tell("Weights & Biases gets the last curves ...")
            time.sleep(0.02)
        self._listen()
        if code is None:
            begun = any(self._folder.wandb.glob("*run-*"))
            rest = f"; `wandb sync --include-online {self._folder.wandb}/*run-*` sends what is there"
            raise TimeoutError(f"not everything has arrived{rest if begun else ''}")
        if code:
            raise ConnectionError(f"its process ended with exit code {code}")

    def kill(self) -> None:
        """End it at once."""
        self._popen.kill()
        self._popen.wait()

    def _exchange(self) -> None:
        self._listen()
        try:
            while self._unsent:
                del self._unsent[: os.write(self._input.fileno(), self._unsent[:65536])]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._popen.wait()
            self._listen()  # its last words say more
            raise

    def _listen(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._heard += os.read(self._output.fileno(), 65536)
        *lines, self._heard = self._heard.split(b"\n")
        for line in lines:
            word, _, text = line.decode(errors="replace").partition(" ")
            if word == SAY_PROBLEM:
                raise ConnectionError(text)
            self._tell(f"curves at {text}")

"""CPU time of a process by named piece of work, written when the process ends.

Counting is switched on by the environment variable ``WORLDSAMPLE_CPU_ACCOUNT``, a folder; ``worldsample bench
cell`` sets it. Otherwise :func:`cpu_piece` does nothing, at the price of a function call::

    with cpu_piece("imagination"):
        ...

    @cpu_piece("rendering")
    def render(self): ...

A piece counts the CPU time of the thread that works on it, without the pieces inside it. Work that PyTorch
spreads over more threads is not seen: the account of a process says how much CPU time it has used altogether.
"""

from __future__ import annotations

import atexit
import json
import os
import threading
import time
from collections.abc import Callable
from contextlib import ContextDecorator
from pathlib import Path
from types import TracebackType

ENVIRONMENT = "WORLDSAMPLE_CPU_ACCOUNT"
"""Folder into which every process writes ``<pid>.json`` when it ends; unset: nothing is counted."""

IMPORTS = "imports"
"""The piece of everything before :func:`imports_done`."""
START = "start"
"""The piece of making the node, after the imports."""


class CpuAccount:
    """CPU seconds and calls of each piece of work, summed over threads.

    Args:
        clock: CPU seconds of the calling thread.
    """

    def __init__(self, clock: Callable[[], float] = time.thread_time) -> None:
        self._clock = clock
        self._local = threading.local()
        self._sums: list[dict[str, list[float]]] = []  # one for each thread: none waits for another
        self.imports = 0.0

    def enter(self, piece: str) -> None:
        """The calling thread begins a piece, perhaps inside another one."""
        stack = getattr(self._local, "stack", None)
        if stack is None:
            stack = self._local.stack = []
            self._local.sums = {}
            self._sums.append(self._local.sums)
        stack.append([piece, 0.0, self._clock()])

    def leave(self) -> None:
        """The calling thread has ended its innermost piece."""
        stack = self._local.stack
        piece, inside, began = stack.pop()
        took = self._clock() - began
        if stack:
            stack[-1][1] += took
        sums = self._local.sums.setdefault(piece, [0.0, 0])
        sums[0] += took - inside
        sums[1] += 1

    def pieces(self) -> dict[str, dict[str, float]]:
        """``{"cpu_seconds": …, "calls": …}`` of each piece, over all threads."""
        result: dict[str, dict[str, float]] = {}
        if self.imports:
            result[IMPORTS] = {"cpu_seconds": round(self.imports, 3), "calls": 1}
        for sums in self._sums:
            for piece, (seconds, calls) in sums.items():
                entry = result.setdefault(piece, {"cpu_seconds": 0.0, "calls": 0})
                entry["cpu_seconds"] = round(entry["cpu_seconds"] + seconds, 3)
                entry["calls"] += calls
        return result

    def write(self, folder: Path) -> None:
        """Leave the account in ``folder``; a process that cannot write it ends all the same."""
        account = {"pid": os.getpid(), "cpu_seconds": time.process_time(), "pieces": self.pieces()}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            partial = folder / f"{os.getpid()}.partial"
            partial.write_text(json.dumps(account))
            partial.replace(folder / f"{os.getpid()}.json")
        except OSError:
            pass


class cpu_piece(ContextDecorator):
    """A piece of work of this process, as a context manager or as a decorator; see the module."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        if _account is not None:
            _account.enter(self.name)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if _account is not None:
            _account.leave()


def imports_done() -> None:
    """The process's CPU time so far went into starting Python and importing modules."""
    if _account is not None:
        _account.imports = time.process_time()


def _begin(folder: str | None) -> CpuAccount | None:
    if not folder:
        return None
    account = CpuAccount()
    atexit.register(account.write, Path(folder))
    return account


_account = _begin(os.environ.get(ENVIRONMENT))

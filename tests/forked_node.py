"""Nodes as processes that are forked from one which has imported them: torch is imported once, not per node.

``multiprocessing``'s fork server imports this module, has no thread and no ROS context, and forks a process
for each node. From there on it is a process like any other: its own ROS context, its own death.
"""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from multiprocessing import forkserver
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from tests import fake_cell
from worldsample_core.node.environment_variables import environment_variables
from worldsample_core.node.parent_death import die_with
from worldsample_policy import learner_node, policy_node
from worldsample_worldmodel import worldmodel_node

MAIN = {
    "cell": fake_cell.main,
    "policy": policy_node.main,
    "learner": learner_node.main,
    "worldmodel": worldmodel_node.main,
}
"""Every node's entry point."""

ROOT = Path(__file__).resolve().parent.parent


class ForkedNode:
    """A node's process, with the methods of :class:`subprocess.Popen` that tests need."""

    def __init__(
        self, name: str, arguments: Sequence[str], environment: Mapping[str, str], log: Path
    ) -> None:
        """Start the node; its output goes to ``log``."""
        path = f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
        with environment_variables(
            {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
        ):  # read as libraries are imported
            forkserver.set_forkserver_preload(["tests.fork_server"])
            forkserver.ensure_running()
        self.args = [name, *arguments]
        context = multiprocessing.get_context("forkserver")
        self._process: ForkServerProcess = context.Process(
            target=_run, args=(name, list(arguments), dict(environment), str(log))
        )
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """The exit code, negative after a signal; None while the node runs."""
        return self._process.exitcode

    def wait(self, seconds: float | None = None) -> int:
        """The exit code. Raises :class:`subprocess.TimeoutExpired` where the node still runs then."""
        self._process.join(seconds)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired(self.args, seconds or 0.0)
        return code

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the node if it still runs."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


def _run(name: str, arguments: list[str], environment: dict[str, str], log: str) -> None:
    """Be the node, in the new process, as if it had been started by its command line."""
    die_with(os.getppid())
    tests = multiprocessing.parent_process()
    if tests is None or not tests.is_alive():  # and the fork server with it, before the line above
        os._exit(1)
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for descriptor in (1, 2):
        os.dup2(output, descriptor)
    os.close(output)
    for stream in (sys.stdout, sys.stderr):
        assert isinstance(stream, io.TextIOWrapper)
        stream.reconfigure(line_buffering=True)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [f"{name}_node", *arguments]
    sys.exit(MAIN[name]())

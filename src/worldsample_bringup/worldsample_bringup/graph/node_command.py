"""One process of the graph: in a group of its own, tied to the life of its parent, stopped in steps."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from worldsample_bringup.graph.enclaves import enclave_arguments
from worldsample_bringup.graph.node_spec import NodeSpec, OnExit
from worldsample_core.config import ConfigError
from worldsample_core.node.parent_death import die_with_parent

STARTING = 5.0
"""Seconds for which a process counts as starting."""


@dataclass(frozen=True)
class ProcessSpec:
    """A command to run. Fields as in :class:`worldsample_bringup.graph.node_spec.NodeSpec`."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    on_exit: OnExit = OnExit.ENDS_GRAPH
    nice: int = 0
    grace: float = 5.0
    stop_last: bool = False

    def behind(self, words: Sequence[str]) -> ProcessSpec:
        """The same with words before its command, such as ``nice -n 5``; they must become the command."""
        return replace(self, command=[*words, *self.command])


def process_for(node: NodeSpec) -> ProcessSpec:
    """The command line of a node, without ``ros2 run``.

    A node of this workspace runs as ``python -m package.executable`` under this very interpreter, any other
    one as ``lib/<package>/<executable>`` of its ament prefix.

    Raises:
        ConfigError: neither exists.
    """
    if _has_module(node.package, node.executable):
        command = [sys.executable, "-m", f"{node.package}.{node.executable}"]
    else:
        command = [str(_installed_executable(node.package, node.executable))]
    command += ["--ros-args", "-r", f"__node:={node.name}", *enclave_arguments(node.name)]
    for source, target in node.remappings:
        command += ["-r", f"{source}:={target}"]
    for key, value in node.parameters.items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        command += ["-p", f"{key}:={text}"]
    return ProcessSpec(
        node.name, command, node.environment, node.on_exit, node.nice, node.grace, node.stop_last
    )  # fmt: skip


def _has_module(package: str, module: str) -> bool:
    try:
        return find_spec(f"{package}.{module}") is not None
    except ModuleNotFoundError:
        return False


def _installed_executable(package: str, executable: str) -> Path:
    for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep):
        path = Path(prefix, "lib", package, executable)
        if prefix and os.access(path, os.X_OK):
            return path
    raise ConfigError(
        f"there is no executable {executable!r} of package {package!r}: is the workspace built and sourced?"
    )


class Process:
    """A running :class:`ProcessSpec`.

    Its standard output and error arrive merged through :attr:`output`, a non-blocking pipe. It leads a
    process group, so that what it starts is stopped with it. The kernel kills it when this process dies,
    however that happens.
    """

    def __init__(self, spec: ProcessSpec, environment: Mapping[str, str]) -> None:
        """Start it. Raises :class:`OSError` where it cannot be started."""
        self.spec = spec
        self._popen = subprocess.Popen(
            list(spec.command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**environment, **spec.environment},
            start_new_session=True,
            preexec_fn=die_with_parent(spec.nice),
        )
        assert self._popen.stdout is not None
        self.output: IO[bytes] = self._popen.stdout
        os.set_blocking(self.output.fileno(), False)
        self.pid = self._popen.pid
        self.started = time.monotonic()
        self._steps: list[tuple[float, signal.Signals]] = []

    def exit_code(self) -> int | None:
        """None while it runs; 128 + n where signal n ended it."""
        code = self._popen.poll()
        return 128 - code if code is not None and code < 0 else code

    def signal_group(self, number: signal.Signals) -> None:
        """Send a signal to the process and to all that it has started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def ask_to_stop(self) -> None:
        """SIGINT now; SIGTERM after ``grace`` seconds and SIGKILL after twice as many, by :meth:`press`.

        A process that is still starting gets SIGTERM at once: SIGINT amid its imports would show a traceback.
        """
        now, grace = time.monotonic(), self.spec.grace
        self._steps = [(now + grace, signal.SIGTERM), (now + 2 * grace, signal.SIGKILL)]
        self.signal_group(signal.SIGTERM if now - self.started < STARTING else signal.SIGINT)

    def press(self) -> None:
        """Send the next signal of :meth:`ask_to_stop` if its time has come."""
        while self._steps and time.monotonic() >= self._steps[0][0]:
            self.signal_group(self._steps.pop(0)[1])

    def kill(self) -> None:
        """SIGKILL to the group, at once."""
        self._steps = []
        self.signal_group(signal.SIGKILL)

    def reap(self) -> None:
        """After its end: kill what is left of its group."""
        self.signal_group(signal.SIGKILL)

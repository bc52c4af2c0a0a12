"""Runs Rerun's server of data and page in a process of its own, reachable from this machine only."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path

from worldsample_bringup.viewer.priority import give_way
from worldsample_bringup.viewer.web_page import HOST, WebPage
from worldsample_core.config import ConfigError
from worldsample_core.node.parent_death import die_with_parent

MEMORY = "1GB"
"""That the server keeps for a browser that comes later; the oldest data go first."""
STARTING = 20.0
"""Seconds that the server may take until it listens."""


def require_free_ports(port: int) -> None:
    """Raise :class:`ConfigError` where a port of the viewer is taken, with the remedy."""
    if not 1024 <= port <= 65533:
        raise ConfigError(f"the viewer's port is 1024 .. 65533, got {port}")
    for each in ports(port):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, each))
            except OSError:
                raise ConfigError(
                    f"port {each} is taken: another viewer may be open. Close it, or take another port: "
                    f"{_free_from(port + 10)} is free"
                ) from None


def ports(port: int) -> tuple[int, int, int]:
    """Ports of the page, of the data and of Rerun's own page."""
    return port, port + 1, port + 2


def _free_from(port: int) -> int:
    """The first page port from here on whose three ports are free."""
    for candidate in range(port, 65533, 10):
        with contextlib.ExitStack() as stack:
            try:
                for each in ports(candidate):
                    stack.enter_context(socket.socket()).bind((HOST, each))
            except OSError:
                continue
            return candidate
    return port


class WebViewer:
    """The viewer in the browser, from its making until :meth:`close`.

    Args:
        port: of the page. The data are at the next port, Rerun's own page at the one after.

    Attributes:
        address: of the page, for people.
        stream_url: for :func:`worldsample_bringup.viewer.recording.open_recording`.

    Raises:
        ConfigError: a port is taken, or Rerun's server does not start.
    """

    def __init__(self, port: int) -> None:
        require_free_ports(port)
        _, data, source = ports(port)
        command = [
            *(str(_program()), "--serve-web", "--bind", HOST, "--port", str(data)),
            *("--web-viewer-port", str(source), "--server-memory-limit", MEMORY, "--newest-first"),
        ]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "CI": "1"},  # Rerun then neither sends usage data nor writes files for them
            preexec_fn=die_with_parent(),
            start_new_session=True,
        )
        try:
            self._wait_for(data)
            self._wait_for(source)
            give_way(self._process.pid)
            self._page = WebPage(port, source, data)
        except (ConfigError, OSError):
            self._process.kill()
            self._process.wait()
            raise
        self.address = self._page.address
        self.stream_url = f"rerun+http://{HOST}:{data}/proxy"

    def _wait_for(self, port: int) -> None:
        end = time.monotonic() + STARTING
        while time.monotonic() < end and self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1.0):
                return
            time.sleep(0.05)
        raise ConfigError(f"Rerun's server did not start on port {port}: look at `{_program()} --help`")

    @property
    def alive(self) -> bool:
        """True while Rerun's server runs."""
        return self._process.poll() is None

    def close(self) -> None:
        """End the page and the server."""
        self._page.close()
        self._process.terminate()
        try:
            self._process.wait(timeout=3.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _program() -> Path:
    """Rerun's program, as the package has it."""
    spec = find_spec("rerun_cli")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError("the package rerun-sdk has no program `rerun`: install it again")
    return Path(next(iter(spec.submodule_search_locations))) / "rerun"

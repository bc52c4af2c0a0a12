"""The wall clock is set by 30 s, back and forth, under running graphs. The machine's own clock is left alone.

``tests/moved_clock.c`` is preloaded into every process of a run: it gives them a wall clock of their own.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

rclpy = pytest.importorskip("rclpy", reason="needs ROS")
from rclpy.context import Context  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.node import Node  # noqa: E402

from tests.test_real_loop import SETTINGS  # noqa: E402
from worldsample_core.messages.qos import COMMAND  # noqa: E402
from worldsample_core.node.parent_death import die_with_parent  # noqa: E402
from worldsample_msgs.msg import EndEffectorCommand  # noqa: E402

COMPILER = shutil.which("cc") or shutil.which("gcc") or ""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.real_time,
    pytest.mark.skipif(not COMPILER, reason="no C compiler"),
]
JUMPS = (-30.0, 0.0)
"""s by which the clock is off, one after the other: 30 s back, then 30 s on."""


class MovedClock:
    """The wall clock of the processes that are started with :attr:`environment`."""

    def __init__(self, folder: Path) -> None:
        library, self._file = folder / "moved_clock.so", folder / "clock"
        source = Path(__file__).with_name("moved_clock.c")
        subprocess.run([COMPILER, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
        self._file.write_bytes(struct.pack("<q", 0))
        self.environment = {"LD_PRELOAD": str(library), "MOVED_CLOCK": str(self._file)}

    def set(self, off: float) -> None:
        """Have the clock be ``off`` s beside the machine's."""
        with self._file.open("r+b") as file:  # in place: the processes have it mapped
            file.write(struct.pack("<q", round(off * 1e9)))


class Commands:
    """Times, s, monotonic, at which commands came."""

    def __init__(self, domain: int) -> None:
        self.times: list[float] = []
        self._context = Context()
        rclpy.init(context=self._context, domain_id=domain)
        self._node = Node("commands_heard", context=self._context)
        self._node.create_subscription(EndEffectorCommand, "a1x/command", self._on_command, COMMAND)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._ending = False
        self._thread = threading.Thread(target=self._spin)
        self._thread.start()

    def _on_command(self, _: EndEffectorCommand) -> None:
        self.times.append(time.monotonic())

    def _spin(self) -> None:
        while not self._ending:
            self._executor.spin_once(timeout_sec=0.2)

    def longest_pause(self, began: float, ended: float) -> float:
        """The longest time without a command between two moments, s."""
        times = [began, *(at for at in self.times if began < at < ended), ended]
        return max(after - before for before, after in itertools.pairwise(times))

    def close(self) -> None:
        self._ending = True
        self._thread.join()
        self._node.destroy_node()
        rclpy.shutdown(context=self._context)


@pytest.fixture
def commands(ros_domain: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Commands]:
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    heard = Commands(ros_domain)
    yield heard
    heard.close()


def until(condition: Callable[[], bool], run: subprocess.Popen[bytes], log: Path, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert run.poll() is None and time.monotonic() < end, log.read_text()
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("arguments", "pause"),
    [(("--realtime",), 4.0), (("--real", *SETTINGS[:-4]), 10.0)],
    ids=["simulated", "stand-ins"],
)
def test_field_report_07_attack_05_commands_go_on_while_the_wall_clock_is_set(
    arguments: tuple[str, ...], pause: float, tmp_path: Path, ros_domain: int, commands: Commands
) -> None:
    """pause: s without a command that a run may make; an arm's way to its reset is in it."""
    demos = ["demos", "--task", "pushing", "--episodes", "500", "--machine", "cpu", *arguments]
    clock, log = MovedClock(tmp_path), tmp_path / "output"
    with log.open("wb") as output:
        run = subprocess.Popen(
            [sys.executable, "-m", "worldsample_bringup.cli", *demos, "--out", str(tmp_path / "demos")],
            cwd=tmp_path,
            env={**os.environ, "ROS_DOMAIN_ID": str(ros_domain), **clock.environment},
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=die_with_parent(),
        )
    try:
        until(lambda: len(commands.times) > 20, run, log, 120.0)
        for off in JUMPS:
            clock.set(off)
            began = time.monotonic()
            time.sleep(1.5 * pause + 2.0)
            assert run.poll() is None, log.read_text()
            silent = commands.longest_pause(began, time.monotonic())
            assert silent < pause, f"{silent:.1f} s without a command, off by {off:+g} s\n{log.read_text()}"
        run.send_signal(signal.SIGINT)
        assert run.wait(60) in (0, 130), log.read_text()
    finally:
        run.kill()
        run.wait()
    assert "Traceback" not in log.read_text() and "jumped" not in log.read_text()

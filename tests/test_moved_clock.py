"""The wall clock is set by 30 s, back and forth, under running graphs. The machine's own clock is left alone.

A library is preloaded into every process of a run: it gives them a wall clock of their own.
"""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

rclpy = pytest.importorskip("rclpy", reason="needs ROS")
from rclpy.context import Context  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.node import Node  # noqa: E402

from tests.ros_domain import own_domain  # noqa: E402
from tests.test_real_loop import STAND_INS  # noqa: E402
from worldsample_bringup.bench.faults.moved_clock import MovedClock, find_compiler  # noqa: E402
from worldsample_core.messages.qos import COMMAND  # noqa: E402
from worldsample_core.node.parent_death import die_with_parent  # noqa: E402
from worldsample_msgs.msg import EndEffectorCommand  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    pytest.mark.real_time,
    pytest.mark.skipif(not find_compiler(), reason="no C compiler"),
]
JUMPS = (-30.0, 0.0)
"""s by which the clock is off, one after the other: 30 s back, then 30 s on."""
ARGUMENTS = {"simulated": ("--realtime",), "stand-ins": ("--real", *STAND_INS)}
PAUSE = {"simulated": 4.0, "stand-ins": 10.0}
"""s without a command that a run may make; an arm's way to its reset is in it."""


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


class MovedRun:
    """Demonstrations that are recorded while their wall clock is set; what the arm was told meanwhile.

    Args:
        arguments: of ``worldsample demos``.
    """

    def __init__(self, folder: Path, domain: int, arguments: Sequence[str]) -> None:
        self.clock, self._log = MovedClock(folder), folder / "output"
        self.commands = Commands(domain)
        self.silences: dict[float, float] = {}
        command = [sys.executable, "-m", "worldsample_bringup.cli", "demos", "--task", "pushing"]
        command += ["--episodes", "500", "--machine", "cpu", *arguments, "--out", str(folder / "demos")]
        with self._log.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, "ROS_DOMAIN_ID": str(domain), **self.clock.environment},
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=die_with_parent(),
            )

    @property
    def output(self) -> str:
        return self._log.read_text()

    def goes_on(self) -> bool:
        return self.process.poll() is None

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.commands.close()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, MovedRun]]:
    """Both runs, at the same time, through all :data:`JUMPS`; then they are interrupted."""
    started: dict[str, MovedRun] = {}
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        for name, arguments in ARGUMENTS.items():
            domain = stack.enter_context(own_domain())
            started[name] = MovedRun(tmp_path_factory.mktemp(name), domain, arguments)
            stack.callback(started[name].close)
        end = time.monotonic() + 120.0
        for run in started.values():
            while len(run.commands.times) <= 20 and run.goes_on() and time.monotonic() < end:
                time.sleep(0.1)
        for off in JUMPS:
            for run in started.values():
                run.clock.set(off)
            began = time.monotonic()
            time.sleep(1.5 * max(PAUSE.values()) + 2.0)
            for run in started.values():
                if run.goes_on():
                    run.silences[off] = run.commands.longest_pause(began, time.monotonic())
        for run in started.values():
            run.process.send_signal(signal.SIGINT)
        yield started


@pytest.mark.parametrize("name", ["simulated", "stand-ins"])
def test_field_report_07_attack_05_commands_go_on_while_the_wall_clock_is_set(
    runs: dict[str, MovedRun], name: str
) -> None:
    run = runs[name]
    assert run.process.wait(60) in (0, 130), run.output
    assert list(run.silences) == list(JUMPS), run.output
    for off, silent in run.silences.items():
        assert silent < PAUSE[name], f"{silent:.1f} s without a command, off by {off:+g} s\n{run.output}"
    assert "Traceback" not in run.output and "jumped" not in run.output

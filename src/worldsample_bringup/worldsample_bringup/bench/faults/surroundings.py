"""Around a run, for faults: a small disk, a wall clock, a cable. Each only where it can be had."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from worldsample_bringup.bench.faults.fault import Fault, Kind
from worldsample_bringup.bench.faults.moved_clock import MovedClock
from worldsample_bringup.bench.faults.two_computers import Cable, two_computers
from worldsample_bringup.graph.node_command import ProcessSpec
from worldsample_core.node.environment_variables import environment_variables

DISK_MB = 1000
"""Size of the file system that is filled."""
FILLER = "filler"
FILLED = 45.0
"""s for which a full disk stays full, where the run does not end before."""
CLOCK_SET = 3.0
"""s that count as the fault itself, after the clock was set."""
CHUNK = 1 << 20
ON_ROBOT = ("a1x", "operator", "policy")
"""Nodes that run on the robot's side of the cable."""


class Surroundings:
    """A folder for a run, and what can be done to its surroundings.

    Attributes:
        folder: for the run.
        missing: kinds of faults that cannot be done here, with the reason.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.missing: dict[Kind, str] = {}
        self.clock: MovedClock | None = None
        self.cable: Cable | None = None

    def placed(self, spec: ProcessSpec) -> ProcessSpec:
        """The process on its side of the cable, where there is one."""
        return spec.behind(self.cable.on_robot) if self.cable and spec.name in ON_ROBOT else spec

    def begin(self, fault: Fault) -> float:
        """Do a fault of the surroundings. Returns for how long it lasts, s."""
        if fault.kind == "disk full":
            fill(self.folder / FILLER)
            return FILLED
        if fault.kind == "clock set":
            assert self.clock is not None
            self.clock.set(self.clock.off + fault.seconds)
            return CLOCK_SET
        assert self.cable is not None
        self.cable.cut()
        return fault.seconds

    def end(self, fault: Fault) -> None:
        """Take it back; a clock stays as it was set."""
        if fault.kind == "disk full":
            (self.folder / FILLER).unlink(missing_ok=True)
        elif fault.kind == "network cut":
            assert self.cable is not None
            self.cable.mend()


@contextlib.contextmanager
def surroundings() -> Iterator[Surroundings]:
    """Make all that can be had here, and clear it away."""
    with tempfile.TemporaryDirectory(prefix="worldsample-faults-") as name, contextlib.ExitStack() as stack:
        folder = Path(name, "disk")
        around = Surroundings(folder)
        if problem := stack.enter_context(small_disk(folder)):
            around.missing["disk full"] = f"no file system of its own ({problem})"
        try:
            around.clock = MovedClock(Path(name))
            stack.enter_context(environment_variables(around.clock.environment))
        except OSError as problem:
            around.missing["clock set"] = str(problem)
        try:
            around.cable = stack.enter_context(two_computers())
            stack.enter_context(environment_variables({"ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"}))
        except OSError as problem:
            around.missing["network cut"] = str(problem)
        yield around


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[str]:
    """A file system of its own at ``folder``; yields "" where it is one, or why it cannot be made."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
        problem = done.stderr.strip() if done.returncode else ""
    except OSError as error:
        problem = str(error)
    try:
        yield problem
    finally:
        if not problem:
            subprocess.run(["umount", "-l", str(folder)], check=False)


def fill(path: Path) -> None:
    """Write until the disk is full."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while file.write(bytes(CHUNK)):
            pass

"""Robot and workstation as two hosts on one machine, with a cable between them that can be cut.

This process moves into a network of its own, that of the workstation, so that nothing reaches a real one. A
keeper process holds the robot's: its network, and its shared memory, by which DDS would cross a cut cable.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence

from worldsample_core.node.parent_death import die_with_parent

TOOLS = ("ip", "unshare", "nsenter")
NEW_NETWORK = 0x40000000  # CLONE_NEWNET of linux/sched.h
WORKSTATION, ROBOT = "ws-station", "ws-robot"
"""Names of the cable's ends."""
ADDRESSES = {WORKSTATION: "10.231.0.1/24", ROBOT: "10.231.0.2/24"}
CARRIER = 10.0
"""s within which a cable must carry."""
KEEP = "mount -t tmpfs tmpfs /dev/shm && ip link set lo up && echo ready && exec sleep infinity"
_LIBC = ctypes.CDLL(None, use_errno=True)


class Cable:
    """The cable from the workstation, where this process is, to the robot.

    Attributes:
        on_robot: words before the command of a process that runs on the robot.
    """

    def __init__(self, keeper: int) -> None:
        self.on_robot: Sequence[str] = ("nsenter", "--net", "--mount", "--target", str(keeper), "--")
        _ip("link", "add", WORKSTATION, "type", "veth", "peer", "name", ROBOT, "netns", str(keeper))
        _ip("addr", "add", ADDRESSES[WORKSTATION], "dev", WORKSTATION)
        _ip("addr", "add", ADDRESSES[ROBOT], "dev", ROBOT, on=self.on_robot)
        _ip("link", "set", ROBOT, "up", on=self.on_robot)
        self.mend()

    def cut(self) -> None:
        """Nothing reaches the other side from now on."""
        _ip("link", "set", WORKSTATION, "down")

    def mend(self) -> None:
        """Connect both again, and wait until the cable carries."""
        _ip("link", "set", WORKSTATION, "up")
        end = time.monotonic() + CARRIER
        while not _carries():
            if time.monotonic() > end:
                raise OSError("the cable between both does not carry")
            time.sleep(0.05)


def _carries() -> bool:
    """True once an address of the workstation's end may be used."""
    command = ["ip", "-o", "addr", "show", "dev", WORKSTATION]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return "inet " in said and "tentative" not in said


@contextlib.contextmanager
def two_computers() -> Iterator[Cable]:
    """Make both and leave them again. Threads that run already stay in the network of before.

    Raises:
        OSError: this machine does not allow it, or lacks a tool.
    """
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        raise OSError(f"{', '.join(missing)} not found: install iproute2 and util-linux")
    before = os.open(f"/proc/self/task/{os.getpid()}/ns/net", os.O_RDONLY)
    try:
        if _LIBC.unshare(NEW_NETWORK):
            code = ctypes.get_errno()
            raise OSError(code, f"no network of its own: {os.strerror(code)}")
        with _keeper() as keeper:
            _ip("link", "set", "lo", "up")
            yield Cable(keeper)
    finally:
        _LIBC.setns(before, NEW_NETWORK)
        os.close(before)


@contextlib.contextmanager
def _keeper() -> Iterator[int]:
    """A process that holds the robot's namespaces; yields its number."""
    process = subprocess.Popen(
        ["unshare", "--net", "--mount", "sh", "-c", KEEP],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=die_with_parent(),
    )
    assert process.stdout is not None
    try:
        said = process.stdout.readline().strip()
        if said != "ready":
            raise OSError(f"no host for the robot: {said}")
        yield process.pid
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _ip(*arguments: str, on: Sequence[str] = ()) -> None:
    done = subprocess.run([*on, "ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")

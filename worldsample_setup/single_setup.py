"""One set-up at a time: an advisory lock that the system releases when its holder ends, however it ends."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class SetupLock:
    """The held lock; notes the running command, so that the next set-up can end it if this one is killed.

    Args:
        descriptor: the open lock file.
        folder: what this set-up works on; every command of it names a path in there.
    """

    def __init__(self, descriptor: int, folder: Path) -> None:
        self.descriptor = descriptor
        self.folder = folder

    def note_command(self, group: int) -> None:
        """Remembers the process group of the command that runs now."""
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, f"{os.getpid()} {group}\n".encode(), 0)

    def end_orphans(self) -> int:
        """Ends what a killed set-up left running (pip, the compiler), which would write where we write.

        Returns:
            How many processes were ended.
        """
        words = os.pread(self.descriptor, 64, 0).decode(errors="replace").split()
        group = int(words[1]) if len(words) == 2 and words[1].isdigit() else 0
        members = [pid for pid in group_members(group) if group > 1]
        if not any(str(self.folder) in command_line(pid) for pid in members):
            return 0  # over, or the number belongs to someone else by now
        os.killpg(group, signal.SIGKILL)
        deadline = time.monotonic() + 5.0
        while group_members(group) and time.monotonic() < deadline:
            time.sleep(0.05)
        return len(members)


@contextmanager
def only_one(path: Path, folder: Path) -> Iterator[SetupLock]:
    """Holds the lock; waits, and says so, while another process holds it.

    Args:
        path: the lock file.
        folder: what the set-up works on.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    waited = False
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not waited:
                    holder = (os.pread(descriptor, 64, 0).decode(errors="replace").split() or ["unknown"])[0]
                    text = f"worldsample: another set-up is at work (process {holder}); waiting for it"
                    print(text, file=sys.stderr, flush=True)
                waited = True
                time.sleep(0.2)
        lock = SetupLock(descriptor, folder)
        lock.end_orphans()
        lock.note_command(0)
        yield lock
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def group_members(group: int) -> list[int]:
    """The processes of a process group that still run (zombies do not)."""
    members = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, process_group = entry.read_text(errors="replace").rpartition(")")[2].split()[:3]
        except (OSError, ValueError):
            continue
        if int(process_group) == group and state != "Z":
            members.append(int(entry.parent.name))
    return members


def command_line(pid: int) -> str:
    """The command line of a process; empty if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""

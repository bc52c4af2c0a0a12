"""Shared memory between the processes of one machine, for Fast DDS."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import re
import shutil
import time
from collections.abc import MutableMapping
from pathlib import Path

PROFILE = Path(__file__).with_name("fastdds.xml")
VARIABLES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
"""Variables by which Fast DDS 3 and 2 find their settings; one that is set already wins."""

TRANSPORTS = "FASTDDS_BUILTIN_TRANSPORTS"
"""Variable by which a user chooses another way than shared memory."""

FOLDER = Path("/dev/shm")
NEEDED = 512 * 1024 * 1024
"""Free bytes of :data:`FOLDER` from which the graph's processes may have larger segments."""
ABANDONED_AFTER = 60.0
"""s of age from which a segment that nobody holds is removed."""

_OF_PROCESS = "fastrtps_*"
_SEGMENT = re.compile(r"fastrtps_[0-9a-f]{16}$")


def use_shared_memory(environment: MutableMapping[str, str] | None = None, folder: Path = FOLDER) -> bool:
    """Have Fast DDS send large messages through shared memory at once; call it before ``rclpy.init``.

    Nothing changes for another DDS, where the user has settings of their own, or where the machine (a
    container, most often) has little shared memory.

    Args:
        environment: of this process, unless a test says otherwise.
        folder: file system of the shared memory.

    Returns:
        True where the profile is used.
    """
    environment = os.environ if environment is None else environment
    if any(environment.get(name) for name in (*VARIABLES, TRANSPORTS)):
        return False
    try:
        remove_abandoned(folder)
        free = shutil.disk_usage(folder).free
    except OSError:
        return False
    if free < NEEDED:
        return False
    environment.update(dict.fromkeys(VARIABLES, str(PROFILE)))
    return True


def remove_abandoned(folder: Path = FOLDER) -> int:
    """Remove the segments of processes that were killed, as ``fastdds shm clean`` does. Returns their number.

    A process keeps a lock on ``<segment>_el`` while it lives; the system frees the lock, not the memory.
    """
    removed = 0
    for segment in folder.iterdir():
        lock = segment.with_name(f"{segment.name}_el")
        if not _SEGMENT.match(segment.name) or time.time() - segment.stat().st_mtime < ABANDONED_AFTER:
            continue
        try:
            with lock.open("r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                segment.unlink()
                lock.unlink()
        except OSError:  # it is held, another user's, or gone by now
            continue
        removed += 1
    return removed


def other_users(folder: Path = FOLDER) -> list[str]:
    """Names of the other users whose processes use Fast DDS's shared memory.

    A process finds those of another user, but cannot open their shared memory: nothing arrives.
    """
    owners = set()
    for segment in folder.glob(_OF_PROCESS):
        with contextlib.suppress(OSError):
            owners.add(segment.stat().st_uid)
    return sorted(_name(uid) for uid in owners - {os.getuid()})


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # a container's user
        return f"user {uid}"

"""The joints of the running episode on disk, beside its journal: a crash does not lose them.

For each observation ``(2, 8) float64``, little-endian: positions, then velocities; all NaN where none were
heard. They are for viewers: what cannot be written or read is left out, and stops nothing.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import numpy as np

from worldsample_core.arm.joint_reading import JOINT_NAMES, JointReading
from worldsample_core.observation import InvalidObservation

_SHAPE = (2, len(JOINT_NAMES))
_TYPE = np.dtype("<f8")
_BYTES = _SHAPE[0] * _SHAPE[1] * _TYPE.itemsize


def joints_beside(journal: Path) -> Path:
    """The file with the joints of a journal."""
    return journal.with_suffix(".joints")


def remove_journal(journal: Path) -> None:
    """Remove a journal and the joints beside it.

    Raises:
        OSError: the journal cannot be removed.
    """
    journal.unlink()
    with contextlib.suppress(OSError):
        joints_beside(journal).unlink()


def remove_without_journal(folder: Path) -> None:
    """Remove joints whose journal is gone, as after a crash between the two."""
    for path in folder.glob("*.joints"):
        if not path.with_suffix(".journal").exists():
            with contextlib.suppress(OSError):
                path.unlink()


class JointLog:
    """The joints of one episode, open for appending. Written without flushing to the disk.

    Args:
        journal: of the episode.
    """

    def __init__(self, journal: Path) -> None:
        self._file = -1
        with contextlib.suppress(OSError):
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
            self._file = os.open(joints_beside(journal), flags, 0o644)

    def append(self, reading: JointReading | None) -> None:
        """Add the joints at the next observation; None: not known."""
        if self._file < 0:
            return
        numbers = np.full(_SHAPE, np.nan, _TYPE)
        if reading is not None:
            numbers[:] = reading.positions, reading.velocities
        try:
            whole = os.write(self._file, numbers.tobytes()) == _BYTES
        except OSError:
            whole = False
        if not whole:  # later ones would stand at the wrong observation
            self.close()

    def close(self) -> None:
        """Close the file; appending is over."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def read_joint_log(journal: Path, observations: int) -> list[JointReading | None]:
    """The joints beside a journal, one for each of its first observations; None where they are not known."""
    try:
        data = joints_beside(journal).read_bytes()[: observations * _BYTES]
    except OSError:
        return [None] * observations
    whole = len(data) // _BYTES
    numbers = np.frombuffer(data, _TYPE, whole * _BYTES // _TYPE.itemsize).reshape(whole, *_SHAPE)
    readings: list[JointReading | None] = [None] * observations
    for place, (positions, velocities) in enumerate(numbers):
        with contextlib.suppress(InvalidObservation):
            readings[place] = JointReading.of(JOINT_NAMES, positions, velocities)
    return readings

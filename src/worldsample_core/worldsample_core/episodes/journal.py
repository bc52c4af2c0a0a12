r"""An append-only file of checksummed records that keeps each finished robot step through a crash.

Layout::

    "WSJRNL1\n"  record  record ...          record = length uint32, crc32 uint32 (little-endian), payload

The first record is a JSON header. A record goes out in one ``write(2)``: killing the process loses at most
the record being written; ``durable`` also survives a power cut. A torn last record is recognised by its
length or checksum.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAGIC = b"WSJRNL1\n"
MAX_RECORD = 256 * 1024 * 1024
"""Bytes; a longer length is damage."""

_FRAME = struct.Struct("<II")


class StorageError(RuntimeError):
    """The run folder cannot take or give data; the message says what to do."""


class DiskFull(StorageError):
    """The disk of the run folder is full."""


def disk_full(path: Path, free: int | None = None) -> DiskFull:
    """The error to raise when ``path``'s file system is full (``free`` bytes left, where known)."""
    left = "" if free is None else f" (only {free / 1e6:.1f} MB left)"
    return DiskFull(
        f"the disk of {path} is full{left}: free some space and continue with --resume; "
        "all finished steps are safe"
    )


def explain(error: OSError, path: Path) -> StorageError:
    """The error to raise when writing ``path`` failed with ``error``."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return disk_full(path.parent)
    return StorageError(f"cannot write {path}: {error.strerror or error}")


class Journal:
    """One episode's journal, open for appending.

    Args:
        path: must not exist.
        header: JSON-able description of the episode.
        durable: flush every record to the disk (fdatasync), for robots that may lose power.

    Raises:
        DiskFull: nothing more can be written; what was appended before stays readable.
    """

    def __init__(self, path: Path, header: Mapping[str, Any], *, durable: bool = False) -> None:
        self.path, self.durable = path, durable
        self.size = 0
        """Bytes of whole records (and the magic) in the file."""
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        except OSError as error:
            raise explain(error, path) from error
        try:
            self._write(MAGIC)
            self.append(json.dumps(header).encode())
        except BaseException:
            self.close()
            path.unlink(missing_ok=True)
            raise

    def append(self, payload: bytes) -> None:
        """Add one record; when this returns, killing the process does not lose it."""
        if not 0 < len(payload) <= MAX_RECORD:
            raise ValueError(f"a record has 1 to {MAX_RECORD} bytes, got {len(payload)}")
        self._write(_FRAME.pack(len(payload), zlib.crc32(payload)) + payload)

    def _write(self, data: bytes) -> None:
        try:
            written = os.write(self._file, data)
            while written < len(data):
                written += os.write(self._file, data[written:])
            if self.durable:
                os.fdatasync(self._file)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self.size)
            raise explain(error, self.path) from error
        self.size += len(data)

    def close(self) -> None:
        """Close the file; appending is over."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


@dataclass(frozen=True, slots=True)
class JournalContents:
    """The contents of a journal.

    Attributes:
        header: of the episode.
        records: the payloads up to the first bad record.
        torn_bytes: after the last good record: 0 for a journal that was closed between two records.
        damaged: whether what follows is more than one unfinished record (rotten or overwritten data).
    """

    header: dict[str, Any]
    records: list[bytes]
    torn_bytes: int = 0
    damaged: bool = False


def read_journal(path: Path) -> JournalContents:
    """Read all good records of a journal, which may still be being written.

    A journal that ends inside its header is returned with an empty header.

    Raises:
        StorageError: not a journal, or its header is damaged.
        FileNotFoundError: it became a bag meanwhile.
    """
    data = path.read_bytes()
    if not MAGIC.startswith(data[: len(MAGIC)]):
        raise StorageError(f"{path} is not a journal of an episode")
    records: list[bytes] = []
    position = len(MAGIC)
    damaged = False
    while position + _FRAME.size <= len(data):
        length, checksum = _FRAME.unpack_from(data, position)
        end = position + _FRAME.size + length
        if not 0 < length <= MAX_RECORD:
            damaged = any(data[position:])  # only zeros: the tail of a file after a power cut
            break
        if end > len(data):
            break
        payload = data[position + _FRAME.size : end]
        if zlib.crc32(payload) != checksum:
            damaged = True
            break
        records.append(payload)
        position = end
    if not records:
        if damaged:
            raise StorageError(f"the header of {path} is damaged")
        return JournalContents({}, [], len(data))
    try:
        header = json.loads(records[0])
    except ValueError as error:
        raise StorageError(f"the header of {path} is damaged: {error}") from error
    return JournalContents(header, records[1:], len(data) - position, damaged)

r"""An append-only file of checksummed records that keeps each finished robot step through a crash.

Layout::

    "WSJRNL2\n"  record  record ...          record = length, check, check of these two, payload

All three are uint32, little-endian; ``check`` is the CRC-32 of the payload. The first record is a JSON
header. A record goes out in one ``write(2)``: killing the process loses at most the record being written;
``durable`` also survives a power cut. A torn last record has a whole head and too few bytes, or not even a
head. A head whose own check differs is damage: without it, one changed bit of a length would look like a torn
record and cost all that follows. Journals of version 0.1.0 ("WSJRNL1\n") lack that check; they are read as
they are.
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

MAGIC = b"WSJRNL2\n"
OLD_MAGIC = b"WSJRNL1\n"
"""Begin of a journal of version 0.1.0, whose records have no check of their head."""
MAX_RECORD = 256 * 1024 * 1024
"""Bytes; a longer length is damage."""

_FRAME = struct.Struct("<II")
_CHECK = struct.Struct("<I")


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
        head = _FRAME.pack(len(payload), zlib.crc32(payload))
        self._write(head + _CHECK.pack(zlib.crc32(head)) + payload)

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
    begin = data[: len(MAGIC)]
    if not (MAGIC.startswith(begin) or OLD_MAGIC.startswith(begin)):
        raise StorageError(f"{path} is not a journal of an episode")
    records: list[bytes] = []
    head = _FRAME.size + (0 if begin == OLD_MAGIC else _CHECK.size)
    position = len(MAGIC)
    damaged = False
    while position + head <= len(data):
        length, checksum = _FRAME.unpack_from(data, position)
        start, end = position + head, position + head + length
        if not _is_head(data[position:start], length):
            damaged = any(data[position:])  # only zeros: the tail of a file after a power cut
            break
        if end > len(data):
            break
        payload = data[start:end]
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


def _is_head(head: bytes, length: int) -> bool:
    """True for a possible length, and a check of the head (where it has one) that agrees."""
    checked = head[_FRAME.size :]
    whole = not checked or _CHECK.unpack(checked)[0] == zlib.crc32(head[: _FRAME.size])
    return whole and 0 < length <= MAX_RECORD

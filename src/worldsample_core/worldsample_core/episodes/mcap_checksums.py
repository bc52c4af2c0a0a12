"""Checksums of MCAP files, in the format's own fields: of chunks, of the data and of the summary section.

rosbags writes zeros there, which mean "not available" (https://mcap.dev/spec#chunk-op0x06, #data-end-op0x0f,
#footer-op0x02). CRC-32 finds every change of one bit.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from zlib import crc32

MAGIC = b"\x89MCAP0\r\n"
_FOOTER, _CHUNK, _DATA_END = 0x02, 0x06, 0x0F
_HEAD = 9
"""Bytes of a record before its content: operation code uint8, length uint64."""
_CHUNK_CRC = 24
"""Place of the checksum in a chunk: after start, end and size, uint64 each."""
_FOOTER_CRC = 16
"""Place of the checksum in the footer: after two offsets, uint64 each."""


class WrongChecksum(ValueError):
    """The file is not what was written."""


def _records(data: bytes | bytearray) -> Iterator[tuple[int, int, int]]:
    """(operation code, start of the record, start of its content) of all records up to the footer.

    Raises:
        WrongChecksum: the file is cut off or has no footer.
    """
    position = len(MAGIC)
    while position + _HEAD <= len(data):
        code, length = struct.unpack_from("<BQ", data, position)
        content = position + _HEAD
        if content + length > len(data):
            break
        yield code, position, content
        position = content + length
        if code == _FOOTER:
            if data[position:] != MAGIC or length != _FOOTER_CRC + 4:
                break
            return
    raise WrongChecksum("the file is cut off, or its structure is damaged")


def add_checksums(path: Path, chunks: Sequence[int]) -> None:
    """Fill in the checksums of a file that was written without any.

    Args:
        chunks: CRC-32 of each chunk's uncompressed contents, in order.

    Raises:
        WrongChecksum: the file is no whole MCAP, or has another number of chunks.
        OSError: the disk does not take it.
    """
    data = bytearray(path.read_bytes())
    waiting = list(chunks)
    summary = 0
    for code, start, content in _records(data):
        if code == _CHUNK:
            if not waiting:
                raise WrongChecksum("more chunks than checksums")
            struct.pack_into("<I", data, content + _CHUNK_CRC, waiting.pop(0))
        elif code == _DATA_END:
            struct.pack_into("<I", data, content, crc32(memoryview(data)[:start]))
            summary = content + 4
        elif code == _FOOTER:
            end = content + _FOOTER_CRC
            struct.pack_into("<I", data, end, crc32(memoryview(data)[summary:end]))
    if waiting:
        raise WrongChecksum("fewer chunks than checksums")
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_bytes(data)
    os.replace(temporary, path)


def has_checksums(path: Path) -> bool:
    """True if the footer has a checksum: the file was written by this version or a later one."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - len(MAGIC) - 4))
        return file.read(4) != b"\0\0\0\0"


def verify_checksums(path: Path) -> bool:
    """Compare data and summary section with their checksums; False where the file has none.

    Raises:
        WrongChecksum: the file has changed since it was written.
        OSError: it cannot be read.
    """
    data = path.read_bytes()
    if data[: len(MAGIC)] != MAGIC:
        raise WrongChecksum("the file does not begin as an MCAP file does")
    found: list[tuple[int, int]] = []  # what the file says, what it should
    summary = len(MAGIC)
    for code, start, content in _records(data):
        if code == _DATA_END:
            found.append((struct.unpack_from("<I", data, content)[0], crc32(memoryview(data)[:start])))
            summary = content + 4
        elif code == _FOOTER:
            end = content + _FOOTER_CRC
            found.append((struct.unpack_from("<I", data, end)[0], crc32(memoryview(data)[summary:end])))
    if len(found) != 2:
        raise WrongChecksum("the file has no end of its data")
    if not any(said for said, _ in found):
        return False
    if any(said != computed for said, computed in found):
        raise WrongChecksum("its checksum (CRC-32) differs: bits have changed since it was written")
    return True

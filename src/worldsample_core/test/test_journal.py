"""A journal gives back every record that was finished, whatever happens to the file after it."""

import errno
import os
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worldsample_core.episodes.journal import (
    MAGIC,
    OLD_MAGIC,
    DiskFull,
    Journal,
    StorageError,
    read_journal,
)

RECORDS = st.lists(st.binary(min_size=1, max_size=200), max_size=8)
SETTINGS = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def write(path: Path, records: list[bytes]) -> list[int]:
    """Offsets at which each record (after the header) ends."""
    path.unlink(missing_ok=True)
    journal = Journal(path, {"episode": 3})
    ends = [journal.size]
    for record in records:
        journal.append(record)
        ends.append(journal.size)
    journal.close()
    return ends


@SETTINGS
@given(RECORDS, st.data())
def test_torn_at_any_byte_all_finished_records_are_read(
    tmp_path: Path, records: list[bytes], data: st.DataObject
) -> None:
    path = tmp_path / "a.journal"
    ends = write(path, records)
    cut = data.draw(st.integers(0, path.stat().st_size))
    os.truncate(path, cut)
    contents = read_journal(path)
    whole = [record for record, end in zip(records, ends[1:], strict=True) if end <= cut]
    assert contents.records == whole
    assert not contents.damaged
    assert contents.header == ({"episode": 3} if cut >= ends[0] else {})


@SETTINGS
@given(RECORDS.filter(len), st.data())
def test_a_flipped_bit_never_gives_a_wrong_record(
    tmp_path: Path, records: list[bytes], data: st.DataObject
) -> None:
    path = tmp_path / "a.journal"
    ends = write(path, records)
    contents = bytearray(path.read_bytes())
    position = data.draw(st.integers(ends[0], len(contents) - 1))
    contents[position] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(contents)
    good = sum(end <= position for end in ends[1:])
    contents_read = read_journal(path)
    assert contents_read.records == records[:good]
    assert contents_read.damaged  # a flipped length, too, is told from a record that was never finished


@SETTINGS
@given(RECORDS, st.integers(1, 100))
def test_a_tail_of_zeros_after_a_power_cut_is_no_record(
    tmp_path: Path, records: list[bytes], zeros: int
) -> None:
    path = tmp_path / "a.journal"
    write(path, records)
    with path.open("ab") as file:
        file.write(bytes(zeros))
    contents = read_journal(path)
    assert contents.records == records
    assert not contents.damaged


def test_rotten_data_in_the_middle_are_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    ends = write(path, [b"one", b"two", b"three"])
    data = bytearray(path.read_bytes())
    data[ends[1] + 9] ^= 255
    path.write_bytes(data)
    contents = read_journal(path)
    assert contents.damaged
    assert contents.records == [b"one"]


def test_a_full_disk_keeps_what_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.journal"
    journal = Journal(path, {}, durable=True)
    journal.append(b"safe")
    real_write = os.write

    def half_then_full(file: int, data: bytes) -> int:
        if len(data) < 60:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real_write(file, data[:60])

    monkeypatch.setattr(os, "write", half_then_full)
    with pytest.raises(DiskFull, match="--resume"):
        journal.append(bytes(100))
    monkeypatch.undo()
    assert read_journal(path).records == [b"safe"]
    assert read_journal(path).torn_bytes == 0
    journal.append(b"space again")
    assert read_journal(path).records == [b"safe", b"space again"]


def test_a_journal_of_the_first_format_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    parts = [b'{"episode": 3}', b"one", b"two"]
    framed = [struct.pack("<II", len(part), zlib.crc32(part)) + part for part in parts]
    path.write_bytes(OLD_MAGIC + b"".join(framed))
    contents = read_journal(path)
    assert (contents.header, contents.records, contents.damaged) == ({"episode": 3}, [b"one", b"two"], False)
    path.write_bytes(OLD_MAGIC + b"".join(framed)[:-1])
    assert read_journal(path).records == [b"one"]


def test_what_is_no_journal_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    path.write_bytes(b"something else entirely")
    with pytest.raises(StorageError, match="not a journal"):
        read_journal(path)
    path.write_bytes(MAGIC + bytes.fromhex("ffffffff") + b"garbage garbage")
    with pytest.raises(StorageError, match="damaged"):
        read_journal(path)


def test_an_existing_journal_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    Journal(path, {}).close()
    with pytest.raises(StorageError, match="exists"):
        Journal(path, {})

"""One episode as a rosbag2 folder (MCAP, zstd chunks): what the run folder keeps of every real episode.

Topics: ``/transitions`` (worldsample_msgs/Transition) and ``/episodes`` (worldsample_msgs/EpisodeSummary,
once, last), with their message definitions, and for viewers the same in ROS 2's own messages
(:mod:`worldsample_core.episodes.standard_messages`), which no reader here looks at. ``ros2 bag info``,
``ros2 bag play`` and the public ``rosbags`` library read it. The summary also stands in the bag's metadata
(``custom_data``), so that an index of a run reads no images.

The metadata have version 8, not 9: rosbag2 of Humble and Iron cannot read the QoS profiles of 9, and that of
Jazzy and later reads both.

The data file carries the checksums of its format (:mod:`worldsample_core.episodes.mcap_checksums`). The last
lines of ``metadata.yaml``, comments, are the SHA-256 of the data file, so that no other episode's file passes
for it, and the SHA-256 of what stands above. Bags of version 0.1.0 have none of these; they are read as they
are.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import logging
import os
import shutil
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal
from zlib import crc32

from ament_index_python.packages import get_package_share_directory
from rclpy.serialization import deserialize_message, serialize_message
from rosbags.interfaces import Connection, Qos
from rosbags.rosbag2 import CompressionFormat, CompressionMode, Reader, StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from worldsample_core.arm.joint_reading import JointReading
from worldsample_core.config import ConfigError, from_mapping
from worldsample_core.episodes.durability import flush
from worldsample_core.episodes.journal import StorageError, explain
from worldsample_core.episodes.mcap_checksums import (
    WrongChecksum,
    add_checksums,
    has_checksums,
    verify_checksums,
)
from worldsample_core.episodes.standard_messages import (
    JOINTS,
    StandardMessage,
    StandardMessages,
    qos_of,
    read_joint_state,
    type_of,
)
from worldsample_core.messages.conversions import (
    stamp_ns,
    summary_from_message,
    summary_to_message,
    to_time,
    transition_from_message,
    transition_to_message,
)
from worldsample_core.observation import InvalidObservation
from worldsample_core.strict_yaml import UnusableYaml, load_yaml
from worldsample_core.transition import EpisodeSummary, Transition
from worldsample_msgs.msg import EpisodeSummary as EpisodeSummaryMsg
from worldsample_msgs.msg import Transition as TransitionMsg

log = logging.getLogger(__name__)

TRANSITIONS = "/transitions"
EPISODES = "/episodes"
METADATA = "metadata.yaml"
METADATA_VERSION: Literal[8] = 8
"""Version of ``metadata.yaml``, as rosbag2 counts them."""
DATA_DIGEST = "# data sha256 "
"""Begin of the line of ``metadata.yaml`` with the digest of the data file."""
DIGEST = "# sha256 "
"""Begin of the last line of ``metadata.yaml``: the digest of the bytes above it follows."""
_TYPES = ("Observation", "Transition", "EpisodeSummary")


class DamagedBag(StorageError):
    """A bag that cannot be read."""


def encode_transition(transition: Transition) -> bytes:
    """The transition as a CDR-encoded message, as in journals, bags and on the wire."""
    return bytes(serialize_message(transition_to_message(transition)))


ADDED = 32
"""Bytes, with padding, that ``disturbed`` and ``intended`` take at the end of a record."""


def decode_transition(record: bytes) -> Transition:
    """The inverse of :func:`encode_transition`. Raises :class:`InvalidObservation` on malformed contents."""
    return transition_from_message(transition_message(record))


def transition_message(record: bytes) -> TransitionMsg:
    """The message in a record of a journal or a bag. Raises :class:`InvalidObservation` where there is none.

    A record of version 0.1.0 ends before ``disturbed``; nothing was disturbed then.
    """
    return decode(record + bytes(ADDED), TransitionMsg)


def decode(record: bytes, kind: Any) -> Any:
    """A CDR-encoded message of the type ``kind``. Raises :class:`InvalidObservation` where it is none."""
    try:
        return deserialize_message(record, kind)
    except Exception as error:  # rclpy raises its own errors and those of the middleware
        raise InvalidObservation(f"no message of the type {kind.__name__}: {error}") from error


def stamp_of(record: bytes) -> int:
    """Nanoseconds of ``header.stamp`` of a CDR-encoded message that begins with a header."""
    order = "<" if record[1] & 1 else ">"
    seconds, nanoseconds = struct.unpack_from(f"{order}iI", record, 4)
    return int(seconds) * 1_000_000_000 + int(nanoseconds)


@functools.cache
def message_types() -> Typestore:
    """The message definitions that a bag contains."""
    store = get_typestore(Stores.ROS2_JAZZY)
    folder = Path(get_package_share_directory("worldsample_msgs")) / "msg"
    types: dict[str, Any] = {}
    for name in _TYPES:
        types.update(get_types_from_msg((folder / f"{name}.msg").read_text(), f"worldsample_msgs/msg/{name}"))
    store.register(types)
    return store


@functools.cache
def _definition(kind: str) -> tuple[str, str]:
    """Text and hash of a message type: they cost more than a short episode's messages."""
    types = message_types()
    return types.generate_msgdef(kind, ros_version=2)[0], types.hash_rihs01(kind)


def write_bag(
    path: Path,
    records: Sequence[bytes],
    summary: EpisodeSummary,
    custom: Mapping[str, str],
    standard: StandardMessages | None = None,
    joints: Sequence[JointReading | None] = (),
) -> None:
    """Write the bag folder ``path``, flushed to disk, whole or not at all.

    Args:
        records: CDR-encoded transitions in order.
        summary: of the episode.
        custom: further strings for the bag's metadata (task, image size).
        standard: makes the messages for viewers; None: the bag has none.
        joints: for viewers, one for each observation, one more than there are records; empty: not known.

    Raises:
        DiskFull, StorageError: nothing was left behind.
    """
    folder = path.parent / ".writing"
    temporary = folder / path.name  # the .mcap file is named after its folder
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        _write(temporary, records, summary, custom, standard, joints)
        for part in temporary.iterdir():
            flush(part)
        os.rename(temporary, path)
        flush(path.parent)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise explain(error, path) from error


def _stamps_of(records: Sequence[bytes]) -> list[int]:
    """Log times of the transitions, ns, ascending: readers order by them."""
    stamps: list[int] = []
    for record in records:
        stamps.append(max(stamps[-1] + 1 if stamps else 1, stamp_of(record)))
    return stamps


def _for_viewers(
    standard: StandardMessages | None,
    records: Sequence[bytes],
    stamps: Sequence[int],
    joints: Sequence[JointReading | None],
    path: Path,
) -> list[StandardMessage]:
    """The messages beside the transitions; none where they cannot be made: the record itself counts more."""
    if standard is None or not records:
        return []
    try:
        steps = [transition_message(record) for record in records]
        first = max(0, min(stamp_ns(steps[0].observation.stamp), stamps[0] - 1))
        return list(standard.episode(steps, [first, *stamps], joints or [None] * (len(steps) + 1)))
    except (InvalidObservation, ValueError, OSError) as problem:
        log.warning("the bag %s has no pictures for viewers: %s", path, problem)
        return []


def _write(
    path: Path,
    records: Sequence[bytes],
    summary: EpisodeSummary,
    custom: Mapping[str, str],
    standard: StandardMessages | None,
    joints: Sequence[JointReading | None],
) -> None:
    writer = Writer(path, version=METADATA_VERSION, storage_plugin=StoragePlugin.MCAP)
    writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    writer.set_custom_data("summary", json.dumps(dataclasses.asdict(summary)))
    for key, value in custom.items():
        writer.set_custom_data(key, value)
    stamps = _stamps_of(records)
    beside = _for_viewers(standard, records, stamps, joints, path)
    writer.open()
    chunks: list[int] = []
    compress = writer.storage.compressor  # type: ignore[union-attr]

    def compressed(contents: bytes) -> bytes:
        chunks.append(crc32(contents))
        return bytes(compress(contents))

    writer.storage.compressor = compressed  # type: ignore[union-attr]
    try:
        transitions = _connect(writer, TRANSITIONS, "worldsample_msgs/msg/Transition")
        episodes = _connect(writer, EPISODES, "worldsample_msgs/msg/EpisodeSummary")
        others = {
            topic: _connect(writer, topic, type_of(topic), qos_of(topic))
            for topic in dict.fromkeys(message.topic for message in beside)
        }
        ours = [(transitions, stamp, record) for stamp, record in zip(stamps, records, strict=True)]
        theirs = [(others[message.topic], message.stamp, message.data) for message in beside]
        for connection, stamp, data in sorted([*theirs, *ours], key=lambda message: message[1]):
            writer.write(connection, stamp, data)
        end = stamps[-1] if stamps else 0
        message = summary_to_message(summary, to_time(end * 1e-9))
        writer.write(episodes, end, bytes(serialize_message(message)))
        writer.close()
    except BaseException:
        writer.abort()
        raise
    file = path / f"{path.name}.mcap"
    add_checksums(file, chunks)
    _seal_metadata(path, hashlib.sha256(file.read_bytes()).hexdigest())


def _connect(writer: Writer, topic: str, kind: str, qos: Sequence[Qos] = ()) -> Connection:
    text, digest = _definition(kind)
    return writer.add_connection(topic, kind, msgdef=text, rihs01=digest, offered_qos_profiles=qos)


def _seal_metadata(path: Path, data_digest: str) -> None:
    """Write the digests of a bag's data and of its metadata below the metadata."""
    file = path / METADATA
    text = file.read_bytes() + f"{DATA_DIGEST}{data_digest}\n".encode()
    file.write_bytes(text + f"{DIGEST}{hashlib.sha256(text).hexdigest()}\n".encode())


def read_metadata(path: Path) -> tuple[EpisodeSummary, dict[str, str]]:
    """The episode's summary and the other custom metadata of a bag, without opening its data.

    Raises:
        DamagedBag: no bag of ours, or unreadable.
    """
    information = read_information(path)
    try:
        custom = {str(key): str(value) for key, value in (information["custom_data"] or {}).items()}
        summary = from_mapping(EpisodeSummary, json.loads(custom.pop("summary")), str(path))
        _check_summary(summary)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, ConfigError) as error:
        raise DamagedBag(f"the metadata of the bag {path} are unreadable: {error}") from error
    counted = _counted(information)
    if counted not in (None, summary.steps):
        raise DamagedBag(f"the metadata of the bag {path} count {counted} steps, its summary {summary.steps}")
    data_file(path, information)
    return summary, custom


def _check_summary(summary: EpisodeSummary) -> None:
    """Raises ValueError where a number of a summary cannot be one of an episode."""
    for name in ("episode", "steps", "first_seq", "real_steps", "intervention_steps", "policy_version"):
        if not 0 <= getattr(summary, name) < 1 << 62:
            raise ValueError(f"{name} is {getattr(summary, name)}")


def read_information(path: Path) -> dict[str, Any]:
    """The contents of a bag's ``metadata.yaml``, its digest verified.

    Raises:
        DamagedBag: it is missing, has changed since it was written, or is no bag's.
    """
    try:
        information = load_yaml(_metadata_text(path))["rosbag2_bagfile_information"]
        if not isinstance(information, dict):
            raise TypeError("no sections")
        return information
    except FileNotFoundError as error:
        raise DamagedBag(f"the bag {path} lacks its metadata ({METADATA})") from error
    except (OSError, KeyError, TypeError, UnusableYaml) as error:
        raise DamagedBag(f"the metadata of the bag {path} are unreadable: {error}") from error


def _metadata_text(path: Path) -> bytes:
    """The text of a bag's metadata, its digest verified. Raises OSError; DamagedBag where it has changed."""
    text = (path / METADATA).read_bytes()
    body, mark, digest = text.rpartition(f"\n{DIGEST}".encode())
    if mark:
        if hashlib.sha256(body + b"\n").hexdigest() != digest.strip().decode(errors="replace"):
            raise DamagedBag(f"the metadata of the bag {path} have changed since they were written")
    elif any(has_checksums(file) for file in path.glob("*.mcap")):
        raise DamagedBag(f"the metadata of the bag {path} have lost their digest, or were written anew")
    return text


def _counted(information: dict[str, Any]) -> int | None:
    """Number of transitions that the metadata count; None where they do not."""
    try:
        topics = information["topics_with_message_count"]
        return sum(
            int(topic["message_count"]) for topic in topics if topic["topic_metadata"]["name"] == TRANSITIONS
        )
    except (KeyError, TypeError, ValueError):
        return None


def data_file(path: Path, information: Mapping[str, Any] | None = None) -> Path:
    """The ``.mcap`` file of a bag folder: the one that its metadata name, else the only one there.

    Raises:
        DamagedBag: it is missing, or there are several.
    """
    named = (information or {}).get("relative_file_paths")
    if isinstance(named, list) and len(named) == 1 and Path(str(named[0])).name == str(named[0]):
        files = [path / str(named[0])]
    else:
        files = sorted(path.glob("*.mcap"))
    if len(files) == 1 and files[0].is_file():
        return files[0]
    if len(files) > 1:
        raise DamagedBag(f"the bag {path} has {len(files)} data files and does not say which one counts")
    raise DamagedBag(f"the bag {path} lacks its data file")


def verify_data(path: Path, file: Path) -> bool:
    """Compare the data of a bag with their checksums; False where it was written without any.

    Raises:
        DamagedBag: bits have changed since it was written, or it is another bag's.
    """
    try:
        verified = verify_checksums(file)
        noted = _noted_digest(path)
        if noted and hashlib.sha256(file.read_bytes()).hexdigest() != noted:
            raise WrongChecksum("its data file is not the one that its metadata were written for")
        return verified
    except (OSError, WrongChecksum) as error:
        raise DamagedBag(f"the bag {path} is damaged: {error}") from error


def _noted_digest(path: Path) -> str:
    """The digest of the data in a bag's metadata; "" where they are damaged, or have none (0.1.0)."""
    try:
        lines = _metadata_text(path).decode(errors="replace").splitlines()
    except (DamagedBag, OSError):
        return ""
    return next((line.removeprefix(DATA_DIGEST) for line in lines if line.startswith(DATA_DIGEST)), "")


def _named_data(path: Path) -> Path:
    """The data file of a bag, also where its metadata are lost. Raises :class:`DamagedBag`."""
    try:
        return data_file(path, read_information(path))
    except DamagedBag:
        return data_file(path)


def read_records(path: Path) -> list[bytes]:
    """The CDR-encoded transitions of a bag, in order; checksums are verified.

    Raises:
        DamagedBag: naming what is wrong.
    """
    return _read(path, TRANSITIONS)


def read_joints(path: Path) -> list[JointReading | None]:
    """The measured joints of a bag, one for each observation: one more than there are steps.

    None where there are none of ours, as in a bag of an earlier release. Raises :class:`DamagedBag`.
    """
    steps: list[int] = []
    readings: dict[int, JointReading] = {}
    for topic, stamp, data in _stamped(path, TRANSITIONS, JOINTS):
        if topic == TRANSITIONS:
            steps.append(stamp)
        else:
            with contextlib.suppress(InvalidObservation):
                readings[stamp] = read_joint_state(data)
    first = min(readings, default=-1)
    return [readings.get(first) if steps and first < steps[0] else None, *map(readings.get, steps)]


def _read(path: Path, topic: str) -> list[bytes]:
    return [data for _, _, data in _stamped(path, topic)]


def _stamped(path: Path, *topics: str) -> list[tuple[str, int, bytes]]:
    """The messages of some topics, each with its topic and its log time, ns."""
    file = _named_data(path)
    verify_data(path, file)
    try:
        with Reader(file) as reader:
            connections = [c for c in reader.connections if c.topic in topics]
            messages = reader.messages(connections) if connections else ()
            return [(connection.topic, stamp, bytes(data)) for connection, stamp, data in messages]
    except Exception as error:  # a damaged file fails anywhere inside the reader
        raise DamagedBag(f"the bag {path} is damaged: {error}") from error


def read_summary(path: Path) -> EpisodeSummary:
    """The summary message in the data of a bag, where its metadata are lost. Raises :class:`DamagedBag`."""
    records = _read(path, EPISODES)
    if not records:
        raise DamagedBag(f"the bag {path} has no summary")
    try:
        return summary_from_message(decode(records[0], EpisodeSummaryMsg))
    except InvalidObservation as error:
        raise DamagedBag(f"the bag {path} is damaged: {error}") from error


def read_transitions(path: Path) -> list[Transition]:
    """The transitions of a bag.

    Raises:
        DamagedBag: the bag cannot be read.
        InvalidObservation: a transition has malformed contents.
    """
    return [decode_transition(record) for record in read_records(path)]


def true_summary(path: Path, transitions: list[Transition]) -> EpisodeSummary:
    """The summary in the data of a bag, its numbers those of the transitions. Raises DamagedBag."""
    summary = read_summary(path)
    steps = len(transitions)
    if not steps or [t.seq - transitions[0].seq for t in transitions] != list(range(steps)):
        raise DamagedBag(f"the bag {path} has steps that do not follow each other")
    return dataclasses.replace(
        summary,
        episode=transitions[0].episode,
        first_seq=transitions[0].seq,
        steps=steps,
        real_steps=max(summary.real_steps, steps if summary.kind == "train" else 0),
    )


def check_bag(path: Path) -> EpisodeSummary:
    """Verify a whole bag: metadata, checksums, number of steps, and each record's place in its episode.

    Returns:
        the episode's summary.

    Raises:
        DamagedBag: saying what is wrong.
    """
    summary, _ = read_metadata(path)
    file = _named_data(path)
    verified = verify_data(path, file)
    steps = _count(path, file)
    if steps != summary.steps:
        raise DamagedBag(f"the bag {path} holds {steps} steps, its summary counts {summary.steps}")
    if not verified:  # then the contents are all that can be looked at
        _check_contents(path, summary)
    return summary


def _count(path: Path, file: Path) -> int:
    """Number of transitions by the index of the data file."""
    try:
        with Reader(file) as reader:
            return sum(c.msgcount for c in reader.connections if c.topic == TRANSITIONS)
    except Exception as error:
        raise DamagedBag(f"the bag {path} is damaged: {error}") from error


def _check_contents(path: Path, summary: EpisodeSummary) -> None:
    try:
        for index, record in enumerate(read_records(path)):
            transition = decode_transition(record)
            if (transition.seq, transition.episode) != (summary.first_seq + index, summary.episode):
                raise DamagedBag(f"step {index} of the bag {path} is numbered {transition.seq}")
    except InvalidObservation as error:
        raise DamagedBag(f"the bag {path} is damaged: {error}") from error

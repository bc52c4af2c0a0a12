"""One episode as a rosbag2 folder (MCAP, zstd chunks): what the run folder keeps of every real episode.

Topics: ``/transitions`` (worldsample_msgs/Transition) and ``/episodes`` (worldsample_msgs/EpisodeSummary,
once, last), with their message definitions. ``ros2 bag info``, ``ros2 bag play`` and the public ``rosbags``
library read it. The summary also stands in the bag's metadata (``custom_data``), so that an index of a run
reads no images.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import shutil
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from ament_index_python.packages import get_package_share_directory
from rclpy.serialization import deserialize_message, serialize_message
from rosbags.rosbag2 import CompressionFormat, CompressionMode, Reader, StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from worldsample_core.config import ConfigError, from_mapping
from worldsample_core.episodes.durability import flush
from worldsample_core.episodes.journal import StorageError, explain
from worldsample_core.messages.conversions import (
    summary_from_message,
    summary_to_message,
    to_time,
    transition_from_message,
    transition_to_message,
)
from worldsample_core.transition import EpisodeSummary, Transition
from worldsample_msgs.msg import EpisodeSummary as EpisodeSummaryMsg
from worldsample_msgs.msg import Transition as TransitionMsg

TRANSITIONS = "/transitions"
EPISODES = "/episodes"
_TYPES = ("Observation", "Transition", "EpisodeSummary")


class DamagedBag(StorageError):
    """A bag that cannot be read."""


def encode_transition(transition: Transition) -> bytes:
    """The transition as a CDR-encoded message, as in journals, bags and on the wire."""
    return bytes(serialize_message(transition_to_message(transition)))


ADDED = 32
"""Bytes, with padding, that ``disturbed`` and ``intended`` take at the end of a record."""


def decode_transition(record: bytes) -> Transition:
    """The inverse of :func:`encode_transition`. Raises :class:`InvalidObservation` on malformed contents.

    A record of version 0.1.0 ends before ``disturbed``; nothing was disturbed then.
    """
    return transition_from_message(deserialize_message(record + bytes(ADDED), TransitionMsg))


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


def write_bag(
    path: Path, records: Sequence[bytes], summary: EpisodeSummary, custom: Mapping[str, str]
) -> None:
    """Write the bag folder ``path``, flushed to disk, whole or not at all.

    Args:
        records: CDR-encoded transitions in order.
        summary: of the episode.
        custom: further strings for the bag's metadata (task, image size).

    Raises:
        DiskFull, StorageError: nothing was left behind.
    """
    folder = path.parent / ".writing"
    temporary = folder / path.name  # the .mcap file is named after its folder
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        _write(temporary, records, summary, custom)
        for part in temporary.iterdir():
            flush(part)
        os.rename(temporary, path)
        flush(path.parent)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise explain(error, path) from error


def _write(path: Path, records: Sequence[bytes], summary: EpisodeSummary, custom: Mapping[str, str]) -> None:
    writer = Writer(path, version=Writer.VERSION_LATEST, storage_plugin=StoragePlugin.MCAP)
    writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    writer.set_custom_data("summary", json.dumps(dataclasses.asdict(summary)))
    for key, value in custom.items():
        writer.set_custom_data(key, value)
    types = message_types()
    writer.open()
    try:
        transitions = writer.add_connection(TRANSITIONS, "worldsample_msgs/msg/Transition", typestore=types)
        episodes = writer.add_connection(EPISODES, "worldsample_msgs/msg/EpisodeSummary", typestore=types)
        stamp = 0
        for record in records:
            stamp = max(stamp + 1, stamp_of(record))  # readers order by it
            writer.write(transitions, stamp, record)
        message = summary_to_message(summary, to_time(stamp * 1e-9))
        writer.write(episodes, stamp, bytes(serialize_message(message)))
        writer.close()
    except BaseException:
        writer.abort()
        raise


def read_metadata(path: Path) -> tuple[EpisodeSummary, dict[str, str]]:
    """The episode's summary and the other custom metadata of a bag, without opening its data.

    Raises:
        DamagedBag: no bag of ours, or unreadable.
    """
    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        information = yaml.load((path / "metadata.yaml").read_text(), loader)["rosbag2_bagfile_information"]
        custom = dict(information["custom_data"] or {})
        summary = from_mapping(EpisodeSummary, json.loads(custom.pop("summary")), str(path))
    except (OSError, KeyError, TypeError, ValueError, ConfigError, yaml.YAMLError) as error:
        raise DamagedBag(f"the metadata of the bag {path} are unreadable: {error}") from error
    data_file(path)
    return summary, custom


def data_file(path: Path) -> Path:
    """The ``.mcap`` file of a bag folder. Raises :class:`DamagedBag` where it is missing."""
    for file in sorted(path.glob("*.mcap")):
        return file
    raise DamagedBag(f"the bag {path} lacks its data file")


def read_records(path: Path) -> list[bytes]:
    """The CDR-encoded transitions of a bag, in order; checksums are verified.

    Raises:
        DamagedBag: naming what is wrong.
    """
    try:
        with Reader(data_file(path)) as reader:
            connections = [c for c in reader.connections if c.topic == TRANSITIONS]
            return [bytes(data) for _, _, data in reader.messages(connections)]
    except Exception as error:  # a damaged file fails anywhere inside the reader
        raise DamagedBag(f"the bag {path} is damaged: {error}") from error


def read_summary(path: Path) -> EpisodeSummary:
    """The summary message in the data of a bag, where its metadata are lost. Raises :class:`DamagedBag`."""
    try:
        with Reader(data_file(path)) as reader:
            connections = [c for c in reader.connections if c.topic == EPISODES]
            for _, _, data in reader.messages(connections):
                return summary_from_message(deserialize_message(bytes(data), EpisodeSummaryMsg))
    except Exception as error:
        raise DamagedBag(f"the bag {path} is damaged: {error}") from error
    raise DamagedBag(f"the bag {path} has no summary")


def read_transitions(path: Path) -> list[Transition]:
    """The transitions of a bag.

    Raises:
        DamagedBag: the bag cannot be read.
        InvalidObservation: a transition has malformed contents.
    """
    return [decode_transition(record) for record in read_records(path)]

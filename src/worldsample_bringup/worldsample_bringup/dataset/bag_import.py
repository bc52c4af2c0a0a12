"""rosbag2 recordings as demonstrations: bags with ``/transitions``, as a run leaves them, or with raw topics.

A bag of raw topics (``ros2 bag record`` of both cameras, the end effector's pose, gripper and commands) is
one demonstration. Its control steps are those of the commands: a command carries the stamp of the
observation that it answers. The format of the files may be MCAP or SQLite.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped
from numpy.typing import NDArray
from PIL import Image as Picture
from rclpy.serialization import deserialize_message
from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_typestore
from sensor_msgs.msg import CompressedImage, Image

from worldsample_bringup.dataset.recorded_episode import RecordedEpisode
from worldsample_core.config import ConfigError, TaskConfig, choose
from worldsample_core.episodes.episode_bag import (
    METADATA,
    TRANSITIONS,
    DamagedBag,
    decode_transition,
    read_metadata,
)
from worldsample_core.episodes.episode_store import BAG_NAME
from worldsample_core.episodes.recorded_bags import LEROBOT, read_bag
from worldsample_core.episodes.recorded_with import refuse_other_crops
from worldsample_core.messages.conversions import image_to_numpy, stamp_ns
from worldsample_core.messages.images import to_training_size
from worldsample_core.observation import GRIPPER, VIEWS, InvalidObservation, clean_action
from worldsample_core.settings import CamerasConfig
from worldsample_core.transition import Transition
from worldsample_msgs.msg import EndEffectorCommand, GripperState
from worldsample_policy.acting.proprioception import Pose, Proprioception

TOPICS = {
    "side": "/side/color/image_raw",
    "wrist": "/wrist/color/image_raw",
    "pose": "/a1x/ee_pose",
    "gripper": "/a1x/gripper",
    "command": "/a1x/command",
}
"""Topics of the cell; ``--map side=/other/topic`` names another one."""

BAG_FILES = (METADATA, "*.mcap", "*.db3")
"""Files by which a rosbag2 folder is known."""

TYPES: dict[str, dict[str, Any]] = {
    "side": {"sensor_msgs/msg/Image": Image, "sensor_msgs/msg/CompressedImage": CompressedImage},
    "wrist": {"sensor_msgs/msg/Image": Image, "sensor_msgs/msg/CompressedImage": CompressedImage},
    "pose": {"geometry_msgs/msg/PoseStamped": PoseStamped},
    "gripper": {"worldsample_msgs/msg/GripperState": GripperState},
    "command": {"worldsample_msgs/msg/EndEffectorCommand": EndEffectorCommand},
}


@dataclass
class _Stream:
    """The messages of one topic by their header's stamp, ns."""

    stamps: list[int] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)

    def before(self, stamp: int) -> Any:
        """The last value at or before a time, None where there is none."""
        place = int(np.searchsorted(self.stamps, stamp, side="right")) - 1
        return self.values[place] if place >= 0 else None


class BagDemonstrations:
    """Episodes of the bags in a folder, seen as one task's.

    Args:
        folder: a bag, or a folder of bags at any depth (a run folder is one).
        task: the task that the demonstrations show.
        image_size: side of the images, pixels.
        cameras: their regions of interest; None: none.
        topics: topics that are called differently, by what they are: side, wrist, pose, gripper, command.

    Raises:
        ConfigError: there is no bag, or a topic is given that nobody asks for.
    """

    def __init__(
        self,
        folder: Path,
        task: TaskConfig,
        image_size: int,
        topics: Mapping[str, str] | None = None,
        cameras: CamerasConfig | None = None,
    ) -> None:
        self.folder, self.task, self.size = folder, task, image_size
        self.cameras = cameras or CamerasConfig()
        for name in topics or {}:
            choose(name, TOPICS, "topic in --map:")
        self.topics = {**TOPICS, **(topics or {})}
        if (folder / LEROBOT).is_file():
            raise ConfigError(f"{folder} is a LeRobotDataset: give it with --lerobot {quote(str(folder))}")
        self.bags = sorted(
            {path.parent for name in BAG_FILES for path in folder.rglob(name) if "damaged" not in path.parts}
        )
        if not self.bags:
            raise ConfigError(f"there is no rosbag2 folder (metadata.yaml, *.mcap, *.db3) in {folder}")

    def explained(self) -> list[str]:
        """Lines for people: what is taken from where, and what is assumed."""
        raw = ", ".join(f"{name} <- {topic}" for name, topic in self.topics.items())
        return [
            f"  {len(self.bags)} bags; of one with {TRANSITIONS}, the episodes in it",
            f"  else    {raw}",
            "  end     a bag without /transitions is one episode, taken as a success",
        ]

    def __iter__(self) -> Iterator[RecordedEpisode]:
        """Each episode. Raises :class:`ConfigError`, :class:`DamagedBag` where a bag cannot be used."""
        for bag in self.bags:
            try:
                with AnyReader(_data(bag), default_typestore=get_typestore(Stores.ROS2_JAZZY)) as reader:
                    own = [c for c in reader.connections if c.topic == TRANSITIONS]
                    if own:
                        yield from self._transitions(bag, reader, own)
                    else:
                        yield self._raw(bag, reader)
            except (ConfigError, DamagedBag) as error:
                if isinstance(error, DamagedBag):
                    raise DamagedBag(f"{error}\n{_remedy(bag)}") from error
                raise
            except InvalidObservation as error:
                smaller = "; choose a smaller one with --image-size" if "training size" in str(error) else ""
                raise ConfigError(f"{bag}: {error}{smaller}") from error
            except Exception as error:  # a damaged file fails anywhere inside the reader
                raise DamagedBag(
                    f"the bag {bag} is damaged: {type(error).__name__}: {error}\n{_remedy(bag)}"
                ) from error

    def _transitions(self, bag: Path, reader: Any, connections: list[Any]) -> Iterator[RecordedEpisode]:
        """The episodes of a bag that holds transitions."""
        if BAG_NAME.match(bag.name):
            shown = read_bag(bag).custom.get("task", self.task.name)
            if shown != self.task.name:
                raise ConfigError(f"{bag} shows the task {shown}, not {self.task.name}")
            refuse_other_crops(str(bag), [read_bag(bag).custom], self.cameras.crops)
        steps: list[Transition] = []
        for data in _messages(bag, reader, connections):
            step = decode_transition(data)
            if steps and step.episode != steps[-1].episode:
                yield self._episode(steps)
                steps = []
            steps.append(step)
        if steps:
            yield self._episode(steps)

    def _episode(self, steps: list[Transition]) -> RecordedEpisode:
        seen = [*(step.observation for step in steps), steps[-1].next_observation]
        last, over = steps[-1], np.arange(len(steps)) == len(steps) - 1
        return RecordedEpisode(
            np.stack([self._small(observation.images) for observation in seen]),
            np.stack([observation.proprio for observation in seen]),
            np.stack([step.action for step in steps]),
            np.array([step.reward for step in steps], np.float32),
            terminated=over & last.terminated,
            truncated=over & (not last.terminated),
            success=over & last.success,
            intervention=np.array([step.intervention for step in steps]),
            period=self.task.control_period,
        )

    def _small(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.stack([to_training_size(image, self.size) for image in images])

    # -- raw topics --

    def _raw(self, bag: Path, reader: Any) -> RecordedEpisode:
        """The one episode of a bag with cameras, arm and commands."""
        streams = {name: self._stream(bag, reader, name) for name in TOPICS}
        commands = streams["command"]
        proprioception = Proprioception(self.task.control_period)
        images, proprio, actions = [], [], []
        for stamp, command in zip(commands.stamps, commands.values, strict=True):
            seen = {name: streams[name].before(stamp) for name in ("side", "wrist", "pose", "gripper")}
            if any(value is None for value in seen.values()):
                continue  # a camera or the arm began later
            images.append(np.stack([self._picture(seen[view], view) for view in VIEWS]))
            proprio.append(proprioception.observe(_pose(seen["pose"]), float(seen["gripper"].opening)))
            actions.append(self._action(bag, command))
        if len(actions) < 2:
            raise ConfigError(
                f"{bag} has {len(actions)} commands with an observation before them: 2 are needed"
            )
        self._check_rate(bag, commands.stamps)
        success = np.arange(len(actions) - 1) == len(actions) - 2
        nothing = np.zeros(len(success), np.bool_)
        return RecordedEpisode(
            np.stack(images),
            np.stack(proprio),
            np.stack(actions)[:-1],
            success.astype(np.float32),
            success,
            nothing,
            success,
            nothing,
            self.task.control_period,
        )

    def _stream(self, bag: Path, reader: Any, name: str) -> _Stream:
        topic = self.topics[name]
        found = [connection for connection in reader.connections if connection.topic == topic]
        if not found:
            there = ", ".join(sorted({connection.topic for connection in reader.connections}))
            raise ConfigError(
                f"{bag} has no topic {topic} for {name}; it has {there}.\n  Say --map {name}=TOPIC"
            )
        kind = found[0].msgtype
        if kind not in TYPES[name]:
            raise ConfigError(
                f"{bag}: {topic} is {kind}; for {name}, {' or '.join(TYPES[name])} is understood"
            )
        messages = [deserialize_message(data, TYPES[name][kind]) for data in _messages(bag, reader, found)]
        messages.sort(key=lambda message: stamp_ns(message.header.stamp))
        stream = _Stream()
        for message in messages:
            stamp = stamp_ns(message.header.stamp)
            if not stream.stamps or stamp > stream.stamps[-1]:  # the same tick may be published again
                stream.stamps.append(stamp)
                stream.values.append(message)
        return stream

    def _check_rate(self, bag: Path, stamps: list[int]) -> None:
        """Raises :class:`ConfigError` where commands were not given once in a control period."""
        period = float(np.median(np.diff(stamps))) * 1e-9
        if not 0.8 < period / self.task.control_period < 1.25:
            raise ConfigError(
                f"{bag} has a command every {period:.3f} s, the task {self.task.name} acts every "
                f"{self.task.control_period:g} s: an action means another motion then"
            )

    def _picture(self, message: Any, view: str) -> NDArray[np.uint8]:
        if isinstance(message, CompressedImage):
            with Picture.open(io.BytesIO(bytes(message.data))) as picture:
                image: NDArray[np.uint8] = np.asarray(picture.convert("RGB"))
        else:
            image = image_to_numpy(message)
        return to_training_size(image, self.size, self.cameras.calibration(view).crop)

    def _action(self, bag: Path, command: Any) -> NDArray[np.float32]:
        move, turn, scale = command.translation, command.rotation, self.task.scale
        motion = np.array([move.x, move.y, move.z, turn.x, turn.y, turn.z], np.float64) / scale[:GRIPPER]
        if np.abs(motion[self.task.active_mask[:GRIPPER]]).max(initial=0.0) > 1 + 1e-3:
            raise ConfigError(
                f"{bag}: a command moves further than task.action_scale of {self.task.name} allows in one "
                "control step: was it recorded with another task?"
            )
        return clean_action(np.array([*motion, command.gripper]), self.task.active_mask)


def _data(bag: Path) -> list[Path]:
    """The paths that a reader is given: the folder, or its data files where its metadata are lost."""
    if (bag / METADATA).is_file() and not (BAG_NAME.match(bag.name) and _lost(bag)):
        return [bag]
    return sorted(path for name in BAG_FILES[1:] for path in bag.glob(name))


def _lost(bag: Path) -> bool:
    """True if the metadata of a run's bag are not those that the run wrote."""
    try:
        read_metadata(bag)
        return False
    except DamagedBag:
        return True


def _messages(bag: Path, reader: Any, connections: list[Any]) -> Iterator[bytes]:
    """All messages of a topic. Raises :class:`DamagedBag` where they are not as many as the bag says."""
    counted = 0
    for _, _, data in reader.messages(connections):
        counted += 1
        yield bytes(data)
    said = sum(connection.msgcount for connection in connections)
    if counted != said:
        topic = connections[0].topic
        raise DamagedBag(f"the bag {bag} holds {counted} messages on {topic}, its metadata count {said}")


def _remedy(bag: Path) -> str:
    """The remedy for a bag that cannot be read, for people."""
    again = f"  Or move {bag} elsewhere, and import the rest."
    file = next(iter(sorted(bag.glob("*.mcap"))), None)
    if file is None:
        return f"  Rebuild its metadata: ros2 bag reindex {bag}\n{again}"
    whole = file.with_name(f"{file.stem}_whole.mcap")
    return (
        f"  A recording that was cut off: mcap recover {file} -o {whole} (https://mcap.dev), then keep only "
        f"that file and remove {METADATA}.\n{again}"
    )


def _pose(message: PoseStamped) -> Pose:
    at, turn = message.pose.position, message.pose.orientation
    return Pose(
        np.array([at.x, at.y, at.z]), (turn.x, turn.y, turn.z, turn.w), stamp_ns(message.header.stamp)
    )

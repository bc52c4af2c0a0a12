"""An episode as ROS 2's own messages: pictures, lenses, poses, joints and transforms, for viewers.

They stand in an episode's bag beside the transitions, on the graph's topics, and are made of them when the
bag is written. The measured joints, which no transition has, are handed over beside them. Training reads none
of it. Each observation gives one of each: that before the first step, and that after every step, so one more
than there are steps.
"""

from __future__ import annotations

import functools
import io
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.typesys import Stores, get_typestore
from rosbags.typesys.store import Typestore

from worldsample_core.arm.a1x_kinematics import BASE_FRAME, EE_FRAME, forward_kinematics
from worldsample_core.arm.joint_reading import JOINT_NAMES, JointReading
from worldsample_core.arm.rotation import rotvec_to_matrix
from worldsample_core.camera_calibration import (
    Lens,
    Transform,
    camera_transforms,
    lens_of_square,
    optical_frame,
)
from worldsample_core.observation import VIEWS, InvalidObservation
from worldsample_core.settings import Settings

PICTURES = "/{view}/color/image_raw/compressed"
LENSES = "/{view}/color/camera_info"
POSE = "/a1x/ee_pose"
JOINTS = "/joint_states"
MOVING, FIXED = "/tf", "/tf_static"

PAUSE = 0.0005
"""Seconds between two observations, in which the thread that acts gets the interpreter."""

_FOREVER = QosTime(9223372036, 854775807)
_LATCHED = Qos(
    QosHistory.KEEP_LAST,
    1,
    QosReliability.RELIABLE,
    QosDurability.TRANSIENT_LOCAL,
    _FOREVER,
    _FOREVER,
    QosLiveliness.AUTOMATIC,
    _FOREVER,
    avoid_ros_namespace_conventions=False,
)


class StandardMessage(NamedTuple):
    """One message: its topic, its time in ns, and its CDR bytes."""

    topic: str
    stamp: int
    data: bytes


@functools.cache
def standard_types() -> Typestore:
    """Definitions of ROS 2's own messages."""
    return get_typestore(Stores.ROS2_JAZZY)


def type_of(topic: str) -> str:
    """Type of the messages on one of these topics."""
    if topic in (MOVING, FIXED):
        return "tf2_msgs/msg/TFMessage"
    if topic == POSE:
        return "geometry_msgs/msg/PoseStamped"
    if topic == JOINTS:
        return "sensor_msgs/msg/JointState"
    return (
        "sensor_msgs/msg/CameraInfo" if topic.endswith("/camera_info") else "sensor_msgs/msg/CompressedImage"
    )


def qos_of(topic: str) -> list[Qos]:
    """QoS that a player offers: latched where a viewer may join late, else its own default."""
    return [_LATCHED] if topic == FIXED else []


@dataclass(frozen=True)
class StandardMessages:
    """Makes the messages of an episode.

    Attributes:
        encoding: of the pictures.
        lenses: fx, fy, cx, cy of the training images by view, where they are known.
        fixed: transforms that do not change.
        reset_rotation: ``(3, 3)``, orientation of gripper_link in base_link that an observation's rotation
            is relative to.
    """

    encoding: Literal["jpeg", "png"]
    lenses: Mapping[str, Lens]
    fixed: tuple[Transform, ...]
    reset_rotation: NDArray[np.float64]

    @classmethod
    def of(cls, settings: Settings) -> StandardMessages | None:
        """Those that a run's settings ask for; None where they ask for none."""
        run, cameras = settings.run, settings.cameras
        if run.bag_pictures == "none":
            return None
        size = cameras.width or run.image_size, cameras.height or run.image_size
        known = {view: cameras.calibration(view) for view in VIEWS}
        return cls(
            run.bag_pictures,
            {
                view: lens_of_square(camera.lens, size, run.image_size, camera.crop)
                for view, camera in known.items()
                if camera.lens is not None
            },
            tuple(transform for view in VIEWS for transform in camera_transforms(view, known[view])),
            forward_kinematics(np.asarray(settings.task.reset_joints))[1],
        )

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics that an episode has, where the joints are known."""
        pictures = (PICTURES.format(view=view) for view in VIEWS)
        lenses = (LENSES.format(view=view) for view in VIEWS if view in self.lenses)
        return (*pictures, *lenses, POSE, JOINTS, MOVING, *((FIXED,) if self.fixed else ()))

    def episode(
        self, steps: Sequence[Any], stamps: Sequence[int], joints: Sequence[JointReading | None]
    ) -> Iterator[StandardMessage]:
        """The messages of an episode, in order of time.

        Args:
            steps: its transitions as messages, at least one.
            stamps: one for each observation, ns, ascending: one more than there are steps.
            joints: one for each observation; None where they are not known.
        """
        if self.fixed:
            yield _message(FIXED, stamps[0], _transforms(self.fixed, stamps[0]))
        observations = [steps[0].observation, *(step.next_observation for step in steps)]
        for number, (observation, stamp, reading) in enumerate(
            zip(observations, stamps, joints, strict=True)
        ):
            if number:
                time.sleep(PAUSE)
            yield from self._observation(observation, stamp)
            if reading is not None:
                yield _message(JOINTS, stamp, _joint_state(reading, stamp))

    def _observation(self, observation: Any, stamp: int) -> Iterator[StandardMessage]:
        size = int(observation.width), int(observation.height)
        for view in VIEWS:
            picture = self._picture(getattr(observation, view), size)
            header = _header(stamp, optical_frame(view))
            kind = _kind("sensor_msgs/msg/CompressedImage")
            yield _message(PICTURES.format(view=view), stamp, kind(header, self.encoding, picture))
            if view in self.lenses:
                yield StandardMessage(
                    LENSES.format(view=view),
                    stamp,
                    with_stamp(_camera_info(view, size, self.lenses[view]), stamp),
                )
        numbers = np.asarray(observation.proprio, np.float64)
        rotation = rotvec_to_matrix(numbers[3:6]) @ self.reset_rotation
        hand = Transform.of(BASE_FRAME, EE_FRAME, numbers[:3], rotation)
        yield _message(POSE, stamp, _pose(hand, stamp))
        yield _message(MOVING, stamp, _transforms((hand,), stamp))

    def _picture(self, pixels: Any, size: tuple[int, int]) -> NDArray[np.uint8]:
        """An encoded picture, ``(bytes,) uint8``. JPEG keeps the colours of each pixel (4:4:4)."""
        file = io.BytesIO()
        image = Image.frombuffer("RGB", size, pixels, "raw", "RGB", 0, 1)
        if self.encoding == "jpeg":
            image.save(file, "JPEG", quality=85, subsampling=0)
        else:
            image.save(file, "PNG", compress_level=3)
        return np.frombuffer(file.getbuffer(), np.uint8)


def _kind(name: str) -> Any:
    return standard_types().types[name]


def _header(stamp: int, frame: str) -> Any:
    at = _kind("builtin_interfaces/msg/Time")(*divmod(stamp, 1_000_000_000))
    return _kind("std_msgs/msg/Header")(at, frame)


def _message(topic: str, stamp: int, message: Any) -> StandardMessage:
    return StandardMessage(topic, stamp, bytes(standard_types().serialize_cdr(message, type_of(topic))))


def with_stamp(data: bytes, stamp: int) -> bytes:
    """A little-endian CDR message that begins with a header, stamped anew (ns)."""
    return data[:4] + struct.pack("<iI", *divmod(stamp, 1_000_000_000)) + data[12:]


@functools.lru_cache(maxsize=16)
def _camera_info(view: str, size: tuple[int, int], lens: Lens) -> bytes:
    """A CameraInfo without distortion; its stamp is 0."""
    (width, height), (fx, fy, cx, cy) = size, lens
    k = np.array([fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0])
    p = np.array([fx, 0.0, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0])
    message = _kind("sensor_msgs/msg/CameraInfo")(
        _header(0, optical_frame(view)),
        height,
        width,
        "plumb_bob",
        np.zeros(5),
        k,
        np.eye(3).ravel(),
        p,
        0,
        0,
        _kind("sensor_msgs/msg/RegionOfInterest")(0, 0, 0, 0, False),
    )
    return bytes(standard_types().serialize_cdr(message, "sensor_msgs/msg/CameraInfo"))


def _pose(hand: Transform, stamp: int) -> Any:
    point = _kind("geometry_msgs/msg/Point")(*hand.translation)
    turn = _kind("geometry_msgs/msg/Quaternion")(*hand.rotation)
    pose = _kind("geometry_msgs/msg/Pose")(point, turn)
    return _kind("geometry_msgs/msg/PoseStamped")(_header(stamp, hand.parent), pose)


def _joint_state(reading: JointReading, stamp: int) -> Any:
    positions, velocities = map(np.ascontiguousarray, (reading.positions, reading.velocities))
    kind = _kind("sensor_msgs/msg/JointState")
    return kind(_header(stamp, ""), list(JOINT_NAMES), positions, velocities, np.empty(0))


def read_joint_state(data: bytes) -> JointReading:
    """The joints in one of these messages. Raises :class:`InvalidObservation` where they are not ours."""
    try:
        message: Any = standard_types().deserialize_cdr(data, type_of(JOINTS))
    except Exception as error:  # a malformed message fails anywhere inside the reader
        raise InvalidObservation(f"no joints: {error}") from error
    return JointReading.of(message.name, message.position, message.velocity)


def _transforms(transforms: Sequence[Transform], stamp: int) -> Any:
    stamped, pose = _kind("geometry_msgs/msg/TransformStamped"), _kind("geometry_msgs/msg/Transform")
    vector, turn = _kind("geometry_msgs/msg/Vector3"), _kind("geometry_msgs/msg/Quaternion")
    return _kind("tf2_msgs/msg/TFMessage")(
        [
            stamped(
                _header(stamp, each.parent),
                each.child,
                pose(vector(*each.translation), turn(*each.rotation)),
            )
            for each in transforms
        ]
    )

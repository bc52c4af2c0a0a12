"""The only conversions between messages and numpy. Size, shape and values of what comes in are checked."""

from __future__ import annotations

import array
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from sensor_msgs.msg import Image

from worldsample_core.arm.motion_command import Command
from worldsample_core.messages.weights import InvalidWeights, PackedWeights
from worldsample_core.observation import ACTION_DIM, PROPRIO_DIM, InvalidObservation, Observation
from worldsample_core.synthetic import MAX_LENGTH, SyntheticSegment
from worldsample_core.transition import EpisodeKind, EpisodeSummary, Source, Transition
from worldsample_msgs.msg import EndEffectorCommand, SyntheticBatch
from worldsample_msgs.msg import EpisodeSummary as EpisodeSummaryMsg
from worldsample_msgs.msg import Observation as ObservationMsg
from worldsample_msgs.msg import Transition as TransitionMsg
from worldsample_msgs.msg import Weights as WeightsMsg

MAX_IMAGE_SIDE = 1024
"""Pixels; a training image beyond it is refused."""
MAX_CAMERA_BYTES = 4096 * 4096 * 3
MAX_WEIGHTS_BYTES = 512 * 1024 * 1024
MAX_SEGMENT_BYTES = 64 * 1024 * 1024
"""Largest size of one view of an imagined segment, bytes."""
MAX_NAME = 64
"""Characters of a run's or a publisher's name in a message."""

_SOURCES: dict[int, Source] = {TransitionMsg.POLICY: "policy", TransitionMsg.DEMO: "demo"}
_KINDS: dict[int, EpisodeKind] = {
    EpisodeSummaryMsg.TRAIN: "train",
    EpisodeSummaryMsg.DEMO: "demo",
    EpisodeSummaryMsg.EVAL: "eval",
    EpisodeSummaryMsg.LABEL: "label",
}


def byte_array(data: bytes | NDArray[np.uint8]) -> array.array[int]:
    """``uint8[]`` field content: ``array.array('B')`` is what rclpy copies fastest."""
    result: array.array[int] = array.array("B")
    result.frombytes(data if isinstance(data, bytes) else np.ascontiguousarray(data).tobytes())
    return result


def float_array(data: NDArray[np.floating]) -> array.array[float]:
    """``float32[]`` field content, likewise."""
    result: array.array[float] = array.array("f")
    result.frombytes(np.ascontiguousarray(data, dtype=np.float32).tobytes())
    return result


def to_time(seconds: float) -> Time:
    """Seconds as a ROS time, rounded to the nanosecond."""
    nanoseconds = round(seconds * 1e9)
    return Time(sec=nanoseconds // 1_000_000_000, nanosec=nanoseconds % 1_000_000_000)


def from_time(time: Time) -> float:
    """A ROS time as seconds."""
    return float(time.sec) + float(time.nanosec) * 1e-9


def stamp_ns(time: Time) -> int:
    """A ROS time as integer nanoseconds: the exact key by which lockstep messages belong together."""
    return int(time.sec) * 1_000_000_000 + int(time.nanosec)


def time_of_ns(nanoseconds: int) -> Time:
    """Integer nanoseconds as a ROS time, exactly: the inverse of :func:`stamp_ns`."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return Time(sec=seconds, nanosec=rest)


def motion_to_message(motion: NDArray[np.floating], gripper: int, stamp: int) -> EndEffectorCommand:
    """A motion of the end effector as a command.

    Args:
        motion: translation (m) and rotation vector (rad) in base_link, in the first six values.
        gripper: -1 closes, 1 opens, 0 holds.
        stamp: ns, of the observation that it answers.
    """
    command = EndEffectorCommand(gripper=gripper)
    command.header.frame_id, command.header.stamp = "base_link", time_of_ns(stamp)
    values = motion.astype(float).tolist()
    command.translation.x, command.translation.y, command.translation.z = values[:3]
    command.rotation.x, command.rotation.y, command.rotation.z = values[3:6]
    return command


def command_from_message(message: EndEffectorCommand) -> Command:
    """A command as it arrived; its values are not checked yet."""
    move, turn = message.translation, message.rotation
    return Command(
        np.array([move.x, move.y, move.z]),
        np.array([turn.x, turn.y, turn.z]),
        int(message.gripper),
        message.header.frame_id,
        stamp_ns(message.header.stamp),
    )


def check_image(message: Image) -> None:
    """Raises :class:`InvalidObservation` on another encoding, or data that do not match the stated size."""
    height, width, step = int(message.height), int(message.width), int(message.step)
    if message.encoding not in ("rgb8", "bgr8"):
        raise InvalidObservation(
            f"camera image encoding {message.encoding!r} is not supported: set the camera to rgb8 or bgr8"
        )
    if height == 0 or width == 0 or step < width * 3 or height * step > MAX_CAMERA_BYTES:
        raise InvalidObservation(f"camera image has an unusable size: {width}x{height}, step {step}")
    if len(message.data) != height * step:
        raise InvalidObservation(f"camera image has {len(message.data)} bytes, {height * step} expected")


def image_to_numpy(message: Image) -> NDArray[np.uint8]:
    """A camera image as ``(H, W, 3) uint8`` rgb; rgb8 and bgr8 are understood, padding of rows is removed.

    Raises :class:`InvalidObservation` as :func:`check_image` does.
    """
    check_image(message)
    height, width, step = int(message.height), int(message.width), int(message.step)
    pixels = np.frombuffer(message.data, dtype=np.uint8).reshape(height, step)[:, : width * 3]
    pixels = pixels.reshape(height, width, 3)
    return np.ascontiguousarray(pixels[:, :, ::-1] if message.encoding == "bgr8" else pixels)


def image_to_message(image: NDArray[np.uint8], frame: str, stamp: Time) -> Image:
    """``(H, W, 3) uint8`` rgb as an rgb8 message."""
    message = Image()
    message.header.frame_id = frame
    message.header.stamp = stamp
    message.height, message.width = int(image.shape[0]), int(image.shape[1])
    message.encoding = "rgb8"
    message.step = message.width * 3
    message.data = byte_array(image)
    return message


def observation_to_message(observation: Observation) -> ObservationMsg:
    """Raises :class:`InvalidObservation` where the observation itself is unusable."""
    observation.validate()
    message = ObservationMsg()
    message.stamp = to_time(observation.stamp)
    message.height, message.width = observation.size
    message.side = byte_array(observation.images[0])
    message.wrist = byte_array(observation.images[1])
    message.proprio = observation.proprio
    return message


def observation_from_message(message: ObservationMsg) -> Observation:
    """Raises :class:`InvalidObservation` where sizes do not match or values are not finite."""
    height, width = int(message.height), int(message.width)
    if not (0 < height <= MAX_IMAGE_SIDE and 0 < width <= MAX_IMAGE_SIDE):
        raise InvalidObservation(f"observation image size {width}x{height} is out of range")
    size = height * width * 3
    if len(message.side) != size or len(message.wrist) != size:
        raise InvalidObservation(
            f"observation has {len(message.side)} and {len(message.wrist)} image bytes, {size} expected each"
        )
    images = np.empty((2, height, width, 3), dtype=np.uint8)
    images[0] = np.frombuffer(message.side, dtype=np.uint8).reshape(height, width, 3)
    images[1] = np.frombuffer(message.wrist, dtype=np.uint8).reshape(height, width, 3)
    proprio = np.array(message.proprio, dtype=np.float32).reshape(PROPRIO_DIM)
    return Observation(images=images, proprio=proprio, stamp=from_time(message.stamp)).validate()


def transition_to_message(transition: Transition) -> TransitionMsg:
    """Raises :class:`InvalidObservation` where the transition is unusable."""
    transition.validate()
    message = TransitionMsg()
    message.header.stamp = to_time(transition.next_observation.stamp)
    message.run = transition.run
    message.seq, message.episode, message.step = transition.seq, transition.episode, transition.step
    message.source = TransitionMsg.DEMO if transition.source == "demo" else TransitionMsg.POLICY
    message.policy_version = transition.policy_version
    message.observation = observation_to_message(transition.observation)
    message.action = transition.action
    message.reward = float(transition.reward)
    message.terminated, message.truncated = transition.terminated, transition.truncated
    message.success, message.intervention = transition.success, transition.intervention
    message.next_observation = observation_to_message(transition.next_observation)
    if transition.intended is not None:
        message.disturbed, message.intended = True, transition.intended
    return message


def transition_from_message(message: Any) -> Transition:
    """Also of a message decoded from a bag. Raises :class:`InvalidObservation` where it is malformed."""
    if message.source not in _SOURCES:
        raise InvalidObservation(f"unknown transition source {message.source}")
    return Transition(
        observation=observation_from_message(message.observation),
        action=np.array(message.action, dtype=np.float32),
        reward=float(message.reward),
        next_observation=observation_from_message(message.next_observation),
        terminated=bool(message.terminated),
        truncated=bool(message.truncated),
        success=bool(message.success),
        intervention=bool(message.intervention),
        seq=int(message.seq),
        episode=int(message.episode),
        step=int(message.step),
        source=_SOURCES[message.source],
        policy_version=int(message.policy_version),
        run=str(message.run),
        intended=np.array(message.intended, dtype=np.float32) if message.disturbed else None,
    ).validate()


def summary_to_message(summary: EpisodeSummary, stamp: Time) -> EpisodeSummaryMsg:
    """An episode summary as a message."""
    message = EpisodeSummaryMsg()
    message.header.stamp = stamp
    message.kind = next(code for code, kind in _KINDS.items() if kind == summary.kind)
    message.run, message.path = summary.run, summary.path
    message.episode, message.first_seq, message.steps = summary.episode, summary.first_seq, summary.steps
    message.episode_return = float(summary.episode_return)
    message.success, message.truncated, message.aborted = summary.success, summary.truncated, summary.aborted
    message.intervention_steps = summary.intervention_steps
    message.policy_version, message.real_steps = summary.policy_version, summary.real_steps
    message.seed = summary.seed
    return message


def summary_from_message(message: Any) -> EpisodeSummary:
    """Raises :class:`InvalidObservation` on an unknown kind."""
    if message.kind not in _KINDS:
        raise InvalidObservation(f"unknown episode kind {message.kind}")
    return EpisodeSummary(
        kind=_KINDS[message.kind],
        episode=int(message.episode),
        steps=int(message.steps),
        episode_return=float(message.episode_return),
        success=bool(message.success),
        truncated=bool(message.truncated),
        aborted=bool(message.aborted),
        intervention_steps=int(message.intervention_steps),
        first_seq=int(message.first_seq),
        policy_version=int(message.policy_version),
        real_steps=int(message.real_steps),
        seed=int(message.seed),
        path=str(message.path),
        run=str(message.run),
    )


def weights_to_message(packed: PackedWeights, stamp: Time) -> WeightsMsg:
    """Packed weights as a message."""
    message = WeightsMsg()
    message.header.stamp = stamp
    message.run, message.version, message.updates = packed.run, packed.version, packed.updates
    message.real_steps, message.effective_step = packed.real_steps, packed.effective_step
    message.sha256, message.architecture = packed.sha256, packed.architecture
    message.data = byte_array(packed.data) if isinstance(packed.data, bytes) else packed.data
    return message


def weights_from_message(message: WeightsMsg) -> PackedWeights:
    """Size is checked here; digest, architecture and values by :mod:`worldsample_core.messages.weights`."""
    if len(message.data) > MAX_WEIGHTS_BYTES:
        raise InvalidWeights(
            f"weights of {len(message.data)} bytes are over the limit of {MAX_WEIGHTS_BYTES}"
        )
    return PackedWeights(
        data=message.data,
        sha256=message.sha256,
        architecture=message.architecture,
        version=int(message.version),
        updates=int(message.updates),
        real_steps=int(message.real_steps),
        effective_step=int(message.effective_step),
        run=message.run,
    )


def synthetic_to_message(segment: SyntheticSegment, stamp: Time) -> SyntheticBatch:
    """Raises :class:`InvalidObservation` where the segment is unusable: nothing such is ever published."""
    segment.validate()
    if max(len(segment.run), len(segment.publisher)) > MAX_NAME:
        raise InvalidObservation(f"names in a message have at most {MAX_NAME} characters")
    message = SyntheticBatch()
    message.header.stamp = stamp
    message.run, message.publisher, message.seq = segment.run, segment.publisher, segment.seq
    message.source_episode, message.source_step = segment.source_episode, segment.source_step
    message.world_model_version = segment.world_model_version
    message.policy_version, message.on_policy = segment.policy_version, segment.on_policy
    message.effective_step = segment.effective_step
    message.length = len(segment)
    message.height, message.width = segment.images.shape[2:4]
    message.side, message.wrist = byte_array(segment.images[:, 0]), byte_array(segment.images[:, 1])
    message.proprio, message.action = float_array(segment.proprio), float_array(segment.actions)
    if segment.intended is not None:
        message.intended = float_array(segment.intended)
    message.reward = float_array(segment.rewards)
    message.terminated = segment.terminated.tolist()
    message.uncertainty = float_array(segment.uncertainty)
    message.success_probability = float_array(segment.success_probability)
    message.success = segment.success
    return message


def synthetic_from_message(message: SyntheticBatch, image_size: int | None = None) -> SyntheticSegment:
    """A message as an imagined segment.

    Args:
        image_size: side that its images must have, pixels, where it is known.

    Raises:
        InvalidObservation: sizes or limits do not hold, or values are unusable.
    """
    length, height, width = int(message.length), int(message.height), int(message.width)
    if not 1 <= length <= MAX_LENGTH:
        raise InvalidObservation(f"a synthetic segment has 1 to {MAX_LENGTH} steps, got {length}")
    if not 0 < height <= MAX_IMAGE_SIDE or height != width:
        raise InvalidObservation(f"synthetic image size {width}x{height} is out of range or not square")
    frames = length + 1
    expected = {
        "side": frames * height * width * 3,
        "wrist": frames * height * width * 3,
        "proprio": frames * PROPRIO_DIM,
        "action": length * ACTION_DIM,
        "reward": length,
        "terminated": length,
        "uncertainty": length,
        "success_probability": length,
    }
    if len(message.intended):
        expected["intended"] = length * ACTION_DIM
    if expected["side"] > MAX_SEGMENT_BYTES:
        raise InvalidObservation(
            f"a synthetic segment of {expected['side']} bytes a view: {MAX_SEGMENT_BYTES} is the limit"
        )
    for name, count in expected.items():
        if len(getattr(message, name)) != count:
            raise InvalidObservation(
                f"synthetic {name} has {len(getattr(message, name))} values, {count} expected"
            )

    def floats(name: str, *shape: int) -> NDArray[np.float32]:
        return np.array(getattr(message, name), dtype=np.float32).reshape(length, *shape)

    images = np.empty((frames, 2, height, width, 3), dtype=np.uint8)
    for view, data in enumerate((message.side, message.wrist)):
        images[:, view] = np.frombuffer(data, dtype=np.uint8).reshape(frames, height, width, 3)
    return SyntheticSegment(
        images=images,
        proprio=np.array(message.proprio, dtype=np.float32).reshape(frames, PROPRIO_DIM),
        actions=floats("action", ACTION_DIM),
        intended=floats("intended", ACTION_DIM) if len(message.intended) else None,
        rewards=floats("reward"),
        terminated=np.array(message.terminated, dtype=np.bool_),
        uncertainty=floats("uncertainty"),
        success_probability=floats("success_probability"),
        success=bool(message.success),
        source_episode=int(message.source_episode),
        source_step=int(message.source_step),
        world_model_version=int(message.world_model_version),
        policy_version=int(message.policy_version),
        on_policy=bool(message.on_policy),
        seq=int(message.seq),
        effective_step=int(message.effective_step),
        publisher=str(message.publisher),
        run=str(message.run),
    ).validate(image_size)

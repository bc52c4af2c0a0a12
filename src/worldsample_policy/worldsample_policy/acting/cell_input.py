"""Turns messages of the cell and of the operator into control steps.

It checks types, encodings, sizes and values, and names what is missing. A message that cannot be used is
dropped and counted; a camera none of whose images can be used ends the run with the reason.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import Image, JointState

from worldsample_core.arm.joint_reading import JointReading
from worldsample_core.messages.conversions import check_image, image_to_numpy, stamp_ns
from worldsample_core.messages.images import square_of, to_training_size
from worldsample_core.messages.qos import SENSOR, STATUS
from worldsample_core.messages.reception import Reception
from worldsample_core.node.exit_codes import BAD_CONFIGURATION
from worldsample_core.node.run_topics import RunTopics
from worldsample_core.node.stopping import RunFailed
from worldsample_core.observation import VIEWS, InvalidObservation
from worldsample_core.settings import Settings
from worldsample_msgs.msg import GripperState, Intervention
from worldsample_policy.acting.camera_liveness import CameraLiveness
from worldsample_policy.acting.observation_assembly import (
    GRIPPER,
    OPERATOR,
    POSE,
    Freshness,
    LatestAssembly,
    LockstepAssembly,
    OperatorInput,
    Tick,
)
from worldsample_policy.acting.proprioception import Pose, Proprioception

UNUSABLE = 5
"""Images in a row that cannot be used after which the camera, not one image, is at fault."""
KEPT_JOINTS = 8
"""Readings of the joints that are kept until an observation with their stamp is taken."""
MAX_DISTANCE = 10.0
"""m from the base; no pose of an arm is beyond."""


class CellInput:
    """Subscriptions of ``node`` to cameras, arm and operator, assembled into :class:`Tick`.

    Args:
        topics: each topic is heard from its own node only.
        reception: counts what cannot be used.
        on_message: called after each message in lockstep: a tick may be complete.
        on_repeat: lockstep: the simulator asks for the answer to the tick that was answered last.
    """

    def __init__(
        self,
        node: Node,
        settings: Settings,
        topics: RunTopics,
        reception: Reception,
        on_message: Callable[[], None],
        on_repeat: Callable[[], None],
    ) -> None:
        self.node, self.settings, self._reception = node, settings, reception
        self.on_message, self.on_repeat = on_message, on_repeat
        proprioception = Proprioception(settings.task.control_period)
        self.lockstep = LockstepAssembly(proprioception, self._decode) if settings.run.lockstep else None
        self.latest = LatestAssembly(proprioception, self._decode, Freshness(image=settings.cameras.max_age))
        self._liveness = CameraLiveness()
        self._unusable = dict.fromkeys(VIEWS, 0)
        self._at_fault: dict[str, str] = {}
        self._topics = topics
        self.topics: dict[str, tuple[str, str]] = {}
        """Part of an observation -> (topic, type)."""
        self._joints: dict[int, JointReading] = {}
        topics.create_subscription(JointState, "joint_states", self._on_joints, SENSOR)
        for view in VIEWS:
            self._subscribe(view, Image, f"{view}/color/image_raw", SENSOR, partial(self._image, view))
        self._subscribe(POSE, PoseStamped, "a1x/ee_pose", SENSOR, _pose)
        self._subscribe(GRIPPER, GripperState, "a1x/gripper", SENSOR, _opening)
        self._subscribe(OPERATOR, Intervention, "operator/intervention", STATUS, _operator)

    def _subscribe(self, part: str, kind: Any, topic: str, qos: Any, convert: Callable[[Any], Any]) -> None:
        lockstep, latest = self.lockstep, self.latest

        def in_lockstep(message: Any) -> None:
            assert lockstep is not None
            value = self._reception.take(part, lambda: convert(message))
            if value is not None and lockstep.put(part, stamp_ns(message.header.stamp), value):
                self.on_repeat()
            else:
                self.on_message()

        def in_real_time(message: Any) -> None:
            now, value = time.monotonic(), self._reception.take(part, lambda: convert(message))
            if value is None:
                return
            latest.put(part, stamp_ns(message.header.stamp), value, now)
            if part in VIEWS:
                self._liveness.picture(part, message.data, now)
            elif part == POSE:
                self._liveness.pose(value.position, now)

        heard = in_real_time if lockstep is None else in_lockstep
        self._topics.create_subscription(kind, topic, heard, qos)
        module = kind.__module__.partition(".msg.")[0]
        self.topics[part] = (self.node.resolve_topic_name(topic), f"{module}/msg/{kind.__name__}")

    def _on_joints(self, message: JointState) -> None:
        """Keep a reading. The arm sends it just before the pose, with its stamp; nothing waits for it."""
        reading = self._reception.take(
            "joints", lambda: JointReading.of(message.name, message.position, message.velocity)
        )
        if reading is not None:
            self._joints[stamp_ns(message.header.stamp)] = reading
        while len(self._joints) > KEPT_JOINTS:
            del self._joints[next(iter(self._joints))]

    def _image(self, view: str, message: Image) -> Image:
        """A camera's message, if it can become a training image. Raises :class:`InvalidObservation`."""
        try:
            self._check_image(view, message)
        except InvalidObservation as problem:
            self._unusable[view] += 1
            if self._unusable[view] >= UNUSABLE:
                self._at_fault[view] = f"{self.topics[view][0]}: {problem}"
            raise
        self._unusable[view] = 0
        self._at_fault.pop(view, None)
        return message

    def _check_image(self, view: str, message: Image) -> None:
        cameras, least = self.settings.cameras, self.settings.run.image_size
        size = (int(message.width), int(message.height))
        wanted = (cameras.width or size[0], cameras.height or size[1])
        if size != wanted:
            raise InvalidObservation(
                f"the {view} camera publishes {size[0]}x{size[1]} images, cameras.width and height say "
                f"{wanted[0]}x{wanted[1]}: give the camera that profile, or change the configuration"
            )
        check_image(message)
        square_of(*size, least, cameras.calibration(view).crop)

    def _decode(self, view: str, message: Image) -> NDArray[np.uint8]:
        crop = self.settings.cameras.calibration(view).crop
        return to_training_size(image_to_numpy(message), self.settings.run.image_size, crop)

    def restart(self, stamp: int) -> None:
        """A new episode: observations from ``stamp`` (ns) on count."""
        if self.lockstep is not None:
            self.lockstep.restart(stamp)
        else:
            self.latest.restart(stamp, time.monotonic())

    def take(self) -> Tick | None:
        """The control step's input, where it is complete (and in real time fresh).

        Raises:
            RunFailed: nothing that a camera sends can be used.
        """
        for problem in self._at_fault.values():
            raise RunFailed(problem, "", BAD_CONFIGURATION)
        tick = self._take()
        return tick and dataclasses.replace(tick, joints=self._joints.get(tick.stamp))

    def _take(self) -> Tick | None:
        if self.lockstep is not None:
            return self.lockstep.take()
        now = time.monotonic()
        return None if self._liveness.frozen(now) else self.latest.take(now)

    def missing(self) -> list[str]:
        """Parts of an observation that are absent or stale."""
        return self.lockstep.missing() if self.lockstep is not None else self.latest.missing(time.monotonic())

    def explain_missing(self) -> str:
        """For people: which topics are silent, and why, as far as it can be told from here."""
        reasons = [
            f"{self.topics[view][0]} repeats one picture although the arm moves: plug that camera in again"
            for view in self._liveness.frozen(time.monotonic())
        ]
        for part in self.missing():
            topic = self.topics[part][0]
            silent = self.node.count_publishers(topic) > 0
            reasons.append(f"{topic} " + ("is silent or stale" if silent else "has no publisher"))
        return "; ".join(reasons)

    def check_types(self) -> None:
        """Raises :class:`RunFailed` where somebody publishes one of the topics with another type."""
        present = dict(self.node.get_topic_names_and_types())
        for topic, kind in self.topics.values():
            others = [name for name in present.get(topic, []) if name != kind]
            if others:
                raise RunFailed(
                    f"{topic} is published as {', '.join(others)}, expected {kind}",
                    "give the node that publishes it the type of the graph (docs/topics.md), or remap it",
                    BAD_CONFIGURATION,
                )


def _pose(message: PoseStamped) -> Pose:
    """Raises :class:`InvalidObservation` where no arm can be."""
    at, turn = message.pose.position, message.pose.orientation
    position, orientation = np.array([at.x, at.y, at.z]), (turn.x, turn.y, turn.z, turn.w)
    if not np.abs(position).max() <= MAX_DISTANCE:
        raise InvalidObservation(f"position {position} m is not finite, or beyond {MAX_DISTANCE:g} m")
    if not abs(float(np.linalg.norm(orientation)) - 1.0) < 0.01:
        raise InvalidObservation(f"orientation {orientation} is no unit quaternion")
    return Pose(position, orientation, stamp_ns(message.header.stamp))


def _opening(message: GripperState) -> float:
    """Raises :class:`InvalidObservation` where no gripper can be."""
    opening = float(message.opening)
    if not -1.0 <= opening <= 2.0:
        raise InvalidObservation(f"opening {opening:g} is not from 0 (closed) to 1 (open)")
    return opening


def _operator(message: Intervention) -> OperatorInput:
    return OperatorInput(
        active=bool(message.active),
        action=np.array(message.action, np.float32),
        success=bool(message.success),
        failure=bool(message.failure),
        abort=bool(message.abort),
    )

"""Hears everything of a run that is under way, for the viewer.

The node publishes nothing and serves nothing. Its subscriptions are best effort, so no publisher waits for
it; only finished episodes are asked for again, and they are kept by the publisher anyhow.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Image, JointState

from worldsample_bringup.dashboard.episode_record import episode_to_record
from worldsample_bringup.dashboard.status_records import STATUSES, to_record, words
from worldsample_bringup.viewer.live_view import INTERVAL, LiveView
from worldsample_core.arm.a1x_kinematics import ARM_JOINT_NAMES
from worldsample_core.arm.motion_command import Command
from worldsample_core.arm.rotation import quaternion_to_matrix
from worldsample_core.messages.conversions import (
    MAX_CAMERA_BYTES,
    command_from_message,
    image_to_numpy,
    summary_from_message,
    synthetic_from_message,
    transition_from_message,
)
from worldsample_core.messages.qos import EPISODES, SENSOR
from worldsample_core.messages.reception import Reception
from worldsample_core.node.steady_time import steady_timer
from worldsample_core.observation import VIEWS, InvalidObservation
from worldsample_core.transition import EpisodeSummary as EpisodeSummaryOfRun
from worldsample_msgs.msg import (
    EndEffectorCommand,
    EpisodeSummary,
    RobotStatus,
    SyntheticBatch,
    Transition,
)

ARM_STATES = words(RobotStatus, ("OK", "HOLDING", "FAULT", "RESETTING"))


class ViewerNode(Node):
    """Hears everything of a run, and hands it on to :class:`LiveView`.

    Args:
        view: what is heard goes there.
    """

    def __init__(self, view: LiveView, name: str = "viewer") -> None:
        super().__init__(name)
        self._view = view
        self.reception = Reception(self.get_logger().warning)
        for view_name in VIEWS:
            heard = partial(self._on_image, view_name)
            self.create_subscription(Image, f"{view_name}/color/image_raw", heard, SENSOR, raw=True)
        self.create_subscription(JointState, "joint_states", self._on_joints, SENSOR)
        self.create_subscription(PoseStamped, "a1x/ee_pose", self._on_pose, SENSOR)
        self.create_subscription(EndEffectorCommand, "a1x/command", self._on_command, SENSOR)
        self.create_subscription(RobotStatus, "a1x/status", self._on_arm, SENSOR)
        self.create_subscription(Transition, "transitions", self._on_transition, SENSOR)
        self.create_subscription(SyntheticBatch, "synthetic", self._on_segment, SENSOR)
        self.create_subscription(EpisodeSummary, "episodes", self._on_episode, EPISODES)
        for kind, (topic, message_type, _) in STATUSES.items():
            self.create_subscription(message_type, topic, partial(self._on_status, kind), SENSOR)
        steady_timer(self, INTERVAL, view.play)
        steady_timer(self, 1.0, view.every_second)

    def _on_image(self, view: str, data: bytes) -> None:
        if self._view.due(f"{view} camera"):  # of many pictures only a few are decoded
            self.reception.take("pictures", lambda: self._view.camera(view, _image(data)))

    def _on_joints(self, message: JointState) -> None:
        if self._view.due("joints"):
            self.reception.take("joints", lambda: self._view.joints(_positions(message)))

    def _on_pose(self, message: PoseStamped) -> None:
        if not self._view.due("gripper"):
            return
        self.reception.take("poses", lambda: self._view.gripper(*_pose(message)))

    def _on_command(self, message: EndEffectorCommand) -> None:
        if self._view.due("command"):
            self.reception.take("commands", lambda: self._command(command_from_message(message)))

    def _command(self, command: Command) -> None:
        self._view.command(_finite(command.translation), _finite(command.rotation), command.gripper)

    def _on_arm(self, message: RobotStatus) -> None:
        if self._view.due("arm"):
            self._view.node("arm", ARM_STATES.get(int(message.state), ""), str(message.detail))

    def _on_transition(self, message: Transition) -> None:
        self.reception.take("transitions", lambda: self._view.transition(transition_from_message(message)))

    def _on_segment(self, message: SyntheticBatch) -> None:
        self.reception.take("segments", lambda: self._view.segment(synthetic_from_message(message)))

    def _on_episode(self, message: EpisodeSummary) -> None:
        self.reception.take("episodes", lambda: self._episode(summary_from_message(message)))

    def _episode(self, summary: EpisodeSummaryOfRun) -> None:
        self._view.record({"kind": "episode", **episode_to_record(summary)})

    def _on_status(self, kind: str, message: Any) -> None:
        publisher = str(getattr(message, "publisher", ""))
        if self._view.due(f"{kind} {publisher}"):  # in lockstep there are many a second
            record = {"kind": kind, **to_record(message, STATUSES[kind][2])}
            self.reception.take("statuses", lambda: self._view.record(record))


def _image(data: bytes) -> NDArray[np.uint8]:
    if len(data) > MAX_CAMERA_BYTES + 4096:
        raise InvalidObservation(f"a picture has {len(data)} bytes")
    return image_to_numpy(deserialize_message(data, Image))


def _positions(message: JointState) -> dict[str, float]:
    """Positions of the joints by their names; those of the arm are all there."""
    positions = dict(zip(message.name, message.position, strict=False))
    missing = [name for name in ARM_JOINT_NAMES if name not in positions]
    if missing:
        raise InvalidObservation(f"joint states lack {', '.join(missing)}")
    _finite(np.array(list(positions.values())))
    return positions


def _pose(message: PoseStamped) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Position ``(3,)`` m and rotation ``(3, 3)``."""
    at, turn = message.pose.position, message.pose.orientation
    quaternion = _finite(np.array([turn.w, turn.x, turn.y, turn.z]))
    if not quaternion.any():
        raise InvalidObservation("a pose has no orientation")
    return _finite(np.array([at.x, at.y, at.z])), quaternion_to_matrix(quaternion)


def _finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    if not np.isfinite(values).all():
        raise InvalidObservation("values are not finite")
    return values

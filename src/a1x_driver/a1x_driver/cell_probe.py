"""Listens to a cell for a few seconds and notes the facts. Publishes nothing, moves nothing."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.executors import Executor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, JointState, Joy

from a1x_driver import vendor_messages as vendor
from a1x_driver.cell_facts import CameraFacts, CellFacts, Endpoint, Heard
from a1x_driver.driver_config import DriverConfig, Topic
from a1x_driver.teleop_config import TeleopConfig
from a1x_driver.topic_qos import qos_of
from worldsample_core.messages.qos import SENSOR
from worldsample_core.observation import VIEWS

OURS = ("a1x", "cell_probe")
"""Nodes that may send targets."""


class CellProbe:
    """Subscriptions of ``node`` to everything that a cell must have."""

    def __init__(self, node: Node, driver: DriverConfig, teleop: TeleopConfig) -> None:
        self._node, self._driver, self._teleop = node, driver, teleop
        self._began = time.monotonic()
        self._at: dict[str, float] = {}
        topics = driver.topics
        self._arm = self._listen(topics.feedback_arm, JointState, self._on_arm)
        self._gripper = self._listen(topics.feedback_gripper, JointState, None)
        self._joy = self._listen(Topic(teleop.joy_topic), Joy, self._on_joy)
        self._cameras = {view: self._camera(view) for view in VIEWS}
        node.create_subscription(
            vendor.StatusMessage, topics.feedback_status.name, self._on_status, qos_of(topics.feedback_status)
        )
        self._joints: np.ndarray | None = None
        self._malformed, self._error = 0, ""
        self._down: np.ndarray | None = None
        self._last_picture: dict[str, bytes] = {}

    def _listen(self, topic: Topic, kind: Any, then: Callable[[Any], None] | None) -> Heard:
        heard = Heard(
            self._node.resolve_topic_name(topic.name),
            _type_name(kind),
            topic.reliability == "reliable",
            topic.durability == "transient_local",
        )
        self._subscribe(heard, kind, qos_of(topic), then)
        return heard

    def _camera(self, view: str) -> CameraFacts:
        facts = CameraFacts(self._node.resolve_topic_name(f"{view}/color/image_raw"), _type_name(Image))
        self._subscribe(facts, Image, SENSOR, lambda message: self._on_image(view, facts, message))
        return facts

    def _subscribe(
        self, heard: Heard, kind: Any, qos: QoSProfile, then: Callable[[Any], None] | None
    ) -> None:
        def on_message(message: Any) -> None:
            now = time.monotonic()
            if heard.topic in self._at:
                heard.longest_gap = max(heard.longest_gap, now - self._at[heard.topic])
            self._at[heard.topic] = now
            heard.count += 1
            stamp = message.header.stamp
            if stamp.sec or stamp.nanosec:
                heard.skew = stamp.sec + 1e-9 * stamp.nanosec - time.time()
            if then is not None:
                then(message)

        self._node.create_subscription(kind, heard.topic, on_message, qos)

    def _on_arm(self, message: JointState) -> None:
        joints = np.asarray(message.position[:6], np.float64)
        if joints.shape != (6,) or not np.isfinite(joints).all():
            self._malformed += 1
        else:
            self._joints = joints

    def _on_status(self, message: Any) -> None:
        self._error = vendor.errors_in(message) or self._error

    def _on_joy(self, message: Joy) -> None:
        down = np.asarray(message.buttons, bool)
        self._down = down if self._down is None or len(self._down) != len(down) else self._down & down

    def _on_image(self, view: str, facts: CameraFacts, message: Image) -> None:
        facts.sizes.add((int(message.width), int(message.height)))
        facts.encodings.add(str(message.encoding))
        facts.frames.add(str(message.header.frame_id))
        data = bytes(message.data)
        if data != self._last_picture.get(view):
            facts.different += 1
        self._last_picture[view] = data
        height, width, step = int(message.height), int(message.width), int(message.step)
        if message.encoding in ("rgb8", "bgr8") and len(data) == height * step and step >= 3 * width >= 24:
            pixels = np.frombuffer(data, np.uint8).reshape(height, step)[:, : 3 * width]
            pixels = pixels.reshape(height, width, 3)
            pixels = pixels[:, :, ::-1] if message.encoding == "bgr8" else pixels
            facts.brightness = float(pixels.mean())
            cut = pixels[: height // 8 * 8, : width // 8 * 8].astype(np.float64)
            if cut.size:
                facts.thumbnail = cut.reshape(8, height // 8, 8, width // 8, 3).mean(axis=(1, 3)) / 255.0

    def facts(self, folder: Path, gpu: bool) -> CellFacts:
        """The facts that were heard so far. folder: where runs will be written."""
        seconds = time.monotonic() - self._began
        for heard in (self._arm, self._gripper, self._joy, *self._cameras.values()):
            heard.rate = heard.count / seconds
            heard.publishers = [
                Endpoint(
                    _name(info),
                    str(info.topic_type),
                    info.qos_profile.reliability == ReliabilityPolicy.RELIABLE,
                    info.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL,
                )
                for info in self._node.get_publishers_info_by_topic(heard.topic)
            ]
        topics, buttons = self._driver.topics, self._teleop.buttons
        down = self._down if self._down is not None else np.zeros(0, bool)
        pressed = [
            name
            for name in ("success", "failure", "abort", "reset")
            if 0 <= getattr(buttons, name) < len(down) and down[getattr(buttons, name)]
        ]
        return CellFacts(
            arm=self._arm,
            gripper=self._gripper,
            joy=self._joy,
            cameras=self._cameras,
            seconds=seconds,
            joints=self._joints,
            malformed=self._malformed,
            error=self._error,
            writers=self._writers(topics.target_joints.name, topics.target_pose.name),
            commanders=self._writers("a1x/command"),
            held=bool(0 <= buttons.hold < len(down) and down[buttons.hold]),
            pressed=pressed,
            have_vendor=vendor.HAVE_VENDOR,
            free_bytes=shutil.disk_usage(folder).free,
            gpu=gpu,
        )

    def _writers(self, *topics: str) -> list[str]:
        found = {
            _name(info)
            for topic in topics
            for info in self._node.get_publishers_info_by_topic(self._node.resolve_topic_name(topic))
        }
        return sorted(name for name in found if name.rpartition("/")[2] not in OURS)


def listen(executor: Executor, seconds: float) -> None:
    """Let everything in ``executor`` run for a while."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        executor.spin_once(timeout_sec=0.02)


def _name(info: Any) -> str:
    return f"{info.node_namespace.rstrip('/')}/{info.node_name}"


def _type_name(kind: Any) -> str:
    return f"{kind.__module__.partition('.msg.')[0]}/msg/{kind.__name__}"

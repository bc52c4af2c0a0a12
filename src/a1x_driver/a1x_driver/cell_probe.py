"""Listens to a cell for a few seconds and notes the facts. Publishes nothing, moves nothing."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped
from rclpy.executors import Executor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, JointState, Joy
from std_msgs.msg import Float32

from a1x_driver import vendor_messages as vendor
from a1x_driver.cell_facts import CameraFacts, CellFacts, Endpoint, Heard, SendingLink
from a1x_driver.driver_config import DriverConfig
from a1x_driver.link_check import full_name, nobody_reads
from a1x_driver.teleop_config import TeleopConfig
from a1x_driver.topic_qos import qos_of
from a1x_driver.vendor_config import Topic
from worldsample_core.messages.qos import SENSOR
from worldsample_core.node.inherited_environment import left_over
from worldsample_core.node.shared_memory import other_users
from worldsample_core.observation import VIEWS

OURS = ("a1x", "cell_probe")
"""Nodes that may send targets."""
DISCOVERY_PATIENCE = 2.0
"""s for the other ends of our links to be discovered, beyond the time of listening."""


class CellProbe:
    """Subscriptions of ``node`` to everything that a cell must have."""

    def __init__(self, node: Node, driver: DriverConfig, teleop: TeleopConfig) -> None:
        self._node, self._driver, self._teleop = node, driver, teleop
        self._began = time.monotonic()
        self._at: dict[str, float] = {}
        topics = driver.topics
        self._arm = self._listen(topics.feedback_arm, JointState, self._on_arm)
        self._gripper = self._listen(topics.feedback_gripper, JointState, self._on_gripper)
        self._joy = self._listen(Topic(teleop.joy_topic), Joy, self._on_joy)
        self._cameras = {view: self._camera(view) for view in VIEWS}
        node.create_subscription(
            vendor.StatusMessage, topics.feedback_status.name, self._on_status, qos_of(topics.feedback_status)
        )
        self._joints: np.ndarray | None = None
        self._malformed, self._error = 0, ""
        self._down: np.ndarray | None = None
        self._openings: list[float] = []
        self._buttons, self._shown = -1, False
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
                # The message that was under way for the shortest time tells most.
                heard.skew = float(np.fmax(heard.skew, stamp.sec + 1e-9 * stamp.nanosec - time.time()))
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
        self._error = vendor.errors_in(message, self._driver.errors) or self._error

    def _on_gripper(self, message: JointState) -> None:
        if message.position and np.isfinite(message.position[0]):
            reading = float(message.position[0])
            low, high = self._openings or (reading, reading)
            self._openings = [min(low, reading), max(high, reading)]

    def _on_joy(self, message: Joy) -> None:
        self._buttons = len(message.buttons)
        self._shown |= any(message.axes) or any(message.buttons)
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
                    full_name(info),
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
            links=self._links(),
            few_buttons=self._few_buttons(),
            unproven=not self._shown,
            gripper_range=(self._openings[0], self._openings[1]) if self._openings else None,
            have_vendor=vendor.HAVE_VENDOR,
            free_bytes=shutil.disk_usage(folder).free,
            gpu=gpu,
            other_users=other_users(),
            left_over=left_over(),
        )

    def _few_buttons(self) -> str:
        last = self._teleop.last_button
        if self._buttons < 0 or last < self._buttons:
            return ""
        return f"{self._joy.topic} has {self._buttons} buttons, teleop.buttons names button {last}"

    def _links(self) -> list[SendingLink]:
        """The links on which our side sends; a late discovery of their other ends is waited for."""
        end = time.monotonic() + DISCOVERY_PATIENCE
        links = self._look_at_links()
        while any(link.problem for link in links) and time.monotonic() < end:
            time.sleep(0.2)
            links = self._look_at_links()
        return links

    def _look_at_links(self) -> list[SendingLink]:
        driver, topics = self._driver, self._driver.topics
        joints, pose, number = (_type_name(kind) for kind in (JointState, PoseStamped, Float32))
        sent = [
            ("target_joints", topics.target_joints, joints),
            (
                "target_gripper",
                topics.target_gripper,
                number if driver.gripper_interface == "float32" else joints,
            ),
        ]
        if driver.ik == "vendor":
            sent.append(("target_pose", topics.target_pose, pose))
        if driver.functions == "topic":
            sent.append(("function_frame", topics.function_frame, _type_name(vendor.FunctionMessage)))
        links = []
        for name, topic, kind in sent:
            setting = f"driver.topics.{name}"
            links.append(SendingLink(setting, nobody_reads(self._node, topic, setting, kind)))
        if driver.functions == "service":
            name = self._node.resolve_service_name(topics.function_frame.name)
            offered = name in dict(self._node.get_service_names_and_types())
            problem = f"nobody offers the service {name}: start the vendor's driver, or set driver.functions"
            links.append(SendingLink("driver.topics.function_frame", "" if offered else problem))
        return links

    def _writers(self, *topics: str) -> list[str]:
        found = {
            full_name(info)
            for topic in topics
            for info in self._node.get_publishers_info_by_topic(self._node.resolve_topic_name(topic))
        }
        return sorted(name for name in found if name.rpartition("/")[2] not in OURS)


def listen(executor: Executor, seconds: float) -> None:
    """Let everything in ``executor`` run for a while."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        executor.spin_once(timeout_sec=0.02)


def _type_name(kind: Any) -> str:
    return f"{kind.__module__.partition('.msg.')[0]}/msg/{kind.__name__}"

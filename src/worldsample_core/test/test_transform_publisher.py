"""Transforms that the cell's node publishes, and those that it leaves to others."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("tf2_msgs.msg")

from ament_index_python.packages import get_package_share_directory
from builtin_interfaces.msg import Time
from rosbags.typesys import Stores, get_typestore
from sensor_msgs.msg import JointState

from worldsample_core.arm.a1x_kinematics import ARM_JOINT_NAMES
from worldsample_core.camera_calibration import CameraCalibration
from worldsample_core.config import ConfigError, TaskConfig
from worldsample_core.node.transform_publisher import TransformPublisher
from worldsample_core.settings import CamerasConfig, RunConfig, Settings

TASK = TaskConfig(
    "t", 10, 0.9, (True,) * 7, (0.01,) * 7, (0.0,) * 3, (1.0,) * 3, (0.0,) * 6, 1.0, max_real_steps=10
)
CAMERAS = CamerasConfig(side=CameraCalibration((0.8, 0.0, 0.4)), wrist=CameraCalibration((0.0, 0.0, 0.1)))


class Publishers:
    """Stands in for a node: keeps what is published, by topic."""

    def __init__(self) -> None:
        self.sent: dict[str, list[Any]] = {}

    def create_publisher(self, _kind: Any, topic: str, _qos: Any) -> Any:
        messages = self.sent.setdefault(topic, [])
        return type("Publisher", (), {"publish": staticmethod(messages.append)})


def publisher(node: Publishers, urdf: str = "", inner: bool = True, arm: bool = True) -> TransformPublisher:
    run = RunConfig("r", "/tmp/r", arm_transforms=arm)
    settings = Settings(run, TASK, CAMERAS)
    return TransformPublisher(node, settings, Time(sec=5), urdf, inner=inner)  # type: ignore[arg-type]


def test_the_message_is_that_of_ros() -> None:
    """The set-up compiles it for the wheels; a ROS 2 machine must hear it."""
    share = Path(get_package_share_directory("tf2_msgs"))
    hashes = json.loads((share / "msg/TFMessage.json").read_text())["type_hashes"]
    found = {each["type_name"]: each["hash_string"] for each in hashes}
    known = get_typestore(Stores.ROS2_JAZZY).hash_rihs01("tf2_msgs/msg/TFMessage")
    assert found["tf2_msgs/msg/TFMessage"] == known


def children(message: Any) -> set[str]:
    return {each.child_frame_id for each in message.transforms}


def test_a_realsense_publishes_the_frames_inside_itself() -> None:
    node = Publishers()
    publisher(node, inner=False)
    assert children(node.sent["/tf_static"][0]) == {"gripper_link", "side_link", "wrist_link"}


def test_somebody_elses_arm_keeps_its_frames() -> None:
    node = Publishers()
    sender = publisher(node, urdf="/is/not/read", arm=False)
    sender.send(JointState(name=["arm_joint1"], position=[0.1]))
    assert not node.sent["/tf"]
    assert not node.sent["/robot_description"]
    assert "gripper_link" not in children(node.sent["/tf_static"][0])
    assert "wrist_color_optical_frame" in children(node.sent["/tf_static"][0])


def test_moving_transforms_have_the_stamp_of_the_joints() -> None:
    node = Publishers()
    sender = publisher(node)
    joints = JointState(name=list(ARM_JOINT_NAMES), position=[0.1] * 6)
    joints.header.stamp = Time(sec=7, nanosec=8)
    sender.send(joints)
    (message,) = node.sent["/tf"]
    assert len(message.transforms) == 6
    assert all(each.header.stamp == joints.header.stamp for each in message.transforms)


def test_the_description_is_the_file(tmp_path: Path) -> None:
    file, node = tmp_path / "arm.urdf", Publishers()
    file.write_text("<robot/>")
    publisher(node, urdf=str(file))
    assert node.sent["/robot_description"][0].data == "<robot/>"
    with pytest.raises(ConfigError, match="cannot be read"):
        publisher(Publishers(), urdf=str(tmp_path / "missing.urdf"))


def test_settings_without_calibration_give_the_arm_alone() -> None:
    node, run = Publishers(), RunConfig("r", "/tmp/r")
    bare = dataclasses.replace(Settings(run, TASK))
    TransformPublisher(node, bare, Time(), "", inner=True)  # type: ignore[arg-type]
    assert children(node.sent["/tf_static"][0]) == {"gripper_link"}

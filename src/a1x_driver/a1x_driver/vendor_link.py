"""Link to the arm on the vendor's topics: targets, the gripper, functions."""

from __future__ import annotations

from typing import Any

from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Float32

from a1x_driver import vendor_messages as vendor
from a1x_driver.arm_driver import Target
from a1x_driver.arm_messages import pose_message
from a1x_driver.driver_config import DriverConfig
from a1x_driver.topic_qos import qos_of
from worldsample_core.arm.a1x_kinematics import ARM_JOINT_NAMES, forward_kinematics


class VendorLink:
    """Publishers (or a client, for functions) of ``node`` on the topics that ``config`` names."""

    def __init__(self, node: Node, config: DriverConfig) -> None:
        self._node, self._config = node, config
        topics = config.topics
        self._targets = node.create_publisher(
            JointState, topics.target_joints.name, qos_of(topics.target_joints)
        )
        self._poses = (
            node.create_publisher(PoseStamped, topics.target_pose.name, qos_of(topics.target_pose))
            if config.ik == "vendor"
            else None
        )
        float_gripper = config.gripper_interface == "float32"
        self._grip = node.create_publisher(
            Float32 if float_gripper else JointState,
            topics.target_gripper.name,
            qos_of(topics.target_gripper),
        )
        self._functions: Any = None
        if config.functions == "topic":
            self._functions = node.create_publisher(
                vendor.FunctionMessage, topics.function_frame.name, qos_of(topics.function_frame)
            )
        elif config.functions == "service" and vendor.VendorFunctionCall is not None:
            self._functions = node.create_client(vendor.VendorFunctionCall, topics.function_frame.name)

    def send(self, target: Target, resetting: bool, stamp: Time) -> None:
        """Publish a target; while ``resetting`` always as joints."""
        if self._poses is not None and not resetting:
            self._poses.publish(pose_message(*forward_kinematics(target.joints), stamp))
        else:
            joints = JointState(
                name=list(ARM_JOINT_NAMES), position=target.joints.tolist(), velocity=target.speeds.tolist()
            )
            joints.header.stamp = stamp
            self._targets.publish(joints)
        opening = 100.0 * target.opening
        if self._config.gripper_interface == "float32":
            self._grip.publish(Float32(data=opening))
        else:
            grip = JointState(name=["gripper"], position=[opening])
            grip.header.stamp = stamp
            self._grip.publish(grip)

    def ask_function(self, code: int) -> str:
        """Ask the arm for a function. Returns words for a person; "" where it was sent."""
        if self._functions is None or (not vendor.HAVE_VENDOR and not self._config.standin):
            return vendor.WITHOUT_VENDOR if self._config.functions != "none" else ""
        if self._config.functions == "topic":
            self._functions.publish(vendor.function_message(code))
            return ""
        request = vendor.VendorFunctionCall.Request()
        request.command = code
        self._functions.call_async(request)
        return ""

    def other_writer(self) -> str:
        """Name of another program that publishes targets or commands this driver; "" for none."""
        node, topics = self._node, self._config.topics
        for topic in (topics.target_joints.name, topics.target_pose.name):
            for info in node.get_publishers_info_by_topic(topic):
                whole = f"{info.node_namespace.rstrip('/')}/{info.node_name}"
                if whole != node.get_fully_qualified_name():
                    return f"another node ({whole}, on {topic})"
            if node.count_publishers(topic) > 1:
                return f"another driver (on {topic})"
        commanders = node.get_publishers_info_by_topic(node.resolve_topic_name("~/command"))
        if len(commanders) > 1:
            names = sorted({f"{info.node_namespace.rstrip('/')}/{info.node_name}" for info in commanders})
            return f"one of {len(commanders)} nodes that command this driver ({', '.join(names)})"
        return ""

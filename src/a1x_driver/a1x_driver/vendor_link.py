"""Link to the arm on the vendor's topics: targets, the gripper, and who is at the other ends."""

from __future__ import annotations

from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy
from sensor_msgs.msg import JointState
from std_msgs.msg import Float32

from a1x_driver.arm_driver import Target
from a1x_driver.arm_messages import pose_message
from a1x_driver.driver_config import DriverConfig
from a1x_driver.link_check import full_name, nobody_reads
from a1x_driver.topic_qos import qos_of
from a1x_driver.vendor_config import Topic
from worldsample_core.arm.a1x_kinematics import ARM_JOINT_NAMES, forward_kinematics


class VendorLink:
    """Publishers of ``node`` on the topics that ``config`` names."""

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
        self._read: tuple[tuple[Topic, str, str], ...] = (
            (topics.target_joints, "driver.topics.target_joints", "sensor_msgs/msg/JointState"),
            (
                topics.target_gripper,
                "driver.topics.target_gripper",
                "std_msgs/msg/Float32" if float_gripper else "sensor_msgs/msg/JointState",
            ),
        )
        if config.ik == "vendor":
            pose = (topics.target_pose, "driver.topics.target_pose", "geometry_msgs/msg/PoseStamped")
            self._read = (*self._read, pose)

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
        numbers = self._config.gripper
        opening = numbers.target_closed + target.opening * (numbers.target_open - numbers.target_closed)
        if self._config.gripper_interface == "float32":
            self._grip.publish(Float32(data=opening))
        else:
            grip = JointState(name=["gripper"], position=[opening])
            grip.header.stamp = stamp
            self._grip.publish(grip)

    def unheard(self) -> str:
        """Words for a target topic that nobody can hear; "" where all are heard."""
        problems = (nobody_reads(self._node, *link) for link in self._read)
        return next((problem for problem in problems if problem), "")

    def silent_feedback(self) -> str:
        """The reason why nothing is heard of the arm's feedback; "" where none can be told."""
        topic = self._config.topics.feedback_arm
        name = self._node.resolve_topic_name(topic.name)
        publishers = self._node.get_publishers_info_by_topic(name)
        if not publishers:
            return f"nobody publishes {name}: is the vendor's driver running?"
        for info in publishers:
            wanted = qos_of(topic)
            if info.topic_type != "sensor_msgs/msg/JointState":
                return f"{full_name(info)} publishes {name} as {info.topic_type}"
            if (
                wanted.reliability == ReliabilityPolicy.RELIABLE
                and info.qos_profile.reliability != ReliabilityPolicy.RELIABLE
            ):
                return f"{full_name(info)} publishes {name} best effort: set its reliability=best_effort"
            if (
                wanted.durability == DurabilityPolicy.TRANSIENT_LOCAL
                and info.qos_profile.durability != DurabilityPolicy.TRANSIENT_LOCAL
            ):
                return f"{full_name(info)} publishes {name} volatile: set the topic's durability=volatile"
        return ""

    def other_writer(self) -> str:
        """Name of another program that publishes targets or commands this driver; "" for none."""
        node, topics = self._node, self._config.topics
        for topic in (topics.target_joints.name, topics.target_pose.name):
            for info in node.get_publishers_info_by_topic(topic):
                whole = full_name(info)
                if whole != node.get_fully_qualified_name():
                    return f"another node ({whole}, on {topic})"
            if node.count_publishers(topic) > 1:
                return f"another driver (on {topic})"
        commanders = node.get_publishers_info_by_topic(node.resolve_topic_name("~/command"))
        if len(commanders) > 1:
            names = sorted({full_name(info) for info in commanders})
            return f"one of {len(commanders)} nodes that command this driver ({', '.join(names)})"
        return ""

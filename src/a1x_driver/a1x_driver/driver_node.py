"""The driver of the real arm: the vendor's topics on one side, the graph's on the other.

What may move is decided in :class:`a1x_driver.arm_driver.ArmDriver`; this node converts. Stamps of everything
that it publishes are of this machine's clock at the arrival of the feedback: clocks of the arm do not matter.
They go on evenly; where the clock is set they follow it, and that is said.

Parameters:
    config: path of the run's config.yaml.
"""

from __future__ import annotations

import worldsample_core.node.quiet_imports  # noqa: F401

# isort: split
import sys
import time
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import JointState

from a1x_driver import vendor_messages as vendor
from a1x_driver.arm_driver import ArmDriver
from a1x_driver.arm_functions import ArmFunctions
from a1x_driver.arm_messages import (
    Health,
    SaidOnce,
    diagnostics_message,
    gripper_message,
    joints_message,
    pose_message,
    result_message,
    status_message,
)
from a1x_driver.arm_services import ArmServices
from a1x_driver.driver_config import DriverConfig
from a1x_driver.topic_qos import qos_of
from a1x_driver.vendor_link import VendorLink
from worldsample_core.config import from_mapping
from worldsample_core.messages.conversions import command_from_message, stamp_ns, time_of_ns
from worldsample_core.messages.qos import COMMAND, RESULTS, SENSOR, STATUS
from worldsample_core.node.fixed_parameter import fixed_parameter
from worldsample_core.node.precedence import ARM, come_first
from worldsample_core.node.run_settings import run_settings
from worldsample_core.node.spinning_node import run_node
from worldsample_core.node.steady_time import EvenStamps, steady_timer
from worldsample_core.node.transform_publisher import TransformPublisher
from worldsample_msgs.msg import CommandResult, EndEffectorCommand, GripperState, RobotStatus

STATUS_RATE = 10.0


class DriverNode(Node):
    """All callbacks run in one thread."""

    def __init__(self, **options: Any) -> None:
        """``options`` are those of :class:`rclpy.node.Node`.

        Raises:
            ConfigError: the configuration is unusable.
        """
        super().__init__("a1x", **options)
        settings = run_settings(self)
        self._config = config = from_mapping(DriverConfig, settings.driver, "driver")
        self.arm = ArmDriver(config, settings.task)
        topics = config.topics
        self._stamps = EvenStamps()
        self._state_at = 0.0
        self._health = Health()
        self._faults, self._gripper_faults = SaidOnce(), SaidOnce()

        self._vendor = VendorLink(self, config)
        self._joints = self.create_publisher(JointState, "joint_states", SENSOR)
        urdf = fixed_parameter(self, "urdf", "", "File of the arm's description.")
        self._transforms = TransformPublisher(self, settings, self._now(), urdf, inner=config.standin)
        self._pose = self.create_publisher(PoseStamped, "~/ee_pose", SENSOR)
        self._gripper = self.create_publisher(GripperState, "~/gripper", SENSOR)
        self._status = self.create_publisher(RobotStatus, "~/status", STATUS)
        self._results = self.create_publisher(CommandResult, "~/executed", RESULTS)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", QoSProfile(depth=1))

        for kind, topic, callback in (
            (JointState, topics.feedback_arm, self._on_feedback),
            (JointState, topics.feedback_gripper, self._on_gripper),
            (vendor.StatusMessage, topics.feedback_status, self._on_error),
        ):
            self.create_subscription(kind, topic.name, callback, qos_of(topic))
        self.create_subscription(EndEffectorCommand, "~/command", self._on_command, COMMAND)
        functions = ArmFunctions(self, config)
        self._arm_services = ArmServices(
            self, self.arm, functions, config.reset.patience, self._look_at_links, self._stamps
        )
        steady_timer(self, 1.0 / config.stream_rate, self._send_target)
        steady_timer(self, 1.0 / STATUS_RATE, self._publish_status)
        steady_timer(self, 1.0, self._on_second)
        if not vendor.HAVE_VENDOR and not config.standin:
            self.get_logger().warning(vendor.WITHOUT_VENDOR)
        come_first(ARM)
        self.get_logger().info(
            f"{settings.task.name}: {config.stream_rate:g} targets/s by "
            + ("the vendor's inverse kinematics" if config.ik == "vendor" else "our inverse kinematics")
        )

    def _now(self) -> Time:
        return time_of_ns(self._stamps())

    # --- the arm ---

    def _on_feedback(self, message: JointState) -> None:
        now = time.monotonic()
        self._health.feedback_arrived(now)
        if not self.arm.take_feedback(
            message.position, message.velocity, now, stamp_ns(message.header.stamp)
        ):
            if self.arm.feedback.complaint:
                self.get_logger().warning(self.arm.feedback.complaint, throttle_duration_sec=2.0)
            return
        if now - self._state_at >= 1.0 / self._config.state_rate - 1e-3:
            self._state_at = now
            self._publish_state()

    def _on_gripper(self, message: JointState) -> None:
        if message.position:
            self.arm.take_gripper(float(message.position[0]), time.monotonic())

    def _on_error(self, message: Any) -> None:
        table = self._config.errors
        self.arm.take_error(vendor.errors_in(message, table))
        self.arm.take_unheard(vendor.unheard_in(message, table), time.monotonic())

    def _on_command(self, message: EndEffectorCommand) -> None:
        began = time.monotonic()
        problem = self.arm.command(command_from_message(message), began, self._stamps())
        self._results.publish(result_message(self.arm.executed, message.header.stamp, self._now()))
        if problem:
            self.get_logger().warning(f"command rejected: {problem}", throttle_duration_sec=2.0)
            return
        self._arm_services.commanded(began)
        self._send_target()
        self._health.command_took(time.monotonic() - began)

    def _send_target(self) -> None:
        """The next target, after a command at once."""
        now = time.monotonic()
        target = self.arm.step(now)
        if target is not None:
            self._vendor.send(target, self.arm.resetting, self._now())
        self._arm_services.look(now)

    # --- what goes out ---

    def _publish_state(self) -> None:
        feedback = self.arm.feedback
        stamp = self._now()
        joints = joints_message(feedback, stamp)
        self._joints.publish(joints)  # before the pose: who takes an observation has them then
        self._pose.publish(pose_message(feedback.position, feedback.rotation, stamp))
        if not feedback.gripper_fault(time.monotonic()):
            self._gripper.publish(gripper_message(feedback, stamp))
        self._transforms.send(joints)

    def _publish_status(self) -> None:
        state, detail = self.arm.state(time.monotonic())
        self._status.publish(status_message(self.arm, state, detail, self._now()))
        said = detail if state == "fault" else ""
        if self._faults.news(said):
            self.get_logger().error(said or "the fault is over")
        said = self.arm.feedback.gripper_fault(time.monotonic())
        if self._gripper_faults.news(said):
            self.get_logger().error(said or "the gripper's feedback is there")

    def _on_second(self) -> None:
        now = time.monotonic()
        self._look_at_links()
        if jump := self._stamps.followed():
            self.arm.clock_was_set()
            self.get_logger().warning(f"this machine's clock was set by {jump:+.1f} s: stamps follow it")
        state, detail = self.arm.state(now)
        values = self._health.values(self.arm, now)
        stamp = self._now()
        self._diagnostics.publish(
            diagnostics_message(self.get_name(), state, detail, values, self._config.standin, stamp)
        )

    def _look_at_links(self) -> None:
        self.arm.take_rival(self._vendor.other_writer())
        silent = not np.isfinite(self.arm.feedback.arrived)
        self.arm.take_link(self._vendor.unheard() or (self._vendor.silent_feedback() if silent else ""))

    def destroy_node(self) -> None:
        """Also answers a reset that is under way."""
        self._arm_services.end()
        super().destroy_node()


def main(args: list[str] | None = None) -> int:
    """Run the node. Returns 0 when asked to stop, 2 where the configuration cannot be used."""
    return run_node("a1x (driver)", DriverNode, args)


if __name__ == "__main__":
    sys.exit(main())

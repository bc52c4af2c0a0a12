"""The driver of the real arm: the vendor's topics on one side, the graph's on the other.

What may move is decided in :class:`a1x_driver.arm_driver.ArmDriver`; this node converts. Stamps of everything
that it publishes are of this machine's clock at the arrival of the feedback: clocks of the arm do not matter.

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
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.task import Future
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger

from a1x_driver import vendor_messages as vendor
from a1x_driver.arm_driver import ArmDriver
from a1x_driver.arm_messages import (
    Health,
    diagnostics_message,
    gripper_message,
    joints_message,
    pose_message,
    status_message,
)
from a1x_driver.driver_config import DriverConfig
from a1x_driver.reset_path import NoSafePath
from a1x_driver.topic_qos import qos_of
from a1x_driver.vendor_link import VendorLink
from worldsample_core.arm.motion_command import Command
from worldsample_core.config import from_mapping
from worldsample_core.messages.conversions import stamp_ns
from worldsample_core.messages.qos import COMMAND, SENSOR, STATUS
from worldsample_core.node.precedence import ARM, come_first
from worldsample_core.node.run_settings import run_settings
from worldsample_core.node.spinning_node import run_node
from worldsample_msgs.msg import EndEffectorCommand, GripperState, RobotStatus
from worldsample_msgs.srv import Reset

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
        self._wall = Clock(clock_type=ClockType.SYSTEM_TIME)
        self._state_at = -np.inf
        self._stamp = self._wall.now().to_msg()
        self._reset_waits: Future | None = None
        self._reset_until = np.inf
        self._health = Health()
        self._said = ""

        self._vendor = VendorLink(self, config)
        self._joints = self.create_publisher(JointState, "joint_states", SENSOR)
        self._pose = self.create_publisher(PoseStamped, "~/ee_pose", SENSOR)
        self._gripper = self.create_publisher(GripperState, "~/gripper", SENSOR)
        self._status = self.create_publisher(RobotStatus, "~/status", STATUS)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", QoSProfile(depth=1))

        self.create_subscription(
            JointState, topics.feedback_arm.name, self._on_feedback, qos_of(topics.feedback_arm)
        )
        self.create_subscription(
            JointState, topics.feedback_gripper.name, self._on_gripper, qos_of(topics.feedback_gripper)
        )
        self.create_subscription(
            vendor.StatusMessage, topics.feedback_status.name, self._on_error, qos_of(topics.feedback_status)
        )
        self.create_subscription(EndEffectorCommand, "~/command", self._on_command, COMMAND)
        # A group of its own: while a reset waits for its end, everything else goes on.
        self.create_service(Reset, "~/reset", self._on_reset, callback_group=ReentrantCallbackGroup())
        self.create_service(Trigger, "~/enable", self._on_enable)
        self.create_service(Trigger, "~/disable", self._on_disable)
        self.create_service(Trigger, "~/clear_errors", self._on_clear)
        # Steady timers: a jump of the wall clock must not stop the stream of targets.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1.0 / config.stream_rate, self._send_target, clock=steady)
        self.create_timer(1.0 / STATUS_RATE, self._publish_status, clock=steady)
        self.create_timer(1.0, self._on_second, clock=steady)
        if not vendor.HAVE_VENDOR and not config.standin:
            self.get_logger().warning(vendor.WITHOUT_VENDOR)
        come_first(ARM)
        self.get_logger().info(
            f"{settings.task.name}: {config.stream_rate:g} targets/s by "
            + ("the vendor's inverse kinematics" if config.ik == "vendor" else "our inverse kinematics")
        )

    # --- the arm ---

    def _on_feedback(self, message: JointState) -> None:
        now = time.monotonic()
        self._health.feedback_arrived(now)
        if not self.arm.take_feedback(message.position, message.velocity, now):
            self.get_logger().warning(self.arm.feedback.complaint, throttle_duration_sec=2.0)
            return
        if now - self._state_at >= 1.0 / self._config.state_rate - 1e-3:
            self._state_at = now
            self._publish_state()

    def _on_gripper(self, message: JointState) -> None:
        if message.position:
            self.arm.take_gripper(float(message.position[0]), time.monotonic())

    def _on_error(self, message: Any) -> None:
        self.arm.take_error(vendor.errors_in(message))

    def _on_command(self, message: EndEffectorCommand) -> None:
        began = time.monotonic()
        move, turn = message.translation, message.rotation
        command = Command(
            np.array([move.x, move.y, move.z]),
            np.array([turn.x, turn.y, turn.z]),
            int(message.gripper),
            message.header.frame_id,
            stamp_ns(message.header.stamp),
        )
        problem = self.arm.command(command, began, self._wall.now().nanoseconds)
        if problem:
            self.get_logger().warning(f"command rejected: {problem}", throttle_duration_sec=2.0)
            return
        self._send_target()
        self._health.command_took(time.monotonic() - began)

    def _send_target(self) -> None:
        """The next target, after a command at once."""
        now = time.monotonic()
        target = self.arm.step(now)
        if target is not None:
            self._vendor.send(target, self.arm.resetting, self._wall.now().to_msg())
        self._go_on_with_reset(now)

    # --- services ---

    async def _on_reset(self, request: Reset.Request, response: Reset.Response) -> Reset.Response:
        if request.mode not in ("demo", "train", "eval", "label"):
            response.success = False
            response.message = f"unknown mode {request.mode!r}: expected one of demo, train, eval, label"
            return response
        if self._reset_waits is not None:
            response.success, response.message = False, "a reset is under way already"
            return response
        self._reset_waits = waits = Future()
        self._reset_until = time.monotonic() + self._config.reset.patience
        response.success, response.message = await waits
        response.stamp = self._wall.now().to_msg()
        return response

    def _begin_reset(self, now: float) -> None:
        """Begin the reset that is waited for, once nothing forbids it; give up after the patience."""
        enabled = self.arm.enabled
        try:
            self.arm.start_reset(now)
        except NoSafePath as problem:
            if now > self._reset_until:
                self._end_reset((False, str(problem)))
            return
        self._reset_until = np.inf  # it has begun
        if not enabled:
            self._vendor.ask_function(vendor.ENABLE)

    def _end_reset(self, answer: tuple[bool, str]) -> None:
        if self._reset_waits is not None:
            self._reset_waits.set_result(answer)
            self._reset_waits = None

    def _go_on_with_reset(self, now: float) -> None:
        if self._reset_waits is not None and np.isfinite(self._reset_until):
            self._begin_reset(now)
        answer = self.arm.reset_answer()
        if answer is not None:
            self._end_reset(answer)

    def _on_enable(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        problem = self.arm.fault(time.monotonic())
        if problem:
            response.success, response.message = False, problem
            return response
        self.arm.enable()
        return self._answer_function(vendor.ENABLE, response)

    def _on_disable(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self.arm.disable()
        self._end_reset((False, "the arm was disabled"))
        response.success = True
        response.message = "nothing is sent any more, but the arm stays powered: it has no brakes"
        return response

    def _on_clear(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self.arm.clear_errors()
        return self._answer_function(vendor.CLEAR, response)

    def _answer_function(self, code: int, response: Trigger.Response) -> Trigger.Response:
        response.success, response.message = True, self._vendor.ask_function(code)
        return response

    # --- what goes out ---

    def _publish_state(self) -> None:
        feedback = self.arm.feedback
        self._stamp = stamp = self._wall.now().to_msg()
        self._pose.publish(pose_message(feedback.position, feedback.rotation, stamp))
        self._gripper.publish(gripper_message(feedback, stamp))
        self._joints.publish(joints_message(feedback, stamp))

    def _publish_status(self) -> None:
        state, detail = self.arm.state(time.monotonic())
        self._status.publish(status_message(self.arm, state, detail, self._wall.now().to_msg()))
        said = detail if state == "fault" else ""
        kind = said.split(" for ")[0]  # "… for 0.12 s" is not news at 0.22 s
        if kind != self._said:
            self._said = kind
            if said:
                self.get_logger().error(said)
            else:
                self.get_logger().info("the fault is over")

    def _on_second(self) -> None:
        now = time.monotonic()
        self.arm.take_rival(self._vendor.other_writer())
        state, detail = self.arm.state(now)
        values = self._health.values(self.arm, now)
        stamp = self._wall.now().to_msg()
        self._diagnostics.publish(
            diagnostics_message(self.get_name(), state, detail, values, self._config.standin, stamp)
        )

    def destroy_node(self) -> None:
        """Also answers a reset that is under way."""
        self.arm.disable(by_person=False)
        self._end_reset((False, "the driver is ending"))
        super().destroy_node()


def main(args: list[str] | None = None) -> int:
    """Run the node. Returns 0 when asked to stop, 2 where the configuration cannot be used."""
    return run_node("a1x (driver)", DriverNode, args)


if __name__ == "__main__":
    sys.exit(main())

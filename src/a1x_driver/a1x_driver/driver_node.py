"""The driver of the real arm: the vendor's topics on one side, the graph's on the other.

What may move is decided in :class:`a1x_driver.arm_driver.ArmDriver`; this node converts. Stamps of everything
that it publishes are of this machine's clock at the arrival of the feedback: clocks of the arm do not matter.

Parameters:
    config: path of the run's config.yaml.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import PoseStamped
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.task import Future
from sensor_msgs.msg import JointState
from std_msgs.msg import Float32
from std_srvs.srv import Trigger

from a1x_driver import vendor_messages as vendor
from a1x_driver.arm_driver import ArmDriver, Target
from a1x_driver.command_gate import Command
from a1x_driver.driver_config import DriverConfig
from a1x_driver.reset_path import NoSafePath
from a1x_driver.topic_qos import qos_of
from worldsample_core.arm.a1x_kinematics import (
    ARM_JOINT_NAMES,
    BASE_FRAME,
    FINGER_JOINT_NAMES,
    FINGER_STROKE,
    forward_kinematics,
)
from worldsample_core.arm.rotation import matrix_to_quaternion
from worldsample_core.config import from_mapping
from worldsample_core.messages.conversions import stamp_ns
from worldsample_core.messages.qos import COMMAND, SENSOR, STATUS
from worldsample_core.node.precedence import ARM, come_first
from worldsample_core.node.run_settings import run_settings
from worldsample_core.node.spinning_node import run_node
from worldsample_msgs.msg import EndEffectorCommand, GripperState, RobotStatus
from worldsample_msgs.srv import Reset

STATES = {
    "ok": RobotStatus.OK,
    "holding": RobotStatus.HOLDING,
    "fault": RobotStatus.FAULT,
    "resetting": RobotStatus.RESETTING,
}
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
        self._delays: deque[float] = deque(maxlen=1000)
        self._rates: deque[float] = deque(maxlen=200)
        self._said = ""

        self._targets = self.create_publisher(
            JointState, topics.target_joints.name, qos_of(topics.target_joints)
        )
        self._poses = (
            self.create_publisher(PoseStamped, topics.target_pose.name, qos_of(topics.target_pose))
            if config.ik == "vendor"
            else None
        )
        float_gripper = config.gripper_interface == "float32"
        self._grip = self.create_publisher(
            Float32 if float_gripper else JointState,
            topics.target_gripper.name,
            qos_of(topics.target_gripper),
        )
        self._functions: Any = None
        if config.functions == "topic":
            self._functions = self.create_publisher(
                vendor.FunctionMessage, topics.function_frame.name, qos_of(topics.function_frame)
            )
        elif config.functions == "service" and vendor.VendorFunctionCall is not None:
            self._functions = self.create_client(vendor.VendorFunctionCall, topics.function_frame.name)

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
        self._rates.append(now)
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
        self._delays.append(time.monotonic() - began)

    def _send_target(self) -> None:
        """The next target, after a command at once."""
        now = time.monotonic()
        target = self.arm.step(now)
        if target is not None:
            self._send(target)
        self._go_on_with_reset(now)

    def _send(self, target: Target) -> None:
        stamp = self._wall.now().to_msg()
        if self._poses is not None and not self.arm.resetting:
            pose = PoseStamped()
            pose.header.stamp, pose.header.frame_id = stamp, BASE_FRAME
            _fill_pose(pose, *forward_kinematics(target.joints))
            self._poses.publish(pose)
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
            self._ask_function(vendor.ENABLE)

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
        response.success, response.message = True, self._ask_function(code)
        return response

    def _ask_function(self, code: int) -> str:
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

    # --- what goes out ---

    def _publish_state(self) -> None:
        feedback = self.arm.feedback
        self._stamp = stamp = self._wall.now().to_msg()
        pose = PoseStamped()
        pose.header.stamp, pose.header.frame_id = stamp, BASE_FRAME
        _fill_pose(pose, feedback.position, feedback.rotation)
        self._pose.publish(pose)
        gripper = GripperState(opening=feedback.opening, velocity=feedback.opening_speed)
        gripper.header.stamp = stamp
        self._gripper.publish(gripper)
        finger = feedback.opening * FINGER_STROKE
        speed = feedback.opening_speed * FINGER_STROKE
        joints = JointState(
            name=[*ARM_JOINT_NAMES, *FINGER_JOINT_NAMES],
            position=[*feedback.joints.tolist(), finger, -finger],
            velocity=[*feedback.velocities.tolist(), speed, -speed],
        )
        joints.header.stamp = stamp
        self._joints.publish(joints)

    def _publish_status(self) -> None:
        state, detail = self.arm.state(time.monotonic())
        status = RobotStatus(state=STATES[state], detail=detail)
        status.header.stamp = self._wall.now().to_msg()
        status.at_box_limit, status.at_joint_limit = self.arm.at_box_limit, self.arm.at_joint_limit
        counters = self.arm.counters
        status.commands_applied = counters.applied
        status.commands_clipped = counters.clipped
        status.commands_rejected = counters.rejected
        self._status.publish(status)
        said = detail if state == "fault" else ""
        kind = said.split(" for ")[0]  # "… for 0.12 s" is not news at 0.22 s
        if kind != self._said:
            self._said = kind
            if said:
                self.get_logger().error(said)
            else:
                self.get_logger().info("the fault is over")

    def _on_second(self) -> None:
        self.arm.take_rival(self._other_writer())
        state, detail = self.arm.state(time.monotonic())
        feedback, counters = self.arm.feedback, self.arm.counters
        level = {"fault": DiagnosticStatus.ERROR, "holding": DiagnosticStatus.WARN}
        delays = sorted(self._delays)
        span = self._rates[-1] - self._rates[0] if len(self._rates) > 1 else 0.0
        values = {
            "feedback_hz": (len(self._rates) - 1) / span if span > 0 else 0.0,
            "feedback_age_ms": 1e3 * min(feedback.age(time.monotonic()), 1e6),
            "feedback_refused": feedback.bad,
            "command_to_target_p99_ms": 1e3 * delays[int(0.99 * (len(delays) - 1))] if delays else 0.0,
            "commands_applied": counters.applied,
            "commands_clipped": counters.clipped,
            "commands_rejected": counters.rejected,
            "joint3_deg": float(np.degrees(feedback.joints[2])),
        }
        status = DiagnosticStatus(
            level=level.get(state, DiagnosticStatus.OK),
            name=f"{self.get_name()}: arm",
            message=detail or state,
            hardware_id="A1X",
            values=[KeyValue(key=key, value=f"{value:g}") for key, value in values.items()],
        )
        array = DiagnosticArray(status=[status])
        if not vendor.HAVE_VENDOR and not self._config.standin:
            array.status.append(
                DiagnosticStatus(
                    level=DiagnosticStatus.WARN,
                    name=f"{self.get_name()}: vendor messages",
                    message=vendor.WITHOUT_VENDOR,
                )
            )
        array.header.stamp = self._wall.now().to_msg()
        self._diagnostics.publish(array)

    def _other_writer(self) -> str:
        """Name of another program that publishes targets; "" for none."""
        topics = self._config.topics
        for topic in (topics.target_joints.name, topics.target_pose.name):
            for info in self.get_publishers_info_by_topic(topic):
                whole = f"{info.node_namespace.rstrip('/')}/{info.node_name}"
                if whole != self.get_fully_qualified_name():
                    return f"another node ({whole}, on {topic})"
            if self.count_publishers(topic) > 1:
                return f"another driver (on {topic})"
        commanders = self.get_publishers_info_by_topic(self.resolve_topic_name("~/command"))
        if len(commanders) > 1:
            names = sorted({f"{info.node_namespace.rstrip('/')}/{info.node_name}" for info in commanders})
            return f"one of {len(commanders)} nodes that command this driver ({', '.join(names)})"
        return ""

    def destroy_node(self) -> None:
        """Also answers a reset that is under way."""
        self.arm.disable(by_person=False)
        self._end_reset((False, "the driver is ending"))
        super().destroy_node()


def _fill_pose(message: PoseStamped, position: Any, rotation: Any) -> None:
    at, turn = message.pose.position, message.pose.orientation
    at.x, at.y, at.z = map(float, position)
    turn.w, turn.x, turn.y, turn.z = map(float, matrix_to_quaternion(rotation))


def main(args: list[str] | None = None) -> int:
    """Run the node. Returns 0 when asked to stop, 2 where the configuration cannot be used."""
    return run_node("a1x (driver)", DriverNode, args)


if __name__ == "__main__":
    sys.exit(main())

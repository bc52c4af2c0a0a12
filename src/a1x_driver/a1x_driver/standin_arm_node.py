"""A stand-in of the arm: speaks the vendor's topics at 200 Hz, and misbehaves on request.

Parameters:
    config: path of the run's config.yaml (section ``driver`` names the topics).
    reliability, durability: of what it publishes: reliable or best_effort, volatile or transient_local.
    lag: s, of the joints. drop, late: fractions of feedback messages that are lost, or come 20 ms late.
    start: "rest" (folded, joint 3 at +1.5 deg) or "ready" (the task's reset pose).
    mute_after: s after which feedback stops (0: never). error_after: s after which it reports an error.
"""

from __future__ import annotations

import worldsample_core.node.quiet_imports  # noqa: F401

# isort: split
import sys
import time
from collections import deque
from dataclasses import replace
from typing import Any

import numpy as np
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Float32

from a1x_driver import vendor_messages as vendor
from a1x_driver.arm_driver import MAX_DT
from a1x_driver.driver_config import DriverConfig
from a1x_driver.standin_arm import REST, Rules, StandInArm
from a1x_driver.topic_qos import qos_of
from a1x_driver.vendor_config import SDK_CODES, Topic
from worldsample_core.arm.a1x_kinematics import ARM_JOINT_NAMES
from worldsample_core.config import from_mapping
from worldsample_core.node.fixed_parameter import fixed_parameter
from worldsample_core.node.precedence import ARM, come_first
from worldsample_core.node.run_settings import run_settings
from worldsample_core.node.spinning_node import run_node
from worldsample_core.node.steady_time import steady_timer

RATE = 200.0


class StandInArmNode(Node):
    """Publishes feedback, gripper and status of a stand-in arm; hears targets and functions.

    Subscription ``~/mute`` (Bool) stops and starts the feedback; ``~/emergency_stop`` (Bool) cuts the motors'
    power, under which the arm sags while its feedback repeats one reading, and gives it back.
    """

    def __init__(self, **options: Any) -> None:
        """``options`` are those of :class:`rclpy.node.Node`.

        Raises:
            ConfigError: the configuration is unusable.
        """
        super().__init__("standin_arm", **options)
        settings = run_settings(self)
        config, task = from_mapping(DriverConfig, settings.driver, "driver"), settings.task
        reliability = fixed_parameter(self, "reliability", "best_effort", "QoS of the feedback.")
        durability = fixed_parameter(self, "durability", "volatile", "QoS of the feedback.")
        start = fixed_parameter(self, "start", "rest", "Pose at the start: rest or ready.")
        lag = fixed_parameter(self, "lag", 0.05, "Time constant of the arm, s.")
        self._drop = fixed_parameter(self, "drop", 0.0, "Share of the feedback that is lost, 0 .. 1.")
        self._late = fixed_parameter(self, "late", 0.0, "Share of the feedback that comes late, 0 .. 1.")
        self._mute_after = fixed_parameter(
            self, "mute_after", 0.0, "Time until the arm falls silent, s; 0: never."
        )
        self._error_after = fixed_parameter(
            self, "error_after", 0.0, "Time until the arm reports an error, s; 0: never."
        )
        limits = config.limits
        self.arm = StandInArm(
            np.asarray(task.reset_joints) if start == "ready" else REST,
            lag,
            Rules(
                np.asarray(limits.joint_velocity),
                np.asarray(limits.joint_acceleration),
                np.full(3, -np.inf),  # a reset leads outside the box
                np.full(3, np.inf),
                jump=0.02,
                longest=0.5,  # targets may be lost where this process does not get to run
                slack=MAX_DT,
            ),
            SDK_CODES[config.sdk],
        )
        self.arm.enabled = start == "ready"
        topics = config.topics

        def qos(topic: Topic) -> Topic:
            return Topic(topic.name, reliability, durability, 1)  # type: ignore[arg-type]

        self._feedback = self.create_publisher(
            JointState, topics.feedback_arm.name, qos_of(qos(topics.feedback_arm))
        )
        self._gripper = self.create_publisher(
            JointState, topics.feedback_gripper.name, qos_of(qos(topics.feedback_gripper))
        )
        self._status = self.create_publisher(
            vendor.StatusMessage, topics.feedback_status.name, qos_of(qos(topics.feedback_status))
        )
        every = replace(topics.target_joints, depth=200)  # to judge all of them
        self.create_subscription(JointState, every.name, self._on_target, qos_of(every))
        if config.gripper_interface == "float32":
            self.create_subscription(
                Float32, topics.target_gripper.name, self._on_float, qos_of(topics.target_gripper)
            )
        else:
            self.create_subscription(
                JointState, topics.target_gripper.name, self._on_grip, qos_of(topics.target_gripper)
            )
        self.create_subscription(
            vendor.FunctionMessage,
            topics.function_frame.name,
            self._on_function_message,
            qos_of(topics.function_frame),
        )
        self.create_service(vendor.FunctionCall, topics.function_frame.name, self._on_function)
        self.create_subscription(Bool, "~/mute", self._on_mute, 1)
        self.create_subscription(Bool, "~/emergency_stop", self._on_emergency_stop, 1)
        self._rng = np.random.default_rng(0)
        self._wall = Clock(clock_type=ClockType.SYSTEM_TIME)
        self._began = self._stepped = time.monotonic()
        self._waiting: deque[tuple[float, JointState]] = deque()
        self._muted, self._ticks = False, 0
        come_first(ARM)  # a real arm has a computer of its own
        steady_timer(self, 1.0 / RATE, self._tick)

    def _tick(self) -> None:
        now = time.monotonic()
        self.arm.step(now - self._stepped)
        self._stepped = now
        self._ticks += 1
        alive = now - self._began
        if self._error_after and alive > self._error_after:
            self._error_after, self.arm.error = 0.0, 17
        if self._muted or (self._mute_after and alive > self._mute_after):
            return
        stamp = self._wall.now().to_msg()
        joints = JointState(
            name=[*ARM_JOINT_NAMES, "gripper"],
            position=[*self.arm.reading().tolist(), 0.37],  # the seventh is in no useful unit
            velocity=[*self.arm.speeds().tolist(), 0.0],
        )
        joints.header.stamp = stamp
        fate = self._rng.random()
        if fate < self._late:
            self._waiting.append((now + 0.02, joints))
        elif fate >= self._late + self._drop:
            self._feedback.publish(joints)
        while self._waiting and self._waiting[0][0] <= now:
            self._feedback.publish(self._waiting.popleft()[1])
        if self._ticks % 4 == 0:
            grip = JointState(name=["gripper"], position=[self.arm.opening], velocity=[0.0])
            grip.header.stamp = stamp
            self._gripper.publish(grip)
        if self._ticks % 20 == 0 and not vendor.HAVE_VENDOR:
            code = self.arm.error_code
            self._status.publish(vendor.StatusMessage(data=f"code {code}" if code else ""))

    def _on_target(self, message: JointState) -> None:
        seen = self.arm.judgement.jump
        stamp = message.header.stamp
        sent, speeds = stamp.sec + 1e-9 * stamp.nanosec, np.array(message.velocity[:6])
        self.arm.take_target(np.array(message.position[:6]), sent, speeds if len(speeds) == 6 else None)
        if self.arm.judgement.jump > seen:
            self.get_logger().error(f"the target jumped: {self.arm.judgement.last_jump}")

    def _on_grip(self, message: JointState) -> None:
        self.arm.opening_target = float(np.clip(message.position[0], 0.0, 100.0))

    def _on_float(self, message: Float32) -> None:
        self.arm.opening_target = float(np.clip(message.data, 0.0, 100.0))

    def _on_function_message(self, message: Any) -> None:
        self.arm.function(vendor.function_code(message))

    def _on_function(self, request: Any, response: Any) -> Any:
        success, words = self.arm.function(vendor.function_code(request))
        response.success = success
        if hasattr(response, "message"):
            response.message = words
        return response

    def _on_emergency_stop(self, message: Bool) -> None:
        if message.data:
            self.arm.cut_power(repeats=True)
        else:
            self.arm.return_power()

    def _on_mute(self, message: Bool) -> None:
        self._muted = bool(message.data)


def main(args: list[str] | None = None) -> int:
    """Run the node. Returns 0 when asked to stop, 2 where the configuration cannot be used."""
    return run_node("standin_arm", StandInArmNode, args)


if __name__ == "__main__":
    sys.exit(main())

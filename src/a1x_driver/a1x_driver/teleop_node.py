"""A person as the operator: a gamepad, a SpaceMouse or the keyboard -> ``operator/intervention``.

At a simulated cell the simulator itself tells of success, beside the person's button.

Without a live device nothing is published: the policy then gets no control step and the arm holds, because
nobody could intervene.

Parameters:
    config: path of the run's config.yaml.
"""

from __future__ import annotations

import worldsample_core.node.quiet_imports  # noqa: F401

# isort: split
import sys
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseStamped, Twist, TwistStamped
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Joy

from a1x_driver.keyboard import Keyboard, pending_keys, raw_terminal
from a1x_driver.operator_device import OperatorDevice
from a1x_driver.teleop_config import TeleopConfig
from worldsample_core.command_name import command_name
from worldsample_core.config import ConfigError, from_mapping
from worldsample_core.messages.qos import SENSOR, STATUS
from worldsample_core.node.run_settings import run_settings
from worldsample_core.node.spinning_node import run_node
from worldsample_core.node.steady_time import steady_timer
from worldsample_msgs.msg import Intervention, SimState


class TeleopNode(Node):
    """All callbacks run in one thread."""

    def __init__(self, **options: Any) -> None:
        """``options`` are those of :class:`rclpy.node.Node`.

        Raises:
            ConfigError: the configuration is unusable.
        """
        super().__init__("operator", **options)
        settings = run_settings(self)
        self._config = config = from_mapping(TeleopConfig, settings.teleop, "teleop")
        self.input = OperatorDevice(config, labels=settings.run.mode == "label")
        self._stamp = PoseStamped().header.stamp
        self._said = ""
        self._keyboard: Keyboard | None = None
        self._solved = self._tell_solved = False
        self._publisher = self.create_publisher(Intervention, "operator/intervention", STATUS)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", QoSProfile(depth=1))
        self.create_subscription(PoseStamped, "a1x/ee_pose", self._on_pose, SENSOR)
        self.create_subscription(Joy, config.joy_topic, self._on_joy, SENSOR)
        if config.stamped:
            self.create_subscription(TwistStamped, config.twist_topic, self._on_stamped, SENSOR)
        else:
            self.create_subscription(Twist, config.twist_topic, self._on_twist, SENSOR)
        if settings.run.sim:
            self.create_subscription(SimState, "sim/state", self._on_state, STATUS)
        self._terminal = raw_terminal()
        self._keys = self._terminal.__enter__() if config.device == "keyboard" else None
        if config.device == "keyboard":
            if self._keys is None:
                raise ConfigError(
                    "teleop.device is keyboard, and this node has no terminal: start it in one of its own, "
                    f"{command_name()} teleop"
                )
            self._keyboard = Keyboard(config)
        steady_timer(self, 1.0 / config.rate, self._publish)
        steady_timer(self, 1.0, self._diagnose)

    def _on_pose(self, message: PoseStamped) -> None:
        self._stamp = message.header.stamp

    def _on_state(self, message: SimState) -> None:
        self._tell_solved = self._tell_solved or (bool(message.success) and not self._solved)
        self._solved = bool(message.success)

    def _on_joy(self, message: Joy) -> None:
        self.input.take_joy(message.axes, message.buttons, time.monotonic())

    def _on_twist(self, message: Twist) -> None:
        line, turn = message.linear, message.angular
        self.input.take_twist(
            (line.x, line.y, line.z), (turn.x, turn.y, turn.z), time.monotonic()
        )  # fmt: skip

    def _on_stamped(self, message: TwistStamped) -> None:
        self._on_twist(message.twist)

    def _publish(self) -> None:
        now = time.monotonic()
        if self._keyboard is not None and self._keys is not None:
            self._keyboard.take(pending_keys(self._keys), now)
            self.input.take_joy(*self._keyboard.joy(now), now)
        self._say(self.input.gone(now) or self.input.dead(now))
        if self.input.gone(now):
            return
        wish = self.input.wish(now)
        message = Intervention(active=wish.active, action=wish.action)
        message.header.stamp, message.header.frame_id = self._stamp, "base_link"
        message.success, message.failure = wish.success or self._tell_solved, wish.failure
        self._tell_solved = False  # once: told again, it would end the next episode, too
        message.abort = wish.abort or wish.reset
        self._publisher.publish(message)

    def _say(self, problem: str) -> None:
        kind = problem.split(" for ")[0]
        if kind == self._said:
            return
        self._said = kind
        if problem:
            self.get_logger().error(f"{problem} (while it is gone the arm holds)")
        else:
            self.get_logger().info("the operator's device is there")

    def _diagnose(self) -> None:
        now = time.monotonic()
        problem = self.input.gone(now) or self.input.dead(now)
        level = DiagnosticStatus.ERROR if problem else DiagnosticStatus.OK
        status = DiagnosticStatus(
            level=level, name=f"{self.get_name()}: {self._config.device}", message=problem or "ok"
        )
        array = DiagnosticArray(status=[status])
        array.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(array)

    def destroy_node(self) -> None:
        """Also gives the terminal back."""
        if self._keys is not None:
            self._terminal.__exit__(None, None, None)
        super().destroy_node()


def main(args: list[str] | None = None) -> int:
    """Run the node. Returns 0 when asked to stop, 2 where the configuration cannot be used."""
    return run_node("operator", TeleopNode, args)


if __name__ == "__main__":
    sys.exit(main())

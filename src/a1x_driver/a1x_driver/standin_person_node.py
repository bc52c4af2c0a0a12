"""A stand-in of a person with a gamepad: shows a motion, intervenes now and then, presses success.

Parameters:
    config: path of the run's config.yaml.
    zeros: the device sends only zeros. gone_after: s after which it is silent (0: never).
"""

from __future__ import annotations

import worldsample_core.node.quiet_imports  # noqa: F401

# isort: split
import sys
import time
from typing import Any

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import Joy

from a1x_driver.teleop_config import TeleopConfig
from worldsample_core.config import from_mapping
from worldsample_core.messages.qos import SENSOR, STATUS
from worldsample_core.node.fixed_parameter import fixed_parameter
from worldsample_core.node.run_settings import run_settings
from worldsample_core.node.spinning_node import run_node
from worldsample_core.node.steady_time import steady_timer
from worldsample_msgs.msg import PolicyStatus

RATE = 50.0
TREMBLE = 0.02
"""Deflection, 0 .. 1, by which a hand on a stick is never still."""


class StandInPersonNode(Node):
    """A stand-in of a person with a gamepad.

    It drives a demonstration from the start, and training for one second out of four. After some 4 s of an
    episode it presses success. While it records labels, it holds success for the last second or so, then
    keeps the episode.
    """

    def __init__(self, **options: Any) -> None:
        """``options`` are those of :class:`rclpy.node.Node`.

        Raises:
            ConfigError: the configuration is unusable.
        """
        super().__init__("standin_person", **options)
        settings = run_settings(self)
        self._config = from_mapping(TeleopConfig, settings.teleop, "teleop")
        self._zeros = fixed_parameter(self, "zeros", False, "The gamepad sends zeros.")
        self._gone_after = fixed_parameter(
            self, "gone_after", 0.0, "Time until the gamepad falls silent, s; 0: never."
        )
        self._publisher = self.create_publisher(Joy, self._config.joy_topic, SENSOR)
        self.create_subscription(PolicyStatus, "policy/status", self._on_policy, STATUS)
        self._phase = PolicyStatus.STARTING
        self._episode = (-1, -1)
        self._rng = np.random.default_rng(settings.run.seed)
        self._direction = np.zeros(6)
        self._turned = self._began = self._episode_began = time.monotonic()
        steady_timer(self, 1.0 / RATE, self._tick)

    def _on_policy(self, message: PolicyStatus) -> None:
        self._phase = message.phase
        episode = (int(message.phase), int(message.episode))
        if episode != self._episode:
            self._episode, self._episode_began = episode, time.monotonic()

    def _tick(self) -> None:
        now = time.monotonic()
        if self._gone_after and now - self._began > self._gone_after:
            return
        if now - self._turned > 0.5:
            self._turned, self._direction = now, self._rng.uniform(-1, 1, 6)
        running = now - self._episode_began
        drives = self._phase in (PolicyStatus.DEMO, PolicyStatus.LABEL) or (
            self._phase == PolicyStatus.TRAIN and 2.0 < running % 4.0 < 3.0
        )
        config = self._config
        size = max(*config.axes, 5) + 1
        trembles = self._rng.uniform(-TREMBLE, TREMBLE, size) if not self._zeros else np.zeros(size)
        joy = Joy(axes=trembles.tolist(), buttons=[0] * 12)
        if drives:
            joy.buttons[config.buttons.hold] = 1
            for axis, value in zip(config.axes, self._direction, strict=True):
                if axis >= 0 and not self._zeros:
                    joy.axes[axis] += float(value)
        if self._phase in (PolicyStatus.DEMO, PolicyStatus.TRAIN) and running % 4.0 > 3.8:
            joy.buttons[config.buttons.success] = 1
        if self._phase == PolicyStatus.LABEL:
            joy.buttons[config.buttons.success] = int(running % 4.0 > 2.4)
            joy.buttons[config.buttons.failure] = int(running % 4.0 > 3.8)
        self._publisher.publish(joy)


def main(args: list[str] | None = None) -> int:
    """Run the node. Returns 0 when asked to stop, 2 where the configuration cannot be used."""
    return run_node("standin_person", StandInPersonNode, args)


if __name__ == "__main__":
    sys.exit(main())

"""The scripted operator as a ROS node: the same topic as a SpaceMouse, keyboard or gamepad operator."""

from __future__ import annotations

import worldsample_core.node.quiet_imports  # noqa: F401

# isort: split
import sys

import numpy as np
from rclpy.node import Node

from a1x_sim.operator_turns import OperatorTurns
from worldsample_core.messages.conversions import stamp_ns
from worldsample_core.messages.qos import STATUS
from worldsample_core.node.run_settings import run_settings
from worldsample_core.node.spinning_node import run_node
from worldsample_msgs.msg import Intervention, SimState


class OperatorNode(Node):
    """Answers every tick of the simulator with one Intervention of the same stamp."""

    def __init__(self) -> None:
        """Raises :class:`ConfigError` where the configuration is unusable."""
        super().__init__("operator")
        self._turns = OperatorTurns(run_settings(self))
        self._answered = -1
        self._answer = Intervention()
        self._publisher = self.create_publisher(Intervention, "operator/intervention", STATUS)
        self.create_subscription(SimState, "sim/state", self._on_state, STATUS)

    def _on_state(self, message: SimState) -> None:
        if stamp_ns(message.header.stamp) != self._answered:  # a repeated tick gets the same answer again
            self._answered = stamp_ns(message.header.stamp)
            self._answer = self._respond(message)
        self._publisher.publish(self._answer)

    def _respond(self, message: SimState) -> Intervention:
        answer = Intervention()
        answer.header = message.header
        state = dict(zip(message.names, message.values, strict=True))
        state["success"] = float(message.success)
        signal = self._turns.answer(state)
        if signal is None:
            return answer
        answer.active, answer.action = signal.active, np.asarray(signal.action, np.float32)
        answer.success, answer.failure, answer.abort = signal.success, signal.failure, signal.abort
        return answer


def main(args: list[str] | None = None) -> int:
    """Run the node. Returns 0 when asked to stop, 2 where the configuration cannot be used."""
    return run_node("operator", OperatorNode, args)


if __name__ == "__main__":
    sys.exit(main())

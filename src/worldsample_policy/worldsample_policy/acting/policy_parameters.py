"""The ROS parameters of the policy node; all are read once, at its start."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from rclpy.node import Node

from worldsample_core.node.fixed_parameter import fixed_parameter


@dataclass(frozen=True)
class PolicyParameters:
    """Times in s.

    Attributes:
        durable: each step is flushed to the disk (for a robot computer that may lose power).
        discovery_wait: time to look for another run on the ROS domain, at the start and again once the arm is
            found.
        start_timeout: time until the first observation must be there.
        sensor_timeout: time without an observation, later on, that ends the run.
        learner_patience: time without a sign of progress of the learner after which it is not waited for.
        evaluator: command of the process that evaluates beside training; empty: evaluations run in the cell.
        linger: time that the node stays after the run, so that everybody hears of its end.
    """

    durable: bool
    discovery_wait: float
    start_timeout: float
    sensor_timeout: float
    learner_patience: float
    evaluator: list[str]
    linger: float

    @classmethod
    def declared(cls, node: Node) -> PolicyParameters:
        """Declare the parameters on ``node``, and read them."""
        evaluator = fixed_parameter(node, "evaluator", "", "Command of the evaluating process; empty: none.")
        return cls(
            fixed_parameter(node, "durable", False, "Flush each step to the disk: power may fail."),
            fixed_parameter(node, "discovery_wait", 1.0, "Time to find a second policy, s."),
            fixed_parameter(node, "start_timeout", 60.0, "Time for the cell to answer at first, s."),
            fixed_parameter(node, "sensor_timeout", 10.0, "Silence that ends the run, s."),
            fixed_parameter(node, "learner_patience", 60.0, "Time that a silent learner is waited for, s."),
            shlex.split(evaluator),
            fixed_parameter(node, "linger", 5.0, "Time for which the end is still told, s."),
        )

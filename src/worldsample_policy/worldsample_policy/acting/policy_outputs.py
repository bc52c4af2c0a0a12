"""Requests of the policy's loop as messages and calls of services."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.node import Node

from worldsample_core.messages.conversions import summary_to_message
from worldsample_core.messages.qos import EPISODES, TRANSITIONS
from worldsample_core.transition import EpisodeSummary
from worldsample_msgs.msg import EpisodeSummary as EpisodeSummaryMsg
from worldsample_msgs.msg import Transition
from worldsample_msgs.srv import Reset
from worldsample_policy.acting.acting_weights import ActingWeights
from worldsample_policy.acting.cell_calls import CellCalls


class PolicyOutputs:
    """The :class:`worldsample_policy.acting.policy_loop.Outputs` of a node. No call waits.

    Args:
        node: the publishers are its own.
        run: name of the run.
        calls: to the arm and to the learner.
        acting: the weights that act.
        before_reset: called before the cell is asked to reset: no command may follow.
        no_learner: called where nobody is there to write a checkpoint.
    """

    def __init__(
        self,
        node: Node,
        run: str,
        calls: CellCalls,
        acting: ActingWeights,
        before_reset: Callable[[], None],
        no_learner: Callable[[], None],
    ) -> None:
        self._node, self._run, self._calls, self._acting = node, run, calls, acting
        self._before_reset, self._no_learner = before_reset, no_learner
        self._transitions = node.create_publisher(Transition, "transitions", TRANSITIONS)
        self._episodes = node.create_publisher(EpisodeSummaryMsg, "episodes", EPISODES)

    def request_reset(self, seed: int, mode: str, episode: int) -> None:
        """Have the cell reset."""
        self._before_reset()
        self._calls.reset(Reset.Request(seed=seed, mode=mode, episode=episode, run=self._run))

    def request_checkpoint(self) -> None:
        """Have the learner write a checkpoint."""
        if not self._calls.checkpoint():
            self._no_learner()

    def publish_transition(self, record: bytes) -> None:
        """Send a finished step."""
        self._transitions.publish(record)

    def publish_summary(self, summary: EpisodeSummary) -> None:
        """Send the summary of an episode."""
        self._episodes.publish(summary_to_message(summary, self._node.get_clock().now().to_msg()))

    def begin_episode(self, seed: int, deterministic: bool) -> None:
        """Restart the exploration noise."""
        self._acting.seed(seed)

    def load_due_weights(self, real_steps: int) -> None:
        """Take the weights that are due."""
        self._acting.load_due(real_steps)

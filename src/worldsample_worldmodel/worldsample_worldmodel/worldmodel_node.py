"""The world model node: takes the run's transitions, trains, and publishes imagined segments for the learner.

However it starts (fresh, started again after a crash, with a resumed run) it loads the newest good checkpoint
of the run folder, fetches all transitions from the policy's disk and goes on. Nobody's work depends on it: a
dead world model costs synthetic data.

Parameters:
    config, threads: see :class:`worldsample_core.node.worker_node.WorkerNode`. Without ``threads`` and
        ``OMP_NUM_THREADS`` torch gets one thread.
    index, count: of the world models that share the generation. The node's name is its name as publisher.
"""

from __future__ import annotations

import worldsample_core.node.quiet_imports  # noqa: F401

# isort: split
import sys
from typing import Any

import torch

from worldsample_core.config import ConfigError
from worldsample_core.messages.conversions import synthetic_to_message
from worldsample_core.messages.qos import LATCHED_HISTORY, STATUS, SYNTHETIC
from worldsample_core.node.fixed_parameter import fixed_parameter
from worldsample_core.node.own_loop import run_own_loop
from worldsample_core.node.transition_worker import TransitionWorker
from worldsample_core.node.worker_node import Stopped
from worldsample_core.synthetic import SyntheticSegment
from worldsample_msgs.msg import PacingStatus, SyntheticBatch, Weights, WorldModelStatus
from worldsample_msgs.srv import Imagine
from worldsample_worldmodel.running.imagine_answer import answer_imagine
from worldsample_worldmodel.running.make_worldmodel_loop import make_worldmodel_loop
from worldsample_worldmodel.running.worldmodel_status import worldmodel_status

STATUS_INTERVAL = 0.05
"""s between two statuses, where no episode's work was completed meanwhile."""
TAKEN = (
    "accepted",
    "rejected_uncertainty",
    "rejected_bounds",
    "rejected_label",
    "rejected_stale",
    "rejected_malformed",
)
"""Counters of a PacingStatus which, together, are the segments that the learner has looked at."""


class WorldModelNode(TransitionWorker):
    """Trains and imagines in the main thread; ROS has a thread of its own."""

    def __init__(self) -> None:
        """Raises :class:`ConfigError`."""
        super().__init__("worldmodel")
        if threads := self.chosen_threads(1):
            torch.set_num_threads(threads)
        index = fixed_parameter(self, "index", 0, "Number of this world model, from 0.")
        count = fixed_parameter(self, "count", 1, "World models in the graph.")
        if not 0 <= index < count:
            raise ConfigError(f"the parameter index must be in [0, count), got {index} of {count}")
        self._segments = self.create_publisher(SyntheticBatch, "synthetic", SYNTHETIC)
        self.loop = make_worldmodel_loop(self.settings, self, self.get_name(), index, count)
        self.begin(self.loop, self.create_publisher(WorldModelStatus, "worldmodel/status", STATUS))
        self.topics.create_subscription(Weights, "weights/policy", self.hear, LATCHED_HISTORY)
        self.topics.create_subscription(PacingStatus, "learner/pacing", self.hear, STATUS)
        if count > 1:  # the learner's count is of all of them
            self.topics.create_subscription(WorldModelStatus, "worldmodel/status", self._on_other, STATUS)
        self.create_service(Imagine, "~/imagine", self._on_imagine)

    # --- ROS thread ---

    def _on_other(self, message: WorldModelStatus) -> None:
        if message.publisher != self.loop.publisher:
            self.hear(message)

    def _on_imagine(self, request: Imagine.Request, response: Imagine.Response) -> Imagine.Response:
        stamp = self.get_clock().now().to_msg()
        if self.answered_by_main(lambda: answer_imagine(self.loop, request, response, stamp)) is None:
            response.message = "the world model is stopping"
        return response

    # --- main thread ---

    def restore(self) -> None:
        """Load the newest good checkpoint, where there is one."""
        if self.loop.restore():
            version, steps = self.loop.adaptation.version, self.loop.completed_steps
            self.get_logger().info(f"going on with version {version}, after {steps} real steps")

    def work(self) -> bool:
        """Do one piece of the loop's work."""
        return self.loop.work()

    def idle(self) -> None:
        """Tell at once what has been completed."""
        self._publish_if_changed(0.0)

    def take(self, message: Any) -> None:
        """Take one message."""
        super().take(message)
        loop = self.loop
        if isinstance(message, PacingStatus):
            loop.backpressure.learner_took(sum(int(getattr(message, name)) for name in TAKEN))
        elif isinstance(message, WorldModelStatus):
            loop.backpressure.others_sent(str(message.publisher), int(message.segments))
        elif isinstance(message, Weights):
            self.reception.take("weights", lambda: self._take_weights(message))

    def _take_weights(self, message: Weights) -> bool:
        """Raises :class:`InvalidWeights`, :class:`InvalidObservation`."""
        if self.loop.policy is not None:
            self.loop.policy.receive(self.bounds.weights(message))
        return True

    # --- what the loop asks for ---

    def publish_segment(self, segment: SyntheticSegment) -> None:
        """Send an imagined segment to the learner."""
        self._segments.publish(synthetic_to_message(segment, self.get_clock().now().to_msg()))

    def progressed(self) -> None:
        """Look outside during long work. Raises :class:`Stopped` where the node was asked to stop."""
        if self.stop_requested:
            raise Stopped
        self.look_outside()
        self._publish_if_changed(STATUS_INTERVAL)

    def _publish_if_changed(self, interval: float) -> None:
        """The learner waits for completed steps: they are told at once."""
        if self.news or (interval and self.status_age >= interval):
            self.publish_status()

    def status_message(self) -> WorldModelStatus:
        """The world model's status."""
        return worldmodel_status(self.loop, self.reception.words(), str(self.failure or ""))


def main(args: list[str] | None = None) -> int:
    """Run the node. Returns 0 when stopped, 2 where it cannot start like this; a crash is anything else."""
    return run_own_loop("worldmodel", WorldModelNode, args)


if __name__ == "__main__":
    sys.exit(main())

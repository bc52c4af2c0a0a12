"""The learner node: takes the run's transitions, trains, sends weights to the policy, keeps checkpoints.

However it starts (fresh, started again after a crash, with a resumed run) it loads the newest good checkpoint
of the run folder, fetches all transitions from the policy's disk and goes on: each transition is in its
replay exactly once. It also takes what world models imagine and keeps step with them; it needs none of them.

Parameters: see :class:`worldsample_core.node.worker_node.WorkerNode`. Without ``threads`` and
``OMP_NUM_THREADS`` torch gets one thread less than the machine has.
"""

from __future__ import annotations

import worldsample_core.node.quiet_imports  # noqa: F401

# isort: split
import os
import sys
import threading
import time
from typing import Any

import torch

from worldsample_core.episodes.journal import explain
from worldsample_core.messages.conversions import weights_to_message
from worldsample_core.messages.qos import LATCHED, STATUS, SYNTHETIC
from worldsample_core.messages.weights import PackedWeights
from worldsample_core.node.own_loop import run_own_loop
from worldsample_core.node.transition_worker import TransitionWorker
from worldsample_core.node.worker_node import Stopped
from worldsample_msgs.msg import (
    LearnerStatus,
    PacingStatus,
    PolicyStatus,
    SyntheticBatch,
    Weights,
    WorldModelStatus,
)
from worldsample_msgs.srv import Checkpoint
from worldsample_policy.learning.learner_status import learner_status, pacing_status
from worldsample_policy.learning.make_learner_loop import make_learner_loop
from worldsample_policy.learning.segment_inbox import SegmentInbox
from worldsample_policy.learning.world_model_following import WorldModelReport
from worldsample_policy.pacing.policy_paced_learning import PacingReport

PACING_INTERVAL = 0.2
"""s between two statuses of the pacing, where it changes."""


class LearnerNode(TransitionWorker):
    """Learns in the main thread; messages come in, statuses and services go out in ROS's thread."""

    def __init__(self) -> None:
        """Raises :class:`ConfigError`, :class:`CheckpointError`."""
        super().__init__("learner")
        if threads := self.chosen_threads(max(1, (os.cpu_count() or 2) - 1)):
            torch.set_num_threads(threads)
        self.policy_done = False
        self._pacing_at = 0.0
        self._pacing_told: PacingReport | None = None
        self._pacing_lock = threading.Lock()

        self._weights = self.create_publisher(Weights, "weights/policy", LATCHED)
        self._pacings = self.create_publisher(PacingStatus, "learner/pacing", STATUS)
        self.loop = make_learner_loop(self.settings, self)
        self._segments = SegmentInbox(self.reception, self.bounds)
        self.begin(self.loop, self.create_publisher(LearnerStatus, "learner/status", STATUS))
        if self.loop.following is not None:
            self.topics.create_subscription(SyntheticBatch, "synthetic", self._on_segment, SYNTHETIC)
            self.topics.create_subscription(WorldModelStatus, "worldmodel/status", self.hear, STATUS)
        self.create_service(Checkpoint, "learner/checkpoint", self._on_checkpoint)

    # --- ROS thread ---

    def _on_segment(self, message: SyntheticBatch) -> None:
        if self._segments.put(message):
            self.inbox.put(self._take_segments)

    def on_second(self) -> None:
        """Publish the learner's status and the pacing's."""
        super().on_second()
        self._publish_pacing()

    def _on_checkpoint(
        self, request: Checkpoint.Request, response: Checkpoint.Response
    ) -> Checkpoint.Response:
        if self.answered_by_main(lambda: self._checkpoint(response)) is None:
            response.message = "the learner is stopping"
        return response

    # --- main thread ---

    def restore(self) -> None:
        """Load the newest good checkpoint, where there is one."""
        path = self.loop.restore()
        if path is not None:
            self.get_logger().info(f"going on from {path}: {self.loop.learner.updates} updates")

    def work(self) -> bool:
        """Do one piece of the loop's work; finish once the policy is done and nothing is owed."""
        if self.policy_done and self.loop.state != "done" and self.loop.caught_up():
            self.close()
            self.loop.state, self.loop.detail = "done", ""
            self.publish_status()
        return self.loop.work()

    def idle(self) -> None:
        """Tell at once what has been completed."""
        self.progressed(idle=True)

    def take(self, message: Any) -> None:
        """Take one message."""
        super().take(message)
        if isinstance(message, PolicyStatus):
            self.policy_done = message.phase == PolicyStatus.DONE
        elif isinstance(message, WorldModelStatus) and self.loop.following is not None:
            report = WorldModelReport(
                publisher=str(message.publisher),
                completed_steps=int(message.completed_steps),
                segments=int(message.segments),
                gate_open=bool(message.gate_open),
                failed=message.state == WorldModelStatus.FAILED,
                detail=str(message.detail),
                progress=int(message.train_updates),
            )
            self.loop.following.heard(report, self.loop.awake())

    def _take_segments(self) -> None:
        for segment in self._segments.take_all():
            self.loop.offer_synthetic(segment)

    def _checkpoint(self, response: Checkpoint.Response) -> Checkpoint.Response:
        """Also publishes the weights: what is evaluated is what the checkpoint holds."""
        try:
            response.path = str(self.loop.checkpoint())
            self.loop.publish(dated=False)
            response.updates = self.loop.learner.updates
            response.success = True
        except OSError as error:
            response.message = str(explain(error, self.settings.run.path / "checkpoints"))
            self.warn(response.message)
        return response

    # --- what the loop asks for ---

    def publish_weights(self, packed: PackedWeights) -> None:
        """Send weights to the policy and to the world models."""
        self._weights.publish(weights_to_message(packed, self.get_clock().now().to_msg()))

    def progressed(self, idle: bool = False) -> None:
        """Publish the status where something has changed, or long work goes on. Raises :class:`Stopped`."""
        if self.stop_requested and self.loop.state == "adapting":
            raise Stopped
        wait = 0.0 if idle and self.news else 0.01 if self.news else 0.05
        if (self.news or not idle) and self.status_age >= wait:
            self.publish_status()
        if time.monotonic() - self._pacing_at >= PACING_INTERVAL:
            self._publish_pacing(if_changed=True)

    def _publish_pacing(self, if_changed: bool = False) -> None:
        """From either thread."""
        report = self.loop.learner.pacing_status()
        if report is None:
            return
        with self._pacing_lock:
            self._pacing_at = time.monotonic()
            if if_changed and report == self._pacing_told:
                return
            self._pacing_told = report
            message = pacing_status(report, self._segments.malformed)
            self.stamp(message)
            self._pacings.publish(message)

    def status_message(self) -> LearnerStatus:
        """The learner's status."""
        return learner_status(self.loop, self.reception, str(self.failure or ""))


def main(args: list[str] | None = None) -> int:
    """Run the node. Returns 0 when stopped, 2 where it cannot start like this; a crash is anything else."""
    return run_own_loop("learner", LearnerNode, args)


if __name__ == "__main__":
    sys.exit(main())

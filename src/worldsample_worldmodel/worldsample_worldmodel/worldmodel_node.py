"""The world model node: takes the run's transitions, trains, and publishes imagined segments for the learner.

However it starts (fresh, started again after a crash, with a resumed run) it loads the newest good checkpoint
of the run folder, fetches all transitions from the policy's disk and goes on. Nobody's work depends on it: a
dead world model costs synthetic data.

Training runs in the main thread; ROS has a thread of its own.

Parameters:
    config: path of the run's config.yaml.
    index, count: of the world models that share the generation. The node's name is its name as publisher.
    threads: of torch (0: as OMP_NUM_THREADS says, else one).
"""

from __future__ import annotations

import contextlib
import math
import os
import queue
import sys
import threading
import time
from pathlib import Path
from typing import Any

import rclpy
import torch
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from worldsample_core.arm.command_law import max_lead
from worldsample_core.config import ConfigError, from_mapping
from worldsample_core.episodes.transition_fetch import TransitionFetch
from worldsample_core.imagined_policy import ImaginedPolicy, make_imagined_policy
from worldsample_core.messages.conversions import (
    synthetic_to_message,
    transition_from_message,
    weights_from_message,
)
from worldsample_core.messages.qos import LATCHED_HISTORY, STATUS, SYNTHETIC, TRANSITIONS
from worldsample_core.messages.weights import InvalidWeights
from worldsample_core.node.exit_codes import DONE
from worldsample_core.node.stopping import StopSignals, failure_of, say_last
from worldsample_core.observation import InvalidObservation
from worldsample_core.settings import Settings, load_settings
from worldsample_core.synthetic import SyntheticSegment
from worldsample_msgs.msg import (
    PacingStatus,
    PolicyStatus,
    SyntheticBatch,
    Transition,
    Weights,
    WorldModelStatus,
)
from worldsample_msgs.srv import FetchTransitions, Imagine
from worldsample_worldmodel.reward.recorded_labels import recorded_labels
from worldsample_worldmodel.running.imagined_twin import NothingToImagine, imagined_twin
from worldsample_worldmodel.running.world_model_checkpoints import CheckpointFolder
from worldsample_worldmodel.running.worldmodel_loop import WorldModelLoop
from worldsample_worldmodel.training.adaptation import Adaptation
from worldsample_worldmodel.worldmodel_config import WorldModelNodeConfig

STATES = {
    "waiting": WorldModelStatus.WAITING,
    "adapting": WorldModelStatus.ADAPTING,
    "generating": WorldModelStatus.GENERATING,
    "failed": WorldModelStatus.FAILED,
}
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


class Stopped(Exception):
    """Asked to stop in the middle of a long piece of work."""


class WorldModelNode(Node):
    """ROS side, in its own thread: messages in (through a queue), statuses and services out."""

    def __init__(self) -> None:
        """Raises :class:`ConfigError`."""
        super().__init__("worldmodel")
        path = str(self.declare_parameter("config", "").value)
        if not path:
            raise ConfigError("the parameter `config` (path of the run's config.yaml) is missing")
        self.settings: Settings = load_settings(path)
        run, task = self.settings.run, self.settings.task
        threads = int(self.declare_parameter("threads", 0).value)
        if threads or "OMP_NUM_THREADS" not in os.environ:
            torch.set_num_threads(threads or 1)
        index = int(self.declare_parameter("index", 0).value)
        count = int(self.declare_parameter("count", 1).value)
        if not 0 <= index < count:
            raise ConfigError(f"the parameter index must be in [0, count), got {index} of {count}")
        if not run.lockstep and os.nice(0) == 0:
            os.nice(10)  # acting comes first
        config = from_mapping(WorldModelNodeConfig, self.settings.worldmodel, "worldmodel")
        if config.model.image_size != run.image_size:
            raise ConfigError(
                f"worldmodel.model.image_size is {config.model.image_size}, run.image_size {run.image_size}: "
                "make them equal"
            )
        self.messages: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.stopping = False
        self._signals: StopSignals | None = None
        self._run = run.name
        self._status_at, self._status_steps = 0.0, -1
        self._status_lock = threading.Lock()
        self._malformed = 0

        self._segments = self.create_publisher(SyntheticBatch, "synthetic", SYNTHETIC)
        self._statuses = self.create_publisher(WorldModelStatus, "worldmodel/status", STATUS)
        adaptation = Adaptation(
            task,
            config.model,
            config.reward,
            config.gate,
            config.imagination,
            config.counterfactual,
            config.memory_steps,
            max_lead(run.sim, self.settings.driver),
        )
        if run.classifier_from:
            adaptation.recorded = recorded_labels(Path(run.classifier_from), self.settings, config.reward)
        publisher = self.get_name()
        folder = CheckpointFolder(run.path, publisher)
        self.policy: ImaginedPolicy | None = None
        if config.policy and config.policy_share:
            self.policy = make_imagined_policy(config.policy, self.settings)
        self.loop = WorldModelLoop(
            adaptation, config, run, folder, self, publisher, index, count, self.policy
        )
        self._fetch = TransitionFetch(self, self._run, self.loop.intake, self.messages.put, self.warn)
        self.create_subscription(Transition, "transitions", self._on_message, TRANSITIONS)
        self.create_subscription(PolicyStatus, "policy/status", self._on_message, STATUS)
        self.create_subscription(Weights, "weights/policy", self._on_message, LATCHED_HISTORY)
        self.create_subscription(PacingStatus, "learner/pacing", self._on_message, STATUS)
        if count > 1:  # the learner's count is of all of them
            self.create_subscription(WorldModelStatus, "worldmodel/status", self._on_other, STATUS)
        self.create_service(Imagine, "~/imagine", self._on_imagine)
        self.create_timer(1.0, self.publish_status)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self)
        self._thread = threading.Thread(target=self._spin, name="ros", daemon=True)

    # --- ROS thread ---

    def _spin(self) -> None:
        while not self.stopping:
            self._executor.spin_once(timeout_sec=0.2)

    def _on_message(self, message: Any) -> None:
        if message.run == self._run:
            self.messages.put(message)

    def _on_other(self, message: WorldModelStatus) -> None:
        if message.publisher != self.loop.publisher:
            self._on_message(message)

    def _on_imagine(self, request: Imagine.Request, response: Imagine.Response) -> Imagine.Response:
        """Done by the main thread between two pieces of work."""
        answer: queue.SimpleQueue[Imagine.Response] = queue.SimpleQueue()
        self.messages.put((request, response, answer))
        while not self.stopping:
            try:
                return answer.get(timeout=0.2)
            except queue.Empty:
                continue
        response.message = "the world model is stopping"
        return response

    # --- main thread ---

    def run(self, signals: StopSignals) -> int:
        """Train and imagine until asked to stop. Returns the exit code."""
        self._signals = signals
        self._thread.start()
        try:
            if self.loop.restore():
                version, steps = self.loop.adaptation.version, self.loop.completed_steps
                self.get_logger().info(f"going on with version {version}, after {steps} real steps")
            while not signals.requested:
                self._look_outside()
                if not self.loop.work():
                    self._publish_if_changed(0.0)
                    self._wait()
        except Stopped:
            pass
        finally:
            self.stopping = True
            self._thread.join(timeout=2.0)
            self._executor.shutdown(timeout_sec=1.0)
        if self.loop.checkpoint_due():
            self.loop.checkpoint()
        return DONE

    def _look_outside(self) -> None:
        while True:
            try:
                self._take(self.messages.get_nowait())
            except queue.Empty:
                break
        self._fetch.ask()

    def _wait(self) -> None:
        """Until a message arrives, a tenth of a second at most."""
        with contextlib.suppress(queue.Empty):
            self._take(self.messages.get(timeout=0.1))

    def _take(self, message: Any) -> None:
        loop = self.loop
        if isinstance(message, Transition):
            try:
                loop.intake.offer(transition_from_message(message))
            except InvalidObservation as problem:
                self._malformed += 1
                self.warn(f"transition {message.seq} is malformed: {problem}")
        elif isinstance(message, PolicyStatus):
            loop.intake.heard_of(int(message.next_seq))
            loop.policy_trains = message.phase in (PolicyStatus.TRAIN, PolicyStatus.EVAL)
        elif isinstance(message, PacingStatus):
            loop.backpressure.learner_took(sum(int(getattr(message, name)) for name in TAKEN))
        elif isinstance(message, WorldModelStatus):
            loop.backpressure.others_sent(str(message.publisher), int(message.segments))
        elif isinstance(message, Weights):
            try:
                if self.policy is not None:
                    self.policy.receive(weights_from_message(message))
            except InvalidWeights as problem:
                self.warn(f"weights for the imagination are refused: {problem}")
        elif isinstance(message, FetchTransitions.Response):
            self._fetch.take(message)
        else:
            request, response, answer = message
            answer.put(self._imagine(request, response))
        loop.malformed = self._malformed + self._fetch.malformed

    def _imagine(self, request: Imagine.Request, response: Imagine.Response) -> Imagine.Response:
        try:
            twin = imagined_twin(
                self.loop.adaptation,
                int(request.episode),
                int(request.start_step),
                int(request.length),
                bool(request.counterfactual),
                int(request.seed),
            )
            stamp = self.get_clock().now().to_msg()
            response.real = synthetic_to_message(twin.real, stamp)
            response.imagined = synthetic_to_message(twin.imagined, stamp)
        except (NothingToImagine, InvalidObservation) as problem:
            response.message = str(problem)
            return response
        for part in (response.real, response.imagined):
            part.run, part.publisher = self._run, self.loop.publisher
        response.psnr_side, response.psnr_wrist = (twin.psnr[:, view].tolist() for view in (0, 1))
        response.world_model_version = self.loop.adaptation.version
        response.success = True
        return response

    # --- what the loop asks for ---

    def publish_segment(self, segment: SyntheticSegment) -> None:
        self._segments.publish(synthetic_to_message(segment, self.get_clock().now().to_msg()))

    def progressed(self) -> None:
        if self._signals is not None and self._signals.requested:
            raise Stopped
        self._look_outside()
        self._publish_if_changed(STATUS_INTERVAL)

    def warn(self, message: str) -> None:
        self.get_logger().warning(message)

    def _publish_if_changed(self, interval: float) -> None:
        """The learner waits for completed steps: they are told at once."""
        waited = time.monotonic() - self._status_at
        if self.loop.completed_steps != self._status_steps or (interval and waited >= interval):
            self.publish_status()

    def publish_status(self) -> None:
        """From either thread."""
        loop, adaptation = self.loop, self.loop.adaptation
        with self._status_lock:
            message = WorldModelStatus()
            message.header.stamp = self.get_clock().now().to_msg()
            message.run, message.publisher = self._run, loop.publisher
            message.state, message.detail = STATES[loop.state], loop.description()
            message.version, message.train_updates = adaptation.version, adaptation.trainer.updates
            message.episodes = adaptation.memory.added
            message.segments, message.transitions = loop.published.segments, loop.published.transitions
            message.completed_steps, message.rejected = loop.completed_steps, loop.rejected
            message.transitions_per_second = loop.transitions_per_second()
            message.gate_open, message.horizon = loop.gate_open, adaptation.config.horizon
            if (evaluation := adaptation.evaluation) is not None:
                message.psnr, message.ssim = evaluation.model.psnr, evaluation.model.ssim
                message.psnr_copy_last = evaluation.copy.psnr
                message.psnr_moving = finite(evaluation.model.psnr_moving)
                message.psnr_moving_copy_last = finite(evaluation.copy.psnr_moving)
                message.uncertainty = finite(evaluation.uncertainty)
            self._status_at, self._status_steps = time.monotonic(), int(message.completed_steps)
            self._statuses.publish(message)


def finite(value: float) -> float:
    """``value``, 0 where it is not a number (nothing moves)."""
    return value if math.isfinite(value) else 0.0


def main(args: list[str] | None = None) -> int:
    """Run the node. Returns 0 when stopped, 2 where it cannot start like this; a crash is anything else."""
    sys.setswitchinterval(0.001)
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    signals = StopSignals()
    try:
        try:
            node = WorldModelNode()
        except Exception as error:
            failure = failure_of(error)
            say_last("worldmodel", failure)
            return failure.code
        return node.run(signals)
    finally:
        rclpy.try_shutdown()


if __name__ == "__main__":
    sys.exit(main())

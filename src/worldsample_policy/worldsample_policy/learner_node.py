"""The learner node: takes the run's transitions, trains, sends weights to the policy, keeps checkpoints.

However it starts (fresh, started again after a crash, with a resumed run) it loads the newest good checkpoint
of the run folder, fetches all transitions from the policy's disk and goes on: each transition is in its
replay exactly once. What world models imagine it takes, too, and keeps step with them; it needs none of them.

Training runs in the main thread; ROS has a thread of its own.

Parameters:
    config: path of the run's config.yaml.
    threads: of torch (0: as OMP_NUM_THREADS says, else one less than the machine has).
"""

from __future__ import annotations

import contextlib
import errno
import os
import queue
import sys
import threading
import time
from dataclasses import asdict
from typing import Any

import rclpy
import torch
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from worldsample_core.config import ConfigError, from_mapping
from worldsample_core.episodes.journal import StorageError, explain
from worldsample_core.episodes.transition_fetch import TransitionFetch
from worldsample_core.messages.conversions import (
    synthetic_from_message,
    transition_from_message,
    weights_to_message,
)
from worldsample_core.messages.qos import LATCHED, STATUS, SYNTHETIC, TRANSITIONS
from worldsample_core.messages.weights import PackedWeights
from worldsample_core.node.exit_codes import DONE
from worldsample_core.observation import InvalidObservation
from worldsample_core.settings import Settings, load_settings
from worldsample_core.world_model_use import world_model_use
from worldsample_msgs.msg import (
    LearnerStatus,
    PacingStatus,
    PolicyStatus,
    SyntheticBatch,
    Transition,
    Weights,
    WorldModelStatus,
)
from worldsample_msgs.srv import Checkpoint, FetchTransitions
from worldsample_policy.failures import RunFailed, StopSignals, failure_of, say_last
from worldsample_policy.learner_config import LearnerConfig
from worldsample_policy.learning.learner import Learner
from worldsample_policy.learning.learner_checkpoints import CheckpointFolder
from worldsample_policy.learning.learner_loop import LearnerLoop
from worldsample_policy.learning.world_model_following import WorldModelFollowing, WorldModelReport

STATES = {
    "waiting": LearnerStatus.WAITING,
    "adapting": LearnerStatus.ADAPTING,
    "training": LearnerStatus.TRAINING,
    "done": LearnerStatus.DONE,
}

MAX_SEGMENTS = 400
"""Imagined segments that wait for the main thread; what comes beyond is lost, and imagined again later."""
PACING_INTERVAL = 0.2
"""s between two statuses of the pacing, where it changes."""


class Stopped(Exception):
    """Asked to stop in the middle of a long piece of work."""


class LearnerNode(Node):
    """ROS side, in its own thread: messages in (through a queue), statuses and services out."""

    def __init__(self) -> None:
        """Raises :class:`ConfigError`, :class:`CheckpointError`."""
        super().__init__("learner")
        path = str(self.declare_parameter("config", "").value)
        if not path:
            raise ConfigError("the parameter `config` (path of the run's config.yaml) is missing")
        self.settings: Settings = load_settings(path)
        run = self.settings.run
        threads = int(self.declare_parameter("threads", 0).value)
        if threads or "OMP_NUM_THREADS" not in os.environ:
            torch.set_num_threads(threads or max(1, (os.cpu_count() or 2) - 1))
        if not run.lockstep and os.nice(0) == 0:
            os.nice(10)  # acting comes first
        config = from_mapping(LearnerConfig, self.settings.learner, "learner")
        if config.image_size != run.image_size:
            raise ConfigError(
                f"learner.image_size is {config.image_size}, run.image_size {run.image_size}: make them equal"
            )
        self.messages: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.failure: RunFailed | None = None
        self.stopping = False
        self._signals: StopSignals | None = None
        self.policy_done = False
        self._run = run.name
        self._status_at, self._status_steps = 0.0, -1
        self._status_lock = threading.Lock()
        self._malformed = self._bad_segments = self._dropped_segments = 0
        self._segments: queue.Queue[SyntheticBatch] = queue.Queue(MAX_SEGMENTS)
        self._pacing_at = 0.0
        self._pacing_told: Any = None
        use = world_model_use(self.settings.worldmodel)
        following = None
        if use.enabled:
            following = WorldModelFollowing(use, use.effective_lag(self.settings.task.horizon))

        self._weights = self.create_publisher(Weights, "weights/policy", LATCHED)
        self._statuses = self.create_publisher(LearnerStatus, "learner/status", STATUS)
        self._pacings = self.create_publisher(PacingStatus, "learner/pacing", STATUS)
        self.loop = LearnerLoop(
            Learner(config, self.settings.task),
            run,
            CheckpointFolder(run.path, run.keep_checkpoints),
            self,
            following,
        )
        self._fetch = TransitionFetch(self, self._run, self.loop.intake, self.messages.put, self.warn)
        self.create_subscription(Transition, "transitions", self._on_transition, TRANSITIONS)
        self.create_subscription(PolicyStatus, "policy/status", self._on_policy, STATUS)
        if following is not None:
            self.create_subscription(SyntheticBatch, "synthetic", self._on_segment, SYNTHETIC)
            self.create_subscription(WorldModelStatus, "worldmodel/status", self._on_world_model, STATUS)
        self.create_service(Checkpoint, "learner/checkpoint", self._on_checkpoint)
        self.create_timer(1.0, self._on_second)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self)
        self._thread = threading.Thread(target=self._spin, name="ros", daemon=True)

    # --- ROS thread ---

    def _spin(self) -> None:
        while not self.stopping:
            self._executor.spin_once(timeout_sec=0.2)

    def _on_transition(self, message: Transition) -> None:
        if message.run == self._run:
            self.messages.put(message)

    def _on_policy(self, message: PolicyStatus) -> None:
        if message.run == self._run:
            self.messages.put(message)

    def _on_world_model(self, message: WorldModelStatus) -> None:
        if message.run == self._run:
            self.messages.put(message)

    def _on_segment(self, message: SyntheticBatch) -> None:
        if message.run == self._run:
            try:
                self._segments.put_nowait(message)
            except queue.Full:
                self._dropped_segments += 1
                return
            self.messages.put(None)  # for the main thread to look

    def _on_second(self) -> None:
        self.publish_status()
        self._publish_pacing()

    def _on_checkpoint(
        self, request: Checkpoint.Request, response: Checkpoint.Response
    ) -> Checkpoint.Response:
        """Written by the main thread between two pieces of work."""
        answer: queue.SimpleQueue[Checkpoint.Response] = queue.SimpleQueue()
        self.messages.put((answer, response))
        while not self.stopping:
            try:
                return answer.get(timeout=0.2)
            except queue.Empty:
                continue
        response.message = "the learner is stopping"
        return response

    # --- main thread ---

    def run(self, signals: StopSignals) -> int:
        """Learn until asked to stop. Returns the exit code."""
        self._signals = signals
        self._thread.start()
        try:
            path = self.loop.restore()
            if path is not None:
                self.get_logger().info(f"going on from {path}: {self.loop.learner.updates} updates")
            while not signals.requested:
                self._drain()
                self._fetch.ask()
                if self.policy_done and self.loop.state != "done" and self.loop.caught_up():
                    self._finish()
                if not self.loop.work():
                    self.progressed(idle=True)
                    self._wait()
            return self._stop()
        except Stopped:
            return self._stop()
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            return self._fail(failure_of(explain(error, self.settings.run.path)))
        except (ConfigError, StorageError, RuntimeError) as error:
            return self._fail(failure_of(error))
        finally:
            self.stopping = True
            self._thread.join(timeout=2.0)
            self._executor.shutdown(timeout_sec=1.0)

    def _drain(self) -> None:
        while True:
            try:
                self._take(self.messages.get_nowait())
            except queue.Empty:
                return

    def _wait(self) -> None:
        """Until a message arrives, a tenth of a second at most."""
        with contextlib.suppress(queue.Empty):
            self._take(self.messages.get(timeout=0.1))

    def _take(self, message: Any) -> None:
        intake = self.loop.intake
        if isinstance(message, Transition):
            try:
                intake.offer(transition_from_message(message))
            except InvalidObservation as problem:
                self._malformed += 1
                self.warn(f"transition {message.seq} is malformed: {problem}")
        elif isinstance(message, PolicyStatus):
            intake.heard_of(int(message.next_seq))
            self.loop.policy_trains = message.phase in (PolicyStatus.TRAIN, PolicyStatus.EVAL)
            self.policy_done = message.phase == PolicyStatus.DONE
        elif isinstance(message, FetchTransitions.Response):
            self._fetch.take(message)
        elif isinstance(message, WorldModelStatus):
            self._take_world_model(message)
        elif message is None:
            self._take_segments()
        else:
            answer, response = message
            answer.put(self._checkpoint(response))

    def _take_world_model(self, message: WorldModelStatus) -> None:
        if self.loop.following is not None:
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
        if self._dropped_segments:
            self.warn(f"{self._dropped_segments} imagined segments came too fast and are lost")
            self._dropped_segments = 0
        while True:
            try:
                message = self._segments.get_nowait()
            except queue.Empty:
                return
            try:
                segment = synthetic_from_message(message)
                size = self.settings.run.image_size
                if segment.images.shape[2] != size:
                    raise InvalidObservation(f"its images are {segment.images.shape[2]} pixels, not {size}")
            except InvalidObservation as problem:
                self._bad_segments += 1
                self.warn(f"segment {message.seq} of {message.publisher!r} is malformed: {problem}")
                continue
            self.loop.offer_synthetic(segment)

    def _checkpoint(self, response: Checkpoint.Response) -> Checkpoint.Response:
        """Also publishes the weights: what is evaluated is what the checkpoint holds."""
        try:
            response.path = str(self.loop.checkpoint())
            self.loop.publish(dated=False)
            response.updates = self.loop.learner.updates
            response.success = True
        except OSError as error:
            response.message = str(explain(error, self.settings.run.path))
            self.warn(response.message)
        return response

    def _finish(self) -> None:
        if self.loop.checkpoint_due():
            self.loop.checkpoint()
        self.loop.state, self.loop.detail = "done", ""
        self.publish_status()

    def _stop(self) -> int:
        if self.loop.checkpoint_due():
            self.loop.checkpoint()
        return DONE

    def _fail(self, failure: RunFailed) -> int:
        self.failure = failure
        self.publish_status()
        say_last("learner", failure)
        time.sleep(0.2)  # for the last status to leave
        return failure.code

    # --- what the loop asks for ---

    def publish_weights(self, packed: PackedWeights) -> None:
        self._weights.publish(weights_to_message(packed, self.get_clock().now().to_msg()))

    def progressed(self, idle: bool = False) -> None:
        if self._signals is not None and self._signals.requested and self.loop.state == "adapting":
            raise Stopped
        now = time.monotonic()
        steps = self.loop.completed_steps
        changed = steps != self._status_steps
        wait = 0.0 if idle and changed else 0.01 if changed else 0.05
        if (changed or not idle) and now - self._status_at >= wait:
            self.publish_status()
        if now - self._pacing_at >= PACING_INTERVAL:
            self._publish_pacing(if_changed=True)

    def warn(self, message: str) -> None:
        self.get_logger().warning(message)

    def _publish_pacing(self, if_changed: bool = False) -> None:
        """From either thread."""
        report = self.loop.learner.pacing_status()
        if report is None:
            return
        with self._status_lock:
            self._pacing_at = time.monotonic()
            if if_changed and report == self._pacing_told:
                return
            self._pacing_told = report
            message = PacingStatus()
            message.header.stamp = self.get_clock().now().to_msg()
            message.run = self._run
            for name, value in asdict(report).items():
                setattr(message, name, value)
            message.rejected_malformed += self._bad_segments
            self._pacings.publish(message)

    def publish_status(self) -> None:
        """From either thread."""
        loop, learner = self.loop, self.loop.learner
        with self._status_lock:
            message = LearnerStatus()
            message.header.stamp = self.get_clock().now().to_msg()
            message.run = self._run
            message.state, message.detail = STATES[loop.state], loop.detail
            if self.failure is not None:
                message.state, message.detail = LearnerStatus.FAILED, str(self.failure)
            message.updates, message.skipped_updates = learner.updates, learner.skipped_updates
            message.real_steps, message.demo_steps = learner.real_steps, learner.demo_steps
            message.completed_steps, message.updates_owed = loop.completed_steps, loop.updates_owed
            message.next_seq, message.backfilled = loop.intake.next_seq, loop.intake.fetched
            message.duplicates = loop.intake.duplicates + learner.replay.duplicates
            message.rejected = loop.rejected + self._malformed + self._fetch.malformed + self._bad_segments
            message.weights_version = loop.weights_version
            message.checkpoint_step = max(0, loop.checkpoint_step)
            message.updates_per_second = loop.updates_per_second()
            for name in ("critic_loss", "actor_loss", "temperature", "entropy", "q_mean", "gripper_loss"):
                setattr(message, name, float(loop.logs.get(name, 0.0)))
            self._status_at, self._status_steps = time.monotonic(), loop.completed_steps
            self._statuses.publish(message)


def main(args: list[str] | None = None) -> int:
    """Run the node. Returns 0 when stopped, 2 where it cannot start like this; a crash is anything else."""
    sys.setswitchinterval(0.001)
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    signals = StopSignals()
    try:
        try:
            node = LearnerNode()
        except Exception as error:
            failure = failure_of(error)
            say_last("learner", failure)
            return failure.code
        return node.run(signals)
    finally:
        rclpy.try_shutdown()


if __name__ == "__main__":
    sys.exit(main())

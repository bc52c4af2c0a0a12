"""The policy node: acts at the control rate, records every step, runs the phases of a run.

Parameters:
    config: path of the run's config.yaml.
    durable: flush each step to the disk (for a robot computer that may lose power).
    discovery_wait: s to look for another run on the ROS domain, at the start and again once the arm is found.
    start_timeout: s until the first observation must be there; sensor_timeout: s without one later on.
    learner_patience: s without a sign of progress of the learner after which it is not waited for.
    linger: s that the node stays after the run, so that everybody hears of its end.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import rclpy
import torch
from builtin_interfaces.msg import Time
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from worldsample_core.config import ConfigError, from_mapping
from worldsample_core.episodes.episode_store import EpisodeStore
from worldsample_core.episodes.journal import StorageError
from worldsample_core.messages.conversions import stamp_ns, summary_to_message
from worldsample_core.messages.qos import COMMAND, EPISODES, STATUS, TRANSITIONS
from worldsample_core.node.awake_clock import AwakeClock
from worldsample_core.node.exit_codes import BAD_CONFIGURATION, DONE, FAILED
from worldsample_core.settings import Settings, load_settings
from worldsample_core.success_detector import make_success_detector
from worldsample_core.transition import EpisodeSummary
from worldsample_msgs.msg import EndEffectorCommand, LearnerStatus, PolicyStatus, RobotStatus, Transition
from worldsample_msgs.msg import EpisodeSummary as EpisodeSummaryMsg
from worldsample_msgs.srv import Checkpoint, Reset
from worldsample_policy.acting.acting_weights import ActingWeights
from worldsample_policy.acting.cell_input import CellInput
from worldsample_policy.acting.episode_service import EpisodeService
from worldsample_policy.acting.observation_assembly import Tick
from worldsample_policy.acting.policy_loop import PolicyLoop
from worldsample_policy.acting.rollout import Action
from worldsample_policy.acting.run_plan import EvaluationLog
from worldsample_policy.acting.tick_timing import TickTiming
from worldsample_policy.acting.weights_switch import WeightsSwitch
from worldsample_policy.failures import RunFailed, StopSignals, failure_of, say_last
from worldsample_policy.learner_config import LearnerConfig
from worldsample_policy.replay.demonstrations import import_demonstrations

F = TypeVar("F", bound=Callable[..., Any])

PHASES = {
    "demo": PolicyStatus.DEMO,
    "train": PolicyStatus.TRAIN,
    "eval": PolicyStatus.EVAL,
    "label": PolicyStatus.LABEL,
}
SERVICE_TIMEOUT = 60.0
"""s until a reset or a checkpoint must be answered."""


def fails_the_run(method: F) -> F:
    """What a callback raises ends the run with its message."""

    @wraps(method)
    def guarded(self: PolicyNode, *arguments: Any) -> Any:
        if self.exit_code is not None:
            return None
        try:
            return method(self, *arguments)
        except Exception as error:
            self.fail(failure_of(error))
            return None

    return guarded  # type: ignore[return-value]


class PolicyNode(Node):
    """All callbacks run in one thread; :class:`EpisodeService` has its own.

    Attributes:
        exit_code: what the process returns; None while the run goes on.
    """

    def __init__(self) -> None:
        """Raises ConfigError, StorageError, CheckpointError, RunFailed."""
        super().__init__("policy")
        path = str(self.declare_parameter("config", "").value)
        if not path:
            raise ConfigError("the parameter `config` (path of the run's config.yaml) is missing")
        self.settings: Settings = load_settings(path)
        run, task = self.settings.run, self.settings.task
        durable = bool(self.declare_parameter("durable", False).value)
        self._discovery_wait = float(self.declare_parameter("discovery_wait", 1.0).value)
        self._start_timeout = float(self.declare_parameter("start_timeout", 60.0).value)
        self._sensor_timeout = float(self.declare_parameter("sensor_timeout", 10.0).value)
        patience = float(self.declare_parameter("learner_patience", 60.0).value)
        self._linger = float(self.declare_parameter("linger", 5.0).value)
        self.exit_code: int | None = None
        self.failure: RunFailed | None = None
        began = time.monotonic()

        self._commands = self.create_publisher(EndEffectorCommand, "a1x/command", COMMAND)
        self._transitions = self.create_publisher(Transition, "transitions", TRANSITIONS)
        self._episodes = self.create_publisher(EpisodeSummaryMsg, "episodes", EPISODES)
        self._statuses = self.create_publisher(PolicyStatus, "policy/status", STATUS)
        self._reset_client = self.create_client(Reset, "a1x/reset")
        self._checkpoint_client = self.create_client(Checkpoint, "learner/checkpoint")

        config = from_mapping(LearnerConfig, self.settings.learner, "learner")
        if config.image_size != run.image_size:
            raise ConfigError(
                f"learner.image_size is {config.image_size}, run.image_size {run.image_size}: make them equal"
            )
        switch = WeightsSwitch(run.lockstep, run.lag, run.publish_every)
        self.acting = ActingWeights(config, task, switch)
        if run.mode == "eval":
            if not run.checkpoint:
                raise ConfigError("run.checkpoint is missing: an evaluation needs a checkpoint to act on")
            self.acting.load_checkpoint(Path(run.checkpoint))
        self.acting.warm_up(run.image_size)

        self.store = EpisodeStore(
            run.path,
            run.name,
            custom={"task": task.name, "image_size": str(run.image_size)},
            durable=durable,
            min_free_bytes=self._episode_bytes(),
            on_closed=self.publish_summary,
        )
        try:
            for problem in self.store.problems:
                self.get_logger().warning(problem)
            if run.demos_from and run.mode == "train":
                copied = import_demonstrations(self.store, self.settings)
                self.store.drain()
                if copied:
                    self.get_logger().info(f"{copied} demonstrations taken from {run.demos_from}")
            detector = None
            if run.judged_by_classifier and (run.mode == "train" or (run.mode == "eval" and not run.sim)):
                detector = make_success_detector(self.settings)
            self.loop = PolicyLoop(
                self.settings,
                self.store,
                EvaluationLog(run.path),
                self.acting.act,
                switch,
                self,
                patience,
                detector,
            )
            while time.monotonic() < began + self._discovery_wait:
                time.sleep(0.02)
            self._check_alone()
        except BaseException:
            self.store.close()
            raise

        self._wake = self.create_guard_condition(self._on_weights)
        self.service = EpisodeService(self, run.name, self.store, self.acting, self._wake.trigger)
        self.input = CellInput(self, self.settings, self._on_message, self._on_repeat)
        self.create_subscription(RobotStatus, "a1x/status", self._on_robot, STATUS)
        self._period = None if run.lockstep else task.control_period
        self.timing = TickTiming(self._period)
        self._scale = task.scale
        self._tick_waits: Tick | None = None
        self._answer: EndEffectorCommand | None = None
        self._seen_tick = False
        self._awake = AwakeClock()
        self._alive_at = self._awake()
        self._types_checked_at = 0.0
        self._learner_progress: tuple[Any, ...] = ()
        self._calls: dict[str, float] = {}
        self._reset_waits = Reset.Request()
        self._arm_found = math.inf
        self._moved = False
        self._fault = ""
        self._hold = ""
        self._status_at = 0.0
        self._done_at: float | None = None
        self.create_timer(0.1, self._on_housekeeping)
        if not run.lockstep:
            self.create_timer(task.control_period, self._on_control_period)
            with contextlib.suppress(OSError):  # acting comes first, where the system allows it
                os.setpriority(os.PRIO_PROCESS, 0, -10)
        self.get_logger().info(
            f"run {run.name}: {self.store.real_steps} real steps, {len(self.store.summaries)} episodes, "
            + ("lockstep" if run.lockstep else f"{1.0 / task.control_period:g} Hz")
        )

    def _episode_bytes(self) -> int:
        """What two episodes may take on the disk, journal and bag, and a little more."""
        frame = 2 * 3 * self.settings.run.image_size**2
        steps = min(self.settings.task.horizon, self.settings.task.max_real_steps)
        return 16_000_000 + 4 * steps * 2 * frame

    def _check_alone(self) -> None:
        """Raises :class:`RunFailed` where another run is on the same ROS domain."""
        name, namespace = self.get_name(), self.get_namespace()
        twins = self.get_node_names_and_namespaces().count((name, namespace))
        writers = self.count_publishers(self._commands.topic_name)
        if twins > 1 or writers > 1:
            who = f"another node {namespace.rstrip('/')}/{name}" if twins > 1 else "another node"
            raise self._second_run(f"{who} already commands the arm ({self._commands.topic_name})")

    def _second_run(self, reason: str) -> RunFailed:
        return RunFailed(
            f"{reason}: this is a second run on the domain",
            "stop it, or give this run a domain of its own (export ROS_DOMAIN_ID=<1..101>)",
            BAD_CONFIGURATION,
        )

    # --- what the loop asks for ---

    def request_reset(self, seed: int, mode: str, episode: int) -> None:
        self.timing.pause()
        self._answer = self._tick_waits = None
        self._reset_waits = Reset.Request(seed=seed, mode=mode, episode=episode, run=self.settings.run.name)
        self._calls["reset service"] = self._awake()
        self._call_reset()

    def _call_reset(self) -> None:
        """Send the request, once the arm is known for so long that another run would be too."""
        now = self._awake()
        if not self._reset_client.service_is_ready():
            self._arm_found = math.inf
            return
        self._arm_found = min(self._arm_found, now)
        if now - self._arm_found < self._discovery_wait:
            return
        if not self._moved:  # whoever has not moved the arm yet gives way
            self._check_alone()
        del self._calls["reset service"]
        self._calls["reset"], self._moved = now, True
        self._reset_client.call_async(self._reset_waits).add_done_callback(self._on_reset)

    def request_checkpoint(self) -> None:
        if not self._checkpoint_client.service_is_ready():
            self.loop.on_checkpoint(False, 0)
            return
        self._calls["checkpoint"] = self._awake()
        self._checkpoint_client.call_async(Checkpoint.Request()).add_done_callback(self._on_checkpoint)

    def publish_transition(self, record: bytes) -> None:
        self._transitions.publish(record)

    def publish_summary(self, summary: EpisodeSummary) -> None:
        self._episodes.publish(summary_to_message(summary, self._now()))

    def begin_episode(self, seed: int, deterministic: bool) -> None:
        self.acting.seed(seed)

    def load_due_weights(self, real_steps: int) -> None:
        self.acting.load_due(real_steps)

    # --- answers ---

    @fails_the_run
    def _on_reset(self, future: Any) -> None:
        if self._calls.pop("reset", None) is None:
            return  # too late
        response: Reset.Response = future.result()
        if response.taken:
            raise self._second_run(str(response.message))
        self._alive_at = self._awake()
        if response.success:
            self.input.restart(stamp_ns(response.stamp))
        self.loop.on_reset(bool(response.success), str(response.message))
        self._publish_status()
        self._on_message()

    @fails_the_run
    def _on_checkpoint(self, future: Any) -> None:
        if self._calls.pop("checkpoint", None) is None:
            return
        response: Checkpoint.Response = future.result()
        if not response.success:
            self.get_logger().warning(f"the learner wrote no checkpoint: {response.message}")
        self.loop.on_checkpoint(bool(response.success), int(response.updates))

    # --- control steps ---

    @fails_the_run
    def _on_message(self) -> None:
        """Lockstep: act as soon as a tick is complete."""
        if self._period is not None or self.loop.state != "running" or self._tick_waits is not None:
            return
        tick = self.input.take()
        if tick is not None:
            self._step(tick)

    @fails_the_run
    def _on_repeat(self) -> None:
        if self._answer is not None and self.loop.state == "running":
            self._commands.publish(self._answer)

    @fails_the_run
    def _on_weights(self) -> None:
        self.acting.collect()
        if self._tick_waits is not None:
            self._step(self._tick_waits)

    @fails_the_run
    def _on_control_period(self) -> None:
        """Real time: act on the newest messages, if fresh; else the arm gets no command and holds."""
        if self.loop.state != "running":
            return
        now = time.monotonic()
        self.timing.tick(now)
        tick = None if self._fault else self.input.take()
        if tick is None:
            self._hold = self._fault or f"holding: {self.input.explain_missing()}"
            return
        self._hold = ""
        self._step(tick)

    def _step(self, tick: Tick) -> None:
        now = self._awake()
        self._seen_tick, self._alive_at = True, now
        self._tick_waits = tick if self.loop.must_wait(now) else None
        if self._tick_waits is not None:
            return
        if self._period is None:
            self.timing.tick(time.monotonic())
        action = self.loop.on_tick(tick)
        if action is not None:
            self._answer = self._command(tick, action)
            self._commands.publish(self._answer)
        if self._period is None:
            self._publish_status()
        if action is None:
            if self.loop.detected and self._period is not None:  # a person watches what is rewarded
                steps = self.loop.detected
                self.get_logger().info(f"the reward classifier saw a success after {steps} steps")
            self._answer = None
            self._advance()

    def _command(self, tick: Tick, action: Action) -> EndEffectorCommand:
        motion = (action * self._scale).astype(float)
        command = EndEffectorCommand()
        command.header.frame_id = "base_link"
        seconds, nanoseconds = divmod(tick.stamp, 1_000_000_000)
        command.header.stamp = Time(sec=seconds, nanosec=nanoseconds)
        command.translation.x, command.translation.y, command.translation.z = motion[:3].tolist()
        command.rotation.x, command.rotation.y, command.rotation.z = motion[3:6].tolist()
        command.gripper = int(action[6])
        return command

    @fails_the_run
    def _on_robot(self, message: RobotStatus) -> None:
        self._fault = (
            f"the arm reports a fault: {message.detail}" if message.state == RobotStatus.FAULT else ""
        )

    # --- ten times a second ---

    @fails_the_run
    def _on_housekeeping(self) -> None:
        now = self._awake()
        self._hear_learner(now)
        self._check_calls(now)
        if self._tick_waits is not None:
            self._step(self._tick_waits)
        if self.loop.state == "running":
            self._check_input(now)
        elif self._done_at is None:
            self._advance()
        if now - self._status_at >= (1.0 if self.loop.state == "running" else 0.5):
            self._publish_status()
        if self._done_at is not None and now - self._done_at > self._linger:
            self._finish()

    def _advance(self) -> None:
        self.loop.advance(self._awake())
        if self.loop.state == "done" and self._done_at is None:
            self._done_at = self._awake()
            self.store.drain()
            self.store.check()
            self._publish_status()

    def _hear_learner(self, now: float) -> None:
        status = self.service.learner
        if status is None:
            return
        progress = (status.state, status.detail, status.updates, status.completed_steps, status.next_seq)
        if progress != self._learner_progress:
            self._learner_progress = progress
            self._alive_at = now  # in lockstep the cell may be waiting for it
            detail = str(status.detail)
            if status.state == LearnerStatus.FAILED:
                detail = f"it failed: {detail}"
            elif status.state == LearnerStatus.ADAPTING:
                detail = f"it adapts {detail}"
            self.loop.on_learner(int(status.completed_steps), detail, now)

    def _check_calls(self, now: float) -> None:
        if "reset service" in self._calls:
            self._call_reset()
        for call, since in list(self._calls.items()):
            limit = (
                max(SERVICE_TIMEOUT, self._start_timeout) if call != "reset service" else self._start_timeout
            )
            if now - since < limit:
                continue
            del self._calls[call]
            if call == "checkpoint":
                self.loop.on_checkpoint(False, 0)
                continue
            name = self._reset_client.srv_name
            self.input.check_types()
            raise RunFailed(
                f"nobody offers the service {name}"
                if call != "reset"
                else f"{name} did not answer within {limit:g} s",
                "is the arm's (or the simulator's) node running, on the same ROS_DOMAIN_ID?",
            )

    def _check_input(self, now: float) -> None:
        limit = self._sensor_timeout if self._seen_tick else self._start_timeout
        silent = now - self._alive_at
        if silent > 2.0 and now - self._types_checked_at > 2.0:
            self._types_checked_at = now
            self.input.check_types()
        if silent > limit:
            raise RunFailed(
                self._fault or f"no observation for {silent:.0f} s: {self.input.explain_missing()}",
                "look at that node's log; is it running, on the same ROS_DOMAIN_ID, with these topic names?",
            )

    # --- status and end ---

    def _now(self) -> Time:
        return self.get_clock().now().to_msg()

    def _publish_status(self) -> None:
        loop, message = self.loop, PolicyStatus()
        self._status_at = self._awake()
        message.header.stamp = self._now()
        message.run = self.settings.run.name
        if self.failure is not None:
            message.phase, message.detail = PolicyStatus.FAILED, str(self.failure)
        elif loop.state == "done":
            message.phase = PolicyStatus.DONE
        else:
            message.phase = PHASES[loop.kind] if loop.kind else PolicyStatus.STARTING
            message.detail = self._hold or loop.detail
        if loop.next is not None:
            message.episode, message.episodes_in_phase = loop.next.number, loop.next.of
        if loop.rollout is not None:
            message.step = loop.rollout.counts.steps
        message.real_steps = self.store.real_steps
        message.max_real_steps = self.settings.task.max_real_steps
        message.next_seq = self.store.next_seq
        message.weights_version = self.acting.switch.version
        message.success_rate, message.intervention_rate = loop.success_rate(), loop.intervention_rate()
        message.tick_hz, message.tick_jitter_p99_ms = self.timing.rate(), self.timing.jitter_p99_ms()
        latency = self.acting.latency_ms
        message.weights_latency_ms = 0.0 if math.isnan(latency) else latency
        self._statuses.publish(message)

    def _finish(self) -> None:
        self.exit_code = DONE
        if not self.loop.checkpointed:
            self.exit_code = FAILED
            self.failure = RunFailed(
                "the run is complete, but its learner wrote no last checkpoint",
                "look at the learner's log; `worldsample train --resume` writes it",
            )

    def fail(self, failure: RunFailed) -> None:
        """End the run: status FAILED, a message with the remedy, and the exit code."""
        if self.exit_code is None:
            self.exit_code, self.failure = failure.code, failure
            self.get_logger().error(str(failure))
            self._publish_status()

    def stop(self) -> None:
        """End the run where it is; the running episode is closed properly."""
        if self.exit_code is None:
            self.exit_code = DONE

    def close(self) -> None:
        """Close the running episode and write what is due."""
        for step in (self.loop.interrupt, self.store.close, self.store.check):
            try:
                step()
            except StorageError as error:  # the steps stay in the journal
                if self.failure is None:
                    self.failure = failure_of(error)
                    self.exit_code = self.failure.code
        self.service.close()


def main(args: list[str] | None = None) -> int:
    """Run the node. Returns 0 when the run is done or was stopped, 2 where it cannot start like this, 1 on
    failure.
    """
    sys.setswitchinterval(0.0005)  # the thread that acts waits at most this long for another one's Python
    torch.set_num_threads(1)
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    signals = StopSignals()
    try:
        try:
            node = PolicyNode()
        except Exception as error:
            failure = failure_of(error)
            say_last("policy", failure)
            return failure.code
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        try:
            while node.exit_code is None:
                executor.spin_once(timeout_sec=0.5)
                if signals.requested:
                    node.stop()
        finally:
            node.close()
        if node.failure is not None:
            say_last("policy", node.failure)
            time.sleep(0.2)  # for the last status to leave
        return node.exit_code or DONE
    finally:
        rclpy.try_shutdown()


if __name__ == "__main__":
    sys.exit(main())

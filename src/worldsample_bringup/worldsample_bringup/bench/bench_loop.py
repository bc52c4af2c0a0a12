"""``worldsample bench loop``: does acting ever wait? A real-time run is measured while its learner trains."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rclpy

from worldsample_bringup.graph.run_session import run_session
from worldsample_bringup.graph.runner import Outcome, Runner
from worldsample_bringup.run.options import Request
from worldsample_bringup.run.prepare import plan
from worldsample_core.config import ConfigError
from worldsample_core.messages.qos import COMMAND, STATUS
from worldsample_msgs.msg import EndEffectorCommand, LearnerStatus, PolicyStatus

STOPPED_SECONDS = 30.0
START_PATIENCE = 240.0
"""Seconds until the learner must train."""

RUN_SETTINGS = (
    "run.demos=5",
    "run.eval_every=0",
    "run.checkpoint_every=1000000",
    "task.max_real_steps=1000000",
    "learner.training_starts=20",
    "learner.encoder_steps=50",
    "learner.pretrain_updates=50",
    "operator.bother_first=0.0",
    "operator.bother_last=0.0",
)
"""The task's own sizes; what comes before the training is kept short, and no operator acts."""


@dataclass
class Samples:
    """Messages heard since :meth:`clear`. Times in s of the monotonic clock."""

    commands: list[float] = field(default_factory=list)
    jitters: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    updates_per_second: list[float] = field(default_factory=list)
    weights_version: int = -1
    training: bool = False

    def clear(self) -> None:
        """Begin anew; what the nodes are doing stays known."""
        for values in (self.commands, self.jitters, self.latencies, self.updates_per_second):
            values.clear()

    def on_command(self, message: EndEffectorCommand) -> None:
        self.commands.append(time.monotonic())

    def on_policy(self, message: PolicyStatus) -> None:
        self.jitters.append(float(message.tick_jitter_p99_ms))
        if message.weights_version != self.weights_version:
            self.weights_version = int(message.weights_version)
            self.latencies.append(float(message.weights_latency_ms))

    def on_learner(self, message: LearnerStatus) -> None:
        self.training = message.state == LearnerStatus.TRAINING
        if self.training:
            self.updates_per_second.append(float(message.updates_per_second))


class LoopProbe:
    """The schedule of the measurement, called by the runner about 20 times a second.

    It waits until the learner trains, measures, stops the learner for 30 s, measures again, and ends the run.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.result: dict[str, Any] = {}
        self._began = time.monotonic()
        self._samples = Samples()
        self._node: Any = None
        self._phase, self._phase_began = "waiting", self._began

    def __call__(self, runner: Runner) -> None:
        if self._node is None:  # only now, when the run has its ROS domain
            self._listen()
        while self._heard():
            pass
        elapsed = time.monotonic() - self._phase_began
        if self._phase == "waiting":
            if self._samples.training and self._samples.weights_version > 1:
                self._enter("measuring")
            elif elapsed > START_PATIENCE:
                runner.stop(Outcome(1, "learner", f"the learner did not train within {START_PATIENCE:g} s"))
        elif self._phase == "measuring" and elapsed >= self.seconds:
            self.result.update(training_figures(self._samples))
            _signal_learner(runner, signal.SIGSTOP)
            self._enter("stopped")
        elif self._phase == "stopped" and elapsed >= STOPPED_SECONDS:
            self.result["rate_while_learner_stopped_hz"] = rate(self._samples.commands)
            _signal_learner(runner, signal.SIGCONT)
            runner.stop(Outcome(0))

    def _listen(self) -> None:
        rclpy.init(args=[], signal_handler_options=rclpy.signals.SignalHandlerOptions.NO)
        self._node = rclpy.create_node("bench_loop")
        self._node.create_subscription(EndEffectorCommand, "a1x/command", self._samples.on_command, COMMAND)
        self._node.create_subscription(PolicyStatus, "policy/status", self._samples.on_policy, STATUS)
        self._node.create_subscription(LearnerStatus, "learner/status", self._samples.on_learner, STATUS)

    def _heard(self) -> int:
        before = len(self._samples.commands) + len(self._samples.jitters)
        rclpy.spin_once(self._node, timeout_sec=0.0)
        return len(self._samples.commands) + len(self._samples.jitters) - before

    def _enter(self, phase: str) -> None:
        self._phase, self._phase_began = phase, time.monotonic()
        self._samples.clear()

    def close(self) -> None:
        """Leave ROS."""
        if self._node is not None:
            self._node.destroy_node()
            rclpy.try_shutdown()


def training_figures(samples: Samples) -> dict[str, Any]:
    """Figures of the time in which the learner trained."""
    return {
        "tick_p99_jitter_ms": max(samples.jitters[len(samples.jitters) // 2 :], default=None),
        "weights_latency_p95_ms": percentile(samples.latencies, 95),
        "weights_latency_p50_ms": percentile(samples.latencies, 50),
        "rate_while_training_hz": rate(samples.commands),
        "updates_per_second": percentile(samples.updates_per_second, 50),
        "weights_updates": len(samples.latencies),
    }


def rate(times: list[float]) -> float | None:
    """Events per second, of the times at which they were heard."""
    if len(times) < 2 or times[-1] <= times[0]:
        return None
    return round((len(times) - 1) / (times[-1] - times[0]), 3)


def percentile(values: list[float], q: float) -> float | None:
    """The q-th percentile; None of no values."""
    return round(float(np.percentile(values, q)), 3) if values else None


def _signal_learner(runner: Runner, number: signal.Signals) -> None:
    pid = runner.pid("learner")
    if pid is None:
        runner.stop(Outcome(1, "learner", "the learner is not running"))
    else:
        os.kill(pid, number)


def measure(seconds: float = 60.0) -> dict[str, Any]:
    """Run the loop in real time on this machine, and measure.

    Args:
        seconds: of training to measure.

    Returns:
        ``tick_p99_jitter_ms``: 99th percentile, over half a minute, of a tick's deviation from its 100 ms, by
        the policy's clock: the worst that it told in the second half of the time (whole windows);
        ``rate_while_learner_stopped_hz``: commands per second while the learner is stopped for 30 s;
        ``weights_latency_p95_ms``: from publication to the first action; and what they were taken from.

    Raises:
        ConfigError: the run failed.
    """
    with tempfile.TemporaryDirectory(prefix="worldsample-bench-") as folder:
        demos = Path(folder, "demos")
        recording = plan(Request("demos", out=str(demos), overrides=RUN_SETTINGS), Path(folder))
        training = Request(
            "train",
            run_dir=str(Path(folder, "run")),
            demos_from=str(demos),
            realtime=True,
            overrides=RUN_SETTINGS,
        )
        if run_session(recording).code != 0:
            raise ConfigError("the demonstrations for the measurement could not be recorded, see above")
        probe = LoopProbe(seconds)
        try:
            outcome = run_session(plan(training, Path(folder)), watch=probe)
        finally:
            probe.close()
        if outcome.code != 0:
            raise ConfigError(f"the measured run failed: {outcome.reason}")
        return probe.result

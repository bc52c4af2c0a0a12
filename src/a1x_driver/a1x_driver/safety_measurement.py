"""``worldsample bench safety``: what a hostile policy can do to the arm, how fast it stops, what it costs.

Three measurements: adversarial command sequences through the driver's core against the stand-in arm, in
process; the time until nothing moves any more after policy, feedback or camera are lost, between real
processes over DDS; and the time from a command to its target, there too.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, String

from a1x_driver.adversary import Verdict, attack
from a1x_driver.driver_config import DriverConfig
from worldsample_core.config import TaskConfig, from_mapping
from worldsample_core.messages.conversions import to_time
from worldsample_core.messages.qos import COMMAND, STATUS
from worldsample_core.node.parent_death import die_with_parent
from worldsample_core.node.precedence import ARM, come_first
from worldsample_core.settings import Settings, load_settings
from worldsample_msgs.msg import EndEffectorCommand, PolicyStatus, RobotStatus

BATCH = 500
MOVES = 1e-6
"""rad; targets that differ by less are the same."""
PATIENCE = 90.0
REPEATS = 5
LATENCIES = 150


def measure(
    config: Path, sequences: int, jobs: int = 1, say: Callable[[str], object] = print
) -> dict[str, Any]:
    """All figures. Needs a ROS domain of its own (ROS_DOMAIN_ID).

    Args:
        config: of a run with stand-ins, mode demos (no learner).
        sequences: how many adversarial ones. jobs: processes for them, side by side.
        say: is told how far it is, for people.
    """
    settings = load_settings(config)
    driver = from_mapping(DriverConfig, settings.driver, "driver")
    verdict = attack_in_batches(driver, settings, sequences, jobs, say)
    judgement = asdict(verdict.judgement)
    come_first(ARM)  # what is measured is the driver, not this process waiting for its turn
    with processes(config, "standin_arm_node", "driver_node", extra={"standin_arm_node": ["start:=ready"]}):
        latencies, policy, feedback = _at_the_driver(driver, settings)
    whole = ("standin_arm_node", "standin_camera_node", "standin_person_node", "driver_node", "teleop_node")
    with processes(config, *whole, policy=True):
        camera = _without_camera(driver)
    slowest = [max(times) for times in (policy, feedback, camera) if times]
    return {
        "sequences": verdict.sequences,
        "limit_violations": verdict.judgement.limit_violations,
        "jumps": verdict.judgement.jump,
        "stop_ms_max": round(max(slowest), 1) if len(slowest) == 3 else None,
        "latency_p99_ms": round(float(np.percentile(latencies, 99)), 2) if latencies else None,
        "latency_p50_ms": round(float(np.percentile(latencies, 50)), 2) if latencies else None,
        "stop_ms_policy": [round(t, 1) for t in policy],
        "stop_ms_feedback": [round(t, 1) for t in feedback],
        "stop_ms_camera": [round(t, 1) for t in camera],
        "watchdog_ms": {
            "command": 1e3 * driver.watchdog.command,
            "feedback": 1e3 * driver.watchdog.feedback,
            "camera": 1e3 * settings.cameras.max_age,
        },
        "power_cuts": judgement["power_cuts"],
        "motors_released": judgement["released"],
        "worst_speed_after_jump": round(judgement["worst_after_jump"], 3),
        "speed_limit": driver.limits.linear_velocity,
        "commands_accepted": verdict.accepted,
        "commands_rejected": verdict.rejected,
        "targets": judgement["targets"],
        "worst_outside_box_mm": round(1e3 * judgement["worst_outside_box"], 3),
        "worst_speed_of_limit": round(judgement["worst_speed"], 3),
        "worst_acceleration_of_limit": round(judgement["worst_acceleration"], 3),
        "examples": judgement["examples"],
        "load": os.getloadavg()[0],
    }


def attack_in_batches(
    driver: DriverConfig, settings: Settings, sequences: int, jobs: int, say: Callable[[str], object]
) -> Verdict:
    """The sequences, spread over processes; the verdict does not depend on how many there are."""
    sizes = [min(BATCH, sequences - start) for start in range(0, sequences, BATCH)]
    total = Verdict()
    tasks = [(driver, settings.task, size, seed) for seed, size in enumerate(sizes)]
    began = time.monotonic()
    with get_context("spawn").Pool(jobs, maxtasksperchild=1) as pool:
        for part in pool.imap(_attack, tasks):
            add(total, part)
            broken = total.judgement.limit_violations + total.judgement.jump
            left = (time.monotonic() - began) / total.sequences * (sequences - total.sequences)
            say(f"sequence {total.sequences:,}/{sequences:,} · {broken} broken rules · ETA {left:.0f} s")
    return total


def _attack(task: tuple[DriverConfig, TaskConfig, int, int]) -> Verdict:
    return attack(*task)


def add(total: Verdict, part: Verdict) -> None:
    """Count ``part`` into ``total``."""
    total.sequences += part.sequences
    total.accepted += part.accepted
    total.rejected += part.rejected
    mine, its = total.judgement, part.judgement
    for name, value in asdict(its).items():
        if name == "examples":
            mine.examples = (mine.examples + its.examples)[:20]
        elif name == "last_jump":
            mine.last_jump = mine.last_jump or value
        elif name.startswith("worst"):
            setattr(mine, name, max(getattr(mine, name), value))
        else:
            setattr(mine, name, getattr(mine, name) + value)


@contextlib.contextmanager
def processes(
    config: Path, *nodes: str, extra: dict[str, list[str]] | None = None, policy: bool = False
) -> Iterator[None]:
    """Nodes of this package (and the policy's) as processes, with one ``config``; logs beside it."""
    modules = [f"a1x_driver.{node}" for node in nodes]
    modules += ["worldsample_policy.policy_node"] if policy else []
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    running = []
    try:
        for module in modules:
            parameters = [f"config:={config}", *(extra or {}).get(module.rpartition(".")[2], [])]
            command = [sys.executable, "-m", module, "--ros-args"]
            command += [part for parameter in parameters for part in ("-p", parameter)]
            with (config.parent / f"{module}.log").open("ab") as log:
                process = subprocess.Popen(
                    command, env=environment, stdout=log, stderr=log, preexec_fn=die_with_parent()
                )
                running.append(process)
        yield
    finally:
        for process in running:
            process.terminate()
        for process in running:
            try:
                process.wait(10.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class Probe(Node):
    """Hears targets, and knows when the last one was that differs from the one before."""

    def __init__(self, context: Context, driver: DriverConfig) -> None:
        super().__init__("bench_safety", context=context)
        self.moved_at = self.heard_at = -np.inf
        self.status, self.phase, self.commanded_at = RobotStatus(), -1, -np.inf
        self._last: np.ndarray | None = None
        self.create_subscription(JointState, driver.topics.target_joints.name, self._on_target, 50)
        self.create_subscription(RobotStatus, "a1x/status", self._on_status, STATUS)
        self.create_subscription(PolicyStatus, "policy/status", self._on_policy, STATUS)
        self.create_subscription(EndEffectorCommand, "a1x/command", self._on_command, COMMAND)
        self.commands: Any = None  # only while this bench plays the policy: a policy insists on being alone
        self.mute = self.create_publisher(Bool, "standin_arm/mute", 1)
        self.fault = self.create_publisher(String, "standin_cameras/fault", QoSProfile(depth=1))
        self.executor_ = SingleThreadedExecutor(context=context)
        self.executor_.add_node(self)

    def _on_target(self, message: JointState) -> None:
        self.heard_at = time.monotonic()
        joints = np.array(message.position)
        if self._last is not None and float(np.abs(joints - self._last).max()) > MOVES:
            self.moved_at = self.heard_at
        self._last = joints

    def _on_status(self, message: RobotStatus) -> None:
        self.status = message

    def _on_policy(self, message: PolicyStatus) -> None:
        self.phase = message.phase

    def _on_command(self, message: EndEffectorCommand) -> None:
        self.commanded_at = time.monotonic()

    def until(self, condition: Callable[[], Any], seconds: float) -> bool:
        """Hear what comes until ``condition`` holds. Returns whether it did within ``seconds``."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                return False
            self.executor_.spin_once(timeout_sec=0.002)
        return True

    def has_moved_since(self, moment: float) -> bool:
        """True if a target differed from the one before since ``moment``, s monotonic."""
        return self.moved_at > moment

    def pause(self, seconds: float) -> None:
        """Hear what comes for a while."""
        self.until(lambda: False, seconds)

    def send(self, x: float, y: float = 0.0) -> float:
        """A command; returns when."""
        command = EndEffectorCommand()
        command.header.frame_id = "base_link"
        command.header.stamp = to_time(time.time())
        command.translation.x, command.translation.y = x, y
        if self.commands is None:
            self.commands = self.create_publisher(EndEffectorCommand, "a1x/command", COMMAND)
            self.pause(1.0)
            command.header.stamp = to_time(time.time())
        sent = time.monotonic()
        self.commands.publish(command)
        return sent


@contextlib.contextmanager
def _probe(driver: DriverConfig) -> Iterator[Probe]:
    context = Context()
    rclpy.init(context=context)
    probe = Probe(context, driver)
    try:
        yield probe
    finally:
        probe.executor_.shutdown(timeout_sec=1.0)
        probe.destroy_node()
        rclpy.shutdown(context=context)


def _enable(probe: Probe) -> bool:
    from std_srvs.srv import Trigger

    client = probe.create_client(Trigger, "a1x/enable")
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if client.service_is_ready():
            future = client.call_async(Trigger.Request())
            if probe.until(future.done, 5.0) and future.result().success:
                return True
        probe.pause(0.5)
    return False


def _stop_time(probe: Probe, lost: float) -> float:
    """Time from the loss until the targets have not moved for a second, ms."""
    probe.until(lambda: time.monotonic() - max(probe.moved_at, lost) > 1.0, 15.0)
    return max(0.0, 1e3 * (probe.moved_at - lost))


def _at_the_driver(driver: DriverConfig, settings: Settings) -> tuple[list[float], list[float], list[float]]:
    """ms: latencies of commands, stop times without the policy, stop times without feedback."""
    step = float(settings.task.action_scale[0])
    latencies: list[float] = []
    policy: list[float] = []
    feedback: list[float] = []
    with _probe(driver) as probe:
        if not _enable(probe):
            return latencies, policy, feedback
        for number in range(LATENCIES + 5):
            sent = probe.send(0.3 * step if number % 2 else -0.3 * step)
            if probe.until(partial(probe.has_moved_since, sent), 1.0) and number >= 5:
                latencies.append(1e3 * (probe.moved_at - sent))
            probe.until(lambda: time.monotonic() - probe.moved_at > 0.03, 1.0)
            probe.pause(0.02)
        for lost_feedback, times in ((False, policy), (True, feedback)):
            for _ in range(REPEATS):
                for number in range(8):
                    sent = probe.send(step if number < 4 else -step, step if number % 2 else -step)
                    probe.pause(0.1)
                if lost_feedback:
                    sent = probe.send(-step, -step)
                    probe.pause(0.02)
                    sent = time.monotonic()
                    probe.mute.publish(Bool(data=True))
                times.append(_stop_time(probe, sent))
                probe.mute.publish(Bool(data=False))
                probe.until(lambda: probe.status.state != RobotStatus.FAULT, 10.0)
                probe.pause(0.5)
    return latencies, policy, feedback


def _without_camera(driver: DriverConfig) -> list[float]:
    """Times until the arm stands after one camera has stopped sending, ms, with the policy in the loop."""
    times: list[float] = []
    with _probe(driver) as probe:
        for number in range(REPEATS):
            moving = probe.until(
                lambda: (
                    probe.phase == PolicyStatus.DEMO
                    and probe.status.state == RobotStatus.OK
                    and time.monotonic() - probe.moved_at < 0.05
                ),
                PATIENCE if number == 0 else 30.0,
            )
            if not moving:
                break
            lost = time.monotonic()
            probe.fault.publish(String(data=f"stall:{('side', 'wrist')[number % 2]}"))
            times.append(_stop_time(probe, lost))
            probe.fault.publish(String(data=""))
    return times

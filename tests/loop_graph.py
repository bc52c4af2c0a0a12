"""The closed loop as real processes over real DDS: a fake cell, the policy node and the learner node."""

from __future__ import annotations

import dataclasses
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import rclpy
import yaml
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from tests.forked_node import ForkedNode
from worldsample_core.messages.qos import COMMAND, EPISODES, STATUS, SYNTHETIC, TRANSITIONS
from worldsample_msgs.msg import (
    EndEffectorCommand,
    EpisodeSummary,
    LearnerStatus,
    PacingStatus,
    PolicyStatus,
    SyntheticBatch,
    Transition,
    WorldModelStatus,
)

PATIENCE = 120.0
"""s that anything may take on a loaded machine."""

RUN = {
    "demos": 2,
    "image_size": 32,
    "lag": 10,
    "publish_every": 10,
    "eval_every": 0,
    "final_eval_episodes": 2,
    "checkpoint_every": 20,
}
TASK = {
    "name": "dot",
    "horizon": 30,
    "gamma": 0.97,
    "active": [True] * 3 + [False] * 4,
    "action_scale": [0.03] * 3 + [0.1] * 3 + [1.0],
    "box_low": [0.1, -0.2, 0.0],
    "box_high": [0.5, 0.2, 0.4],
    "reset_joints": [0.0] * 6,
    "reset_gripper": 1.0,
    "max_real_steps": 90,
}
LEARNER = {
    "image_size": 32,
    "encoder": "random",
    "latent_channels": 4,
    "latent_size": 4,
    "encoder_width": 8,
    "augmentations": 2,
    "batch_size": 32,
    "hidden": 64,
    "bottleneck": 16,
    "training_starts": 20,
}


class Listener(Node):
    """Remembers what is said on the graph's topics."""

    def __init__(self, context: Context) -> None:
        super().__init__("listener", context=context)
        self.policy: PolicyStatus | None = None
        self.learner: LearnerStatus | None = None
        self.learner_states: list[LearnerStatus] = []
        self.pacing: Any = None
        self.world_model: Any = None
        self.segments: list[SyntheticBatch] = []
        self.transitions: list[tuple[float, int]] = []
        self.commands: list[float] = []
        self.episodes: list[EpisodeSummary] = []
        self.create_subscription(PolicyStatus, "policy/status", self.on_policy, STATUS)
        self.create_subscription(LearnerStatus, "learner/status", self.on_learner, STATUS)
        self.create_subscription(Transition, "transitions", self.on_transition, TRANSITIONS)
        self.create_subscription(EpisodeSummary, "episodes", self.episodes.append, EPISODES)
        self.create_subscription(EndEffectorCommand, "a1x/command", self.on_command, COMMAND)
        self.create_subscription(PacingStatus, "learner/pacing", self.on_pacing, STATUS)
        self.create_subscription(WorldModelStatus, "worldmodel/status", self.on_world_model, STATUS)
        self.create_subscription(SyntheticBatch, "synthetic", self.segments.append, SYNTHETIC)

    def forget(self) -> None:
        """Forget what was heard of a run that has ended."""
        self.policy = self.learner = None
        self.transitions.clear()

    def on_policy(self, message: PolicyStatus) -> None:
        self.policy = message

    def on_pacing(self, message: PacingStatus) -> None:
        self.pacing = message

    def on_world_model(self, message: WorldModelStatus) -> None:
        self.world_model = message

    def on_learner(self, message: LearnerStatus) -> None:
        self.learner = message
        self.learner_states.append(message)

    def on_transition(self, message: Transition) -> None:
        self.transitions.append((time.monotonic(), int(message.seq)))

    def on_command(self, message: EndEffectorCommand) -> None:
        self.commands.append(time.monotonic())


@dataclasses.dataclass
class GraphProcess:
    """A node's process and its output."""

    name: str
    popen: ForkedNode
    log: Path

    def signal(self, number: signal.Signals) -> None:
        self.popen.send_signal(number)

    def wait(self, seconds: float = PATIENCE) -> int:
        """Exit code."""
        return self.popen.wait(seconds)

    def ended(self) -> bool:
        """True if the process has ended."""
        return self.popen.poll() is not None

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")


class Graph:
    """Starts and stops the processes of one run on a ROS domain of its own, and listens."""

    def __init__(self, folder: Path, domain: int) -> None:
        self.folder, self.domain = folder, domain
        self.processes: list[GraphProcess] = []
        self.context = Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.heard = Listener(self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.heard)
        self.closing = False
        self.thread = threading.Thread(target=self._spin, daemon=True)
        self.thread.start()

    def _spin(self) -> None:
        while not self.closing:
            self.executor.spin_once(timeout_sec=0.2)

    def configure(self, name: str = "loop", **sections: dict[str, Any]) -> Path:
        """Write a run's config.yaml; sections are merged over the tiny defaults above."""
        directory = self.folder / name
        directory.mkdir(exist_ok=True)
        config = {
            "run": {"name": name, "directory": str(directory), **RUN},
            "task": dict(TASK),
            "learner": dict(LEARNER),
        }
        for section, values in sections.items():
            config.setdefault(section, {}).update(values)
        path = directory / "config.yaml"
        path.write_text(yaml.safe_dump(config))
        return path

    def start(self, name: str, config: Path, parameters: Sequence[str] = ()) -> GraphProcess:
        """Start ``cell``, ``policy``, ``learner`` or ``worldmodel``."""
        if name == "policy":
            parameters = ("linger:=1.0", *parameters)
        options = [option for p in (f"config:={config}", *parameters) for option in ("-p", p)]
        log = self.folder / f"{len(self.processes)}-{name}.log"
        environment = {**os.environ, "ROS_DOMAIN_ID": str(self.domain), "OMP_NUM_THREADS": "1"}
        environment |= {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST", "PYTHONUNBUFFERED": "1"}
        log.touch()
        popen = ForkedNode(name, ["--ros-args", *options], environment, log)
        process = GraphProcess(name, popen, log)
        self.processes.append(process)
        return process

    def until(self, condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> None:
        """Wait for ``condition``; on time-out, or when a process fails meanwhile, show all output."""
        end = time.monotonic() + seconds
        while not condition():
            failed = [p.name for p in self.processes if p.popen.poll() not in (None, 0, -signal.SIGKILL)]
            if failed or time.monotonic() > end:
                logs = "\n".join(f"--- {p.name} ({p.popen.poll()})\n{p.output}" for p in self.processes)
                raise AssertionError(
                    f"{what}: " + (f"{failed} failed" if failed else "timed out") + f"\n{logs}"
                )
            time.sleep(0.02)

    @property
    def real_steps(self) -> int:
        """As the policy says."""
        return int(self.heard.policy.real_steps) if self.heard.policy else 0

    def close(self) -> None:
        for process in self.processes:
            if process.popen.poll() is None:
                process.signal(signal.SIGCONT)
                process.popen.kill()
        for process in self.processes:
            process.popen.wait()
        self.closing = True
        self.thread.join(timeout=2.0)
        self.executor.shutdown(timeout_sec=1.0)
        self.heard.destroy_node()
        rclpy.shutdown(context=self.context)

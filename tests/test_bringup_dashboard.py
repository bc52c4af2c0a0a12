"""The dashboard node over real topics, with the test as policy and learner."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import rclpy
from builtin_interfaces.msg import Time
from rclpy.context import Context
from rclpy.node import Node

from worldsample_bringup import prepare
from worldsample_bringup.console import LIVE_MARK
from worldsample_bringup.graph import dashboard
from worldsample_bringup.history import read_history
from worldsample_bringup.options import Request
from worldsample_bringup.process import process_for
from worldsample_core.conversions import summary_to_message
from worldsample_core.qos import EPISODES, STATUS
from worldsample_core.transition import EpisodeSummary
from worldsample_msgs.msg import EpisodeSummary as EpisodeSummaryMsg
from worldsample_msgs.msg import LearnerStatus, PolicyStatus

DOMAIN = 94
RUN = "pushing-hil_serl-seed0"


class Cell(Node):
    """Publishes what policy and learner would."""

    def __init__(self, context: Context) -> None:
        super().__init__("test_cell", context=context)
        self.episodes = self.create_publisher(EpisodeSummaryMsg, "episodes", EPISODES)
        self.policy = self.create_publisher(PolicyStatus, "policy/status", STATUS)
        self.learner = self.create_publisher(LearnerStatus, "learner/status", STATUS)

    def episode(self, kind: str, index: int, run: str = RUN, **said: Any) -> None:
        values = {"steps": 10, "episode_return": 1.0, "success": True, "truncated": False, **said}
        summary = EpisodeSummary(kind=kind, episode=index, run=run, **values)  # type: ignore[arg-type]
        self.episodes.publish(summary_to_message(summary, Time()))

    def status(self, phase: int, real_steps: int = 0) -> None:
        self.policy.publish(PolicyStatus(run=RUN, phase=phase, real_steps=real_steps, max_real_steps=80))
        self.learner.publish(
            LearnerStatus(
                run=RUN,
                state=LearnerStatus.TRAINING,
                updates=2 * real_steps,
                real_steps=real_steps,
                critic_loss=0.5,
            )
        )

    def wait_for_dashboard(self) -> None:
        end = time.monotonic() + 20
        while self.policy.get_subscription_count() == 0:
            assert time.monotonic() < end, "the dashboard did not come up"
            time.sleep(0.05)


@pytest.fixture
def plan(tmp_path: Path) -> prepare.Plan:
    overrides = ("run.eval_every=0", "run.final_eval_episodes=2")
    plan = prepare.plan(Request("train", machine="cpu", steps=80, overrides=overrides), tmp_path)
    plan.begin().close()
    return plan


@pytest.fixture
def cell() -> Iterator[Cell]:
    context = Context()
    rclpy.init(args=[], context=context, domain_id=DOMAIN)
    node = Cell(context)
    yield node
    node.destroy_node()
    context.try_shutdown()


def start(plan: prepare.Plan, **environment: str) -> subprocess.Popen[str]:
    spec = process_for(dashboard({"config": str(plan.folder.config)}))
    environment = {**os.environ, "ROS_DOMAIN_ID": str(DOMAIN), "PYTHONUNBUFFERED": "1", **environment}
    return subprocess.Popen(list(spec.command), env=environment, stdout=subprocess.PIPE, text=True)


def test_a_run_from_its_first_episode_to_its_report(plan: prepare.Plan, cell: Cell) -> None:
    for index in range(3):
        cell.episode("demo", index)  # before the dashboard is there
    process = start(plan, WORLDSAMPLE_LIVE_LINE="1")
    cell.wait_for_dashboard()
    cell.episode("train", 99, run="another run")
    for index in range(8):
        steps = 10 * (index + 1)
        cell.episode("train", 3 + index, real_steps=steps, intervention_steps=5)
        cell.status(PolicyStatus.TRAIN, steps)
        time.sleep(0.2)
    for index in range(2):
        cell.episode("eval", index, real_steps=80)
    while process.poll() is None:
        cell.status(PolicyStatus.DONE, 80)
        time.sleep(0.2)
    output, _ = process.communicate()
    assert process.returncode == 0
    summary = json.loads(plan.folder.summary.read_text())
    assert summary["finished"] and summary["demo_episodes"] == 3 and summary["episodes"] == 8
    assert (summary["real_steps"], summary["eval_success_rate"], summary["intervention_rate"]) == (
        80,
        1.0,
        0.5,
    )
    assert plan.folder.report.exists()
    assert list(plan.folder.tensorboard.glob("events.*"))
    lines = [line for line in output.splitlines() if line.startswith(LIVE_MARK)]
    assert any("80/80 real steps · success 1.00" in line for line in lines)


def test_asked_to_stop_it_leaves_a_report_and_a_later_session_goes_on(plan: prepare.Plan, cell: Cell) -> None:
    for session, number in enumerate((signal.SIGINT, signal.SIGTERM)):
        process = start(plan)
        cell.wait_for_dashboard()
        cell.episode("train", session, real_steps=10 * (session + 1))
        cell.status(PolicyStatus.TRAIN, 10 * (session + 1))
        end = time.monotonic() + 10
        while len(read_history(plan.folder.metrics).train) <= session and time.monotonic() < end:
            time.sleep(0.05)
        process.send_signal(number)
        assert process.wait(timeout=15) == 0
        while cell.policy.get_subscription_count():
            time.sleep(0.05)
        summary = json.loads(plan.folder.summary.read_text())
        assert not summary["finished"] and summary["episodes"] == session + 1
        assert plan.folder.report.exists()


def test_a_configuration_that_cannot_be_used_is_exit_code_2(tmp_path: Path) -> None:
    spec = process_for(dashboard({"config": str(tmp_path / "nothing.yaml")}))
    result = subprocess.run(list(spec.command), capture_output=True, text=True, check=False)
    assert result.returncode == 2 and "there is no configuration file" in result.stderr
    assert sys.executable == spec.command[0]

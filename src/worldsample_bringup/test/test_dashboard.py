"""The dashboard node over real topics, with the test as policy and learner."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
from builtin_interfaces.msg import Time
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from tests.fake_wandb import calls, install
from worldsample_bringup.dashboard.imagined import pictures
from worldsample_bringup.graph.graph import dashboard
from worldsample_bringup.graph.node_command import process_for
from worldsample_bringup.graph.terminal import LIVE_MARK
from worldsample_bringup.run import prepare
from worldsample_bringup.run.configuration import write_config
from worldsample_bringup.run.history import read_history
from worldsample_bringup.run.options import Request
from worldsample_core.messages.conversions import summary_to_message, synthetic_to_message
from worldsample_core.messages.qos import EPISODES, STATUS
from worldsample_core.node.parent_death import die_with_parent
from worldsample_core.synthetic import SyntheticSegment
from worldsample_core.transition import EpisodeSummary
from worldsample_msgs.msg import EpisodeSummary as EpisodeSummaryMsg
from worldsample_msgs.msg import LearnerStatus, PacingStatus, PolicyStatus, WorldModelStatus
from worldsample_msgs.srv import Imagine

RUN = "pushing-hil_serl-seed0"


class FakeStatuses(Node):
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


class World:
    """A world model that says it is open, and imagines its own segment a little brighter than it was.

    Args:
        stuck: it never answers what it is asked.
    """

    def __init__(self, cell: FakeStatuses, stuck: bool = False) -> None:
        self.asked: list[Imagine.Request] = []
        self.pacing = cell.create_publisher(PacingStatus, "learner/pacing", STATUS)
        self.world = cell.create_publisher(WorldModelStatus, "worldmodel/status", STATUS)
        self._stuck, self._end = stuck, threading.Event()
        cell.create_service(Imagine, "worldmodel/imagine", self._imagine)
        self._executor = SingleThreadedExecutor(context=cell.context)
        self._executor.add_node(cell)
        self._thread = threading.Thread(target=self._spin)
        self._thread.start()

    def _spin(self) -> None:
        while not self._end.is_set():
            self._executor.spin_once(timeout_sec=0.1)

    def _imagine(self, request: Imagine.Request, response: Imagine.Response) -> Imagine.Response:
        self.asked.append(request)
        if self._stuck:
            self._end.wait()
        images = np.full((9, 2, 64, 64, 3), 100, np.uint8)
        response.success, response.world_model_version = True, 1
        response.real = synthetic_to_message(self._segment(images, request), Time())
        response.imagined = synthetic_to_message(self._segment(images + np.uint8(5), request), Time())
        return response

    @staticmethod
    def _segment(images: np.ndarray, request: Imagine.Request) -> SyntheticSegment:
        steps = len(images) - 1
        zeros = np.zeros(steps, np.float32)
        return SyntheticSegment(
            images=images,
            proprio=np.zeros((steps + 1, 10), np.float32),
            actions=np.zeros((steps, 7), np.float32),
            rewards=zeros,
            terminated=np.zeros(steps, np.bool_),
            uncertainty=zeros,
            success_probability=zeros,
            success=False,
            source_episode=request.episode,
            source_step=request.start_step,
            world_model_version=1,
            run=RUN,
        )

    def status(self, transitions: int) -> None:
        status = WorldModelStatus(run=RUN, publisher="worldmodel", state=WorldModelStatus.GENERATING)
        status.version, status.horizon, status.transitions = 1, 8, transitions
        status.psnr, status.ssim, status.psnr_copy_last = 30.5, 0.93, 20.0
        self.world.publish(status)
        self.pacing.publish(PacingStatus(run=RUN, enabled=True, rho=0.25, rho_max=0.3))

    def close(self) -> None:
        self._end.set()
        self._thread.join()
        self._executor.shutdown()


@pytest.fixture
def plan(tmp_path: Path) -> prepare.Plan:
    overrides = ("run.eval_every=0", "run.final_eval_episodes=2")
    plan = prepare.plan(
        Request("train", method="hil_serl", machine="cpu", steps=80, overrides=overrides), tmp_path
    )
    plan.begin().close()
    return plan


@pytest.fixture
def cell(monkeypatch: pytest.MonkeyPatch, ros_domain: int) -> Iterator[FakeStatuses]:
    monkeypatch.setenv("ROS_DOMAIN_ID", str(ros_domain))  # of the dashboards that the test starts
    context = Context()
    rclpy.init(args=[], context=context, domain_id=ros_domain)
    node = FakeStatuses(context)
    yield node
    node.destroy_node()
    context.try_shutdown()


def start(plan: prepare.Plan, **environment: str) -> subprocess.Popen[str]:
    spec = process_for(dashboard({"config": str(plan.folder.config)}))
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", **environment}
    return subprocess.Popen(
        list(spec.command), env=environment, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent()
    )


def test_a_run_from_its_first_episode_to_its_report(
    plan: prepare.Plan, cell: FakeStatuses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = install(tmp_path, monkeypatch)
    run = dataclasses.replace(plan.settings.run, wandb="arms")
    write_config(plan.folder.config, dataclasses.replace(plan.settings, run=run))
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
    assert calls(noted, "init") and calls(noted, "finish")
    assert any("eval/success" in call["row"] for call in calls(noted, "log"))
    lines = [line for line in output.splitlines() if line.startswith(LIVE_MARK)]
    assert any("80/80 real steps · success 1.00" in line for line in lines)


def run_with_world(plan: prepare.Plan, cell: FakeStatuses, world: World) -> tuple[str, dict[str, Any]]:
    """A run of 40 steps with a world model. Returns what the dashboard said, and the summary."""
    process = start(plan, WORLDSAMPLE_LIVE_LINE="1")
    cell.wait_for_dashboard()
    end = time.monotonic() + 40
    for index in range(40):
        if index == 0:
            cell.episode("train", 3, steps=20, real_steps=20, path="episodes/episode_000003")
        cell.status(PolicyStatus.TRAIN, 20 + index)
        world.status(100 * index)
        if index >= 10 and (world._stuck or pictures(plan.folder.imagined)):
            break
        time.sleep(0.5)
    while process.poll() is None and time.monotonic() < end:
        cell.status(PolicyStatus.DONE, 80)
        time.sleep(0.2)
    output, _ = process.communicate(timeout=5)
    assert process.returncode == 0
    return output, json.loads(plan.folder.summary.read_text())


def test_a_world_model_is_asked_for_its_imagination_and_shown(plan: prepare.Plan, cell: FakeStatuses) -> None:
    world = World(cell)
    try:
        output, summary = run_with_world(plan, cell, world)
    finally:
        world.close()
    assert [(r.episode, r.start_step, r.counterfactual) for r in world.asked] == [(3, 12, False)]
    assert (summary["psnr"], summary["ssim"]) == (30.5, 0.93) and summary["synthetic_transitions"] >= 900
    ((_, shown),) = pictures(plan.folder.imagined)
    assert (shown.version, shown.episode, shown.start_step) == (1, 3, 12)
    assert shown.quality.psnr["wrist"] == pytest.approx([34.15] * 8, abs=0.01)
    assert "version 1: episode 3, steps 12 to 20" in plan.folder.report.read_text()
    assert " imagined · PSNR 30.5 dB · rho 0.25" in output


def test_a_world_model_that_never_answers_holds_nothing_up(plan: prepare.Plan, cell: FakeStatuses) -> None:
    world = World(cell, stuck=True)
    try:
        output, summary = run_with_world(plan, cell, world)
    finally:
        world.close()
    assert len(world.asked) == 1 and summary["finished"]
    assert len(read_history(plan.folder.metrics).statuses["worldmodel"]) >= 4
    assert output.count(LIVE_MARK) >= 5


def test_asked_to_stop_it_leaves_a_report_and_a_later_session_goes_on(
    plan: prepare.Plan, cell: FakeStatuses
) -> None:
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

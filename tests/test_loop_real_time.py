"""Real time: acting never waits for the learner; a silent camera holds the arm, then ends the run."""

from __future__ import annotations

import itertools
import signal
import time

import pytest

pytest.importorskip("worldsample_msgs")
from tests.loop_graph import Graph
from worldsample_msgs.msg import LearnerStatus

pytestmark = pytest.mark.alone  # real processes, in real time


def test_a_stopped_learner_costs_no_control_tick(loop_graph: Graph) -> None:
    graph, heard = loop_graph, loop_graph.heard
    config = graph.configure(
        run={"lockstep": False, "demos": 1, "publish_every": 5},
        task={"max_real_steps": 10_000},
        learner={"training_starts": 5},
    )
    graph.start("cell", config)
    learner = graph.start("learner", config)
    policy = graph.start("policy", config)
    graph.until(lambda: heard.learner and heard.learner.state == LearnerStatus.TRAINING, "training")
    graph.until(lambda: heard.policy and heard.policy.weights_version > 1, "new weights")
    learner.signal(signal.SIGSTOP)
    began, first = time.monotonic(), graph.real_steps
    seconds = 6.0
    time.sleep(seconds)
    steps = graph.real_steps - first
    elapsed = time.monotonic() - began
    learner.signal(signal.SIGCONT)
    assert steps / elapsed > 7.0  # less than 10 for the resets between episodes
    commands = [at for at in heard.commands if at > began]
    gaps = [b - a for a, b in itertools.pairwise(commands)]
    assert sorted(gaps)[len(gaps) // 2] == pytest.approx(0.1, abs=0.02)
    assert heard.policy is not None
    assert 0.0 < heard.policy.weights_latency_ms < 2000.0
    completed = heard.learner.completed_steps if heard.learner else 0
    graph.until(lambda: heard.learner and heard.learner.completed_steps > completed + 20, "catching up")
    policy.signal(signal.SIGINT)
    assert policy.wait() == 0


def test_a_silent_camera_holds_the_arm_and_then_ends_the_run(loop_graph: Graph) -> None:
    graph, heard = loop_graph, loop_graph.heard
    config = graph.configure(run={"lockstep": False, "mode": "demos", "demos": 50})
    graph.start("cell", config, ["silent:=wrist", "silent_after:=20"])
    policy = graph.start("policy", config, ["sensor_timeout:=3.0"])
    graph.until(lambda: heard.policy and "/wrist/color/image_raw" in heard.policy.detail, "holding")
    held = len(heard.commands)
    assert held > 0  # it acted before
    time.sleep(0.5)
    assert len(heard.commands) == held
    assert policy.wait() == 1
    last = policy.output.strip().splitlines()[-1]
    assert "/wrist/color/image_raw is silent" in last
    assert "log" in last
    assert not list((config.parent / "episodes").glob("*.journal"))

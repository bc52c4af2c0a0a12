"""The closed loop over real topics, and what it leaves behind; nothing is lost when a process is killed."""

from __future__ import annotations

import json
import signal
import time

import numpy as np
import pytest

pytest.importorskip("worldsample_msgs")
from tests.loop_graph import Graph
from worldsample_core.episodes.episode_bag import read_metadata, read_transitions
from worldsample_core.episodes.episode_store import find_bags
from worldsample_msgs.msg import LearnerStatus, PolicyStatus

pytestmark = pytest.mark.slow


def test_the_loop_closes_though_the_learner_is_killed(loop_graph: Graph) -> None:
    graph, heard = loop_graph, loop_graph.heard
    config = graph.configure()
    graph.start("cell", config)
    learner = graph.start("learner", config)
    policy = graph.start("policy", config)
    graph.until(lambda: graph.real_steps >= 45, "training")
    learner.signal(signal.SIGKILL)
    learner.wait()
    versions = max(s.weights_version for s in heard.learner_states)
    time.sleep(0.5)
    heard.learner_states.clear()
    graph.start("learner", config)
    graph.until(policy.ended, "the run")
    assert policy.wait() == 0, policy.output
    graph.until(lambda: heard.learner and heard.learner.state == LearnerStatus.DONE, "the learner's end")

    steps = [t for bag in find_bags(config.parent) for t in read_transitions(bag)]
    assert [t.seq for t in steps] == list(range(len(steps)))
    real = [t for t in steps if t.source == "policy"]
    assert len(real) == 90
    status = heard.learner
    assert status is not None
    assert (status.next_seq, status.real_steps, status.demo_steps) == (len(steps), 90, len(steps) - 90)
    assert status.completed_steps == 90
    assert status.backfilled > 0
    assert status.updates == 2 * (90 - 19)
    assert status.checkpoint_step == 90
    assert all(s.weights_version >= versions for s in heard.learner_states)
    assert status.weights_version > versions
    assert real[-1].policy_version > 0

    evaluations = [
        json.loads(line) for line in (config.parent / "evaluations.jsonl").read_text().splitlines()
    ]
    assert [e["final"] for e in evaluations] == [True, True]
    assert evaluations[-1]["summary"]["policy_version"] == status.weights_version
    summaries = [read_metadata(bag)[0] for bag in find_bags(config.parent)]
    graph.until(lambda: len(heard.episodes) == len(summaries) + 2, "the summaries", 10.0)
    assert heard.policy is not None
    assert heard.policy.phase == PolicyStatus.DONE


def test_a_killed_run_resumes_and_misses_at_most_the_unfinished_step(loop_graph: Graph) -> None:
    graph, heard = loop_graph, loop_graph.heard
    config = graph.configure(run={"final_eval_episodes": 1}, task={"max_real_steps": 60})
    policy = graph.start("policy", config)
    graph.until(lambda: heard.count_publishers("transitions"), "the policy")  # it waits for its cell
    for name in ("cell", "learner"):
        graph.start(name, config)
    graph.until(lambda: graph.real_steps >= 25, "training")
    for process in graph.processes:
        process.signal(signal.SIGKILL)
    policy.wait()
    time.sleep(0.3)
    sent = [seq for _, seq in heard.transitions]
    assert sent == list(range(len(sent)))
    assert list((config.parent / "episodes").glob("*.journal"))
    heard.forget()

    config = graph.configure(run={"final_eval_episodes": 1, "resume": True}, task={"max_real_steps": 60})
    for name in ("cell", "learner"):
        graph.start(name, config)
    policy = graph.start("policy", config)
    graph.until(policy.ended, "the resumed run")
    assert policy.wait() == 0, policy.output
    steps = [t for bag in find_bags(config.parent) for t in read_transitions(bag)]
    assert [t.seq for t in steps] == list(range(len(steps)))
    assert sum(t.source == "policy" for t in steps) == 60
    resumed_from = heard.transitions[0][1]
    assert len(sent) <= resumed_from <= len(sent) + 1  # sent after it was on disk
    assert not list((config.parent / "episodes").glob("*.journal"))
    graph.until(lambda: heard.learner and heard.learner.state == LearnerStatus.DONE, "the learner's end")
    assert heard.learner is not None
    assert (heard.learner.next_seq, heard.learner.real_steps) == (len(steps), 60)


def test_ctrl_c_closes_the_episode_and_exits_cleanly(loop_graph: Graph) -> None:
    graph = loop_graph
    config = graph.configure()
    for name in ("cell", "learner"):
        graph.start(name, config)
    policy = graph.start("policy", config)
    graph.until(lambda: graph.real_steps >= 22, "training")
    for process in graph.processes[1:]:
        process.signal(signal.SIGINT)
        process.signal(signal.SIGTERM)
    assert [process.wait() for process in graph.processes[1:]] == [0, 0], policy.output
    assert not list((config.parent / "episodes").glob("*.journal"))
    last = read_metadata(find_bags(config.parent)[-1])[0]
    assert last.truncated or last.success  # it may just have succeeded
    assert list((config.parent / "checkpoints").glob("step_*"))


def test_a_seed_repeats(loop_graph: Graph) -> None:
    """Every step of two lockstep runs is the same, whatever the machine does meanwhile."""
    graph = loop_graph
    runs = []
    for name in ("first", "second"):
        config = graph.configure(
            name, run={"demos": 1, "final_eval_episodes": 1}, task={"max_real_steps": 45}
        )
        processes = [graph.start(part, config) for part in ("cell", "learner", "policy")]
        graph.until(processes[-1].ended, f"the {name} run")
        for process in processes[:2]:
            process.signal(signal.SIGINT)
            assert process.wait() == 0
        runs.append([t for bag in find_bags(config.parent) for t in read_transitions(bag)])
    assert len(runs[0]) == len(runs[1]) > 45
    for first, second in zip(*runs, strict=True):
        assert first.policy_version == second.policy_version
        np.testing.assert_array_equal(first.action, second.action)
        np.testing.assert_array_equal(first.observation.images, second.observation.images)
    assert runs[0][-1].policy_version > 2

"""The world model in the closed loop, as real processes over real DDS.

Imagined segments reach the learner. Neither the world model's death nor a stranger's messages do any harm.
"""

from __future__ import annotations

import array
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("worldsample_msgs")
from tests.loop_graph import Graph
from worldsample_core.episodes.episode_bag import read_transitions
from worldsample_core.episodes.episode_store import find_bags
from worldsample_core.kept_counts import read_counts
from worldsample_core.messages.conversions import synthetic_from_message
from worldsample_core.messages.qos import SYNTHETIC
from worldsample_core.node.parent_death import die_with_parent
from worldsample_msgs.msg import LearnerStatus, SyntheticBatch, WorldModelStatus
from worldsample_msgs.srv import Imagine

pytestmark = pytest.mark.slow

LAG = 24
WORLD: dict[str, Any] = {
    "enabled": True,
    "lag": LAG,
    "patience": 60.0,  # the machine may be busy
    "start_patience": 60.0,
    "adapt_updates": 4,
    "updates_per_step": 0.1,
    "release_every": 30,
    "segments_per_step": 0.5,
    "generation_batch": 4,
    "reward_segments": 4,
    "model": {
        "image_size": 32, "width": 8, "latent": 16, "members": 2, "flow_modes": 2, "keypoints": 2,
        "horizon": 2, "batch": 2, "frames_per_segment": 1, "motions": 8, "warmup": 1, "average": 0.9,
        "autocast": False,
    },
    "reward": {"image_size": 32, "width": 8, "hidden": 16, "updates": 10, "batch": 16},
    "gate": {"psnr": 1.0, "moving_gain": -99.0, "segments": 8},
    "imagination": {"min_length": 1, "uncertainty_limit": 9.0, "box_margin": 9.0, "undecided": 0.0},
}  # fmt: skip
PACED = {
    "pacing": True, "pacing_warmup": 30, "synthetic_batch": 8, "synthetic_uncertainty": 9.0,
    "synthetic_box_margin": 9.0,
}  # fmt: skip


def configure(graph: Graph, name: str = "loop", **world: Any) -> Path:
    run = {"final_eval_episodes": 1}
    return graph.configure(name, run=run, worldmodel={**WORLD, **world}, learner=PACED)


def start(graph: Graph, config: Path) -> tuple[Any, Any]:
    """Start cell, world model and learner; the policy last, when the world model is there.

    Returns the policy and the world model.
    """
    graph.start("cell", config)
    world_model = graph.start("worldmodel", config)
    graph.start("learner", config)
    graph.until(lambda: graph.heard.world_model, "the world model's first word")
    return graph.start("policy", config), world_model


def ends_well(graph: Graph, policy: Any, config: Path) -> LearnerStatus:
    graph.until(policy.ended, "the run")
    assert policy.wait() == 0, policy.output
    graph.until(
        lambda: graph.heard.learner and graph.heard.learner.state == LearnerStatus.DONE, "the learner's end"
    )
    status = graph.heard.learner
    assert status is not None
    assert (status.real_steps, status.completed_steps, status.updates) == (90, 90, 2 * (90 - 19))
    assert sum(t.source == "policy" for bag in find_bags(config.parent) for t in read_transitions(bag)) == 90
    return status


def malformed(run: str) -> list[SyntheticBatch]:
    """Three batches that a stranger might send: of lying sizes, with a NaN, with images of another size."""

    def batch(side: int, **changes: Any) -> SyntheticBatch:
        message = SyntheticBatch(run=run, publisher="stranger", length=1, height=side, width=side)
        message.side = message.wrist = array.array("B", bytes(2 * side * side * 3))
        message.proprio, message.action = [0.0] * 20, [0.0] * 7
        message.reward = message.uncertainty = message.success_probability = [0.0]
        message.terminated = [False]
        for name, value in changes.items():
            setattr(message, name, value)
        return message

    return [batch(32, length=60000), batch(32, proprio=[float("nan")] * 20), batch(16)]


def test_what_it_imagines_reaches_the_learner_and_strangers_do_not(loop_graph: Graph) -> None:
    graph, heard = loop_graph, loop_graph.heard
    config = configure(graph)
    stranger = heard.create_publisher(SyntheticBatch, "synthetic", SYNTHETIC)
    imagine = heard.create_client(Imagine, "worldmodel/imagine")
    policy, world_model = start(graph, config)
    graph.until(lambda: stranger.get_subscription_count() >= 2, "the learner listens")
    for message in malformed("loop") + malformed("another run"):
        stranger.publish(message)
    graph.until(lambda: heard.world_model.completed_steps > 0, "the work after the first real episode")
    first = next(t for bag in find_bags(config.parent) for t in read_transitions(bag) if t.source == "policy")
    asked = Imagine.Request(episode=first.episode, start_step=0, length=2, counterfactual=True, seed=1)
    future = imagine.call_async(asked)
    graph.until(future.done, "an imagined twin")
    answer = future.result()
    assert answer.success, answer.message
    real, twin = synthetic_from_message(answer.real), synthetic_from_message(answer.imagined)
    np.testing.assert_array_equal(real.images[0], first.observation.images)
    np.testing.assert_array_equal(real.images[0], twin.images[0])
    assert not np.array_equal(real.actions, twin.actions)
    assert len(answer.psnr_side) == len(answer.psnr_wrist) == len(twin) > 0
    future = imagine.call_async(Imagine.Request(episode=4_000_000_000))
    graph.until(future.done, "an answer")
    assert not future.result().success and "not in the world model's memory" in future.result().message

    status = ends_well(graph, policy, config)
    assert status.rejected == 3
    world = heard.world_model
    assert world.segments > 5 and world.version >= 2 and world.gate_open
    own = [synthetic_from_message(message) for message in heard.segments if message.publisher == "worldmodel"]
    assert [made.seq for made in own] == list(range(len(own))) and len(own) > 5
    assert all(made.effective_step > LAG for made in own)
    used = sum(made.effective_step <= 90 for made in own)
    pacing = heard.pacing
    assert pacing.rejected_malformed == 3
    refused = pacing.rejected_uncertainty + pacing.rejected_bounds + pacing.rejected_label
    assert pacing.accepted > 0 and pacing.accepted + refused + pacing.rejected_stale == used
    world_model.signal(signal.SIGTERM)
    assert world_model.wait() == 0, world_model.output


@pytest.mark.parametrize("comes_back", [False, True])
def test_the_run_ends_well_though_the_world_model_is_killed(loop_graph: Graph, comes_back: bool) -> None:
    graph, heard = loop_graph, loop_graph.heard
    config = configure(graph, patience=WORLD["patience"] if comes_back else 3.0)
    policy, world_model = start(graph, config)
    graph.until(lambda: len(heard.segments) > 4, "imagined segments")
    world_model.signal(signal.SIGKILL)
    world_model.wait()
    time.sleep(0.5)
    before = [int(message.seq) for message in heard.segments]
    heard.world_model = None
    if comes_back:
        graph.start("worldmodel", config)  # in time: the policy's disk is there while the policy is
    ends_well(graph, policy, config)
    details = {s.detail for s in heard.learner_states}
    assert any("waiting for the world model" in detail for detail in details)
    if not comes_back:
        assert any("without the world model" in detail for detail in details)
        return
    graph.until(
        lambda: heard.world_model and heard.world_model.completed_steps == 90, "the world model catches up"
    )
    status = heard.world_model
    assert status.state == WorldModelStatus.GENERATING and status.episodes > 2
    seqs = [int(message.seq) for message in heard.segments]
    assert seqs[: len(before)] == before and len(seqs) > len(before)
    assert sorted(set(seqs)) == seqs  # numbers go up, over its two lives
    assert status.segments == seqs[-1] + 1


def node_of(folder: Path, name: str) -> int | None:
    """Process id of the node ``name`` of the run in ``folder``."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = path.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(folder) in text and name in text:
            return int(path.parent.name)
    return None


def test_the_command_with_a_killed_world_model(tmp_path: Path, ros_domain: int) -> None:
    folder = tmp_path / "mine"
    quick = ("--quick", "--method", "worldsample", "--machine", "cpu", "--steps", "120", "run.eval_every=0")
    command = [sys.executable, "-m", "worldsample_bringup.cli", "train", "--run-dir", str(folder), *quick]
    environment = {**os.environ, "ROS_DOMAIN_ID": str(ros_domain)}
    with (tmp_path / "output").open("wb") as output:
        run = subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=output, stderr=output, preexec_fn=die_with_parent()
        )

    def published() -> int:
        counts = read_counts(folder / "worldmodel" / "published.json", ["segments"])
        return counts["segments"] if counts else 0

    try:
        end = time.monotonic() + 150
        while published() < 3 and run.poll() is None and time.monotonic() < end:
            time.sleep(0.1)
        killed = node_of(folder, "worldmodel_node")
        assert killed is not None, (tmp_path / "output").read_text()
        os.kill(killed, signal.SIGKILL)
        assert run.wait(150) == 0, (tmp_path / "output").read_text()
    finally:
        if run.poll() is None:
            run.kill()
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["finished"] and summary["real_steps"] == 120
    assert summary["synthetic_transitions"] > 0 and summary["psnr"] > 5.0
    assert "starts again" in (tmp_path / "output").read_text()

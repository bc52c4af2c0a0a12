"""``train --real`` against stand-ins: the real arm's driver in the closed loop, over DDS, as processes."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import rclpy
from rclpy.context import Context
from rclpy.node import Node, NodeNameNonExistentError

from worldsample_bringup.graph.permissions import rights_of_a_cell
from worldsample_bringup.run.run_folder import RunFolder
from worldsample_core.episodes.episode_bag import read_joints, read_transitions
from worldsample_core.episodes.episode_store import find_bags
from worldsample_core.node.parent_death import die_with_parent
from worldsample_core.settings import Settings

pytestmark = pytest.mark.slow

# The watchdogs are generous: what is tested is the loop, on a machine that may be busy with other things.
STAND_INS = (
    "driver.standin=true",
    "driver.watchdog.feedback=1.0",
    "driver.watchdog.command=1.0",
    "driver.watchdog.command_age=2.0",
    "driver.reset.speed=0.8",
    "cameras.max_age=1.0",
    "teleop.timeout=2.0",
)
SETTINGS = (
    *STAND_INS,
    "run.demos=1",
    "run.eval_every=0",
    "run.final_eval_episodes=1",
    "task.horizon=15",
    "learner.encoder_steps=5",
    "worldmodel.adapt_updates=5",
    "worldmodel.reward.updates=5",
    "worldmodel.reward.refit_updates=2",
)


def ends_of_the_graph(
    domain: int, goes_on: Callable[[], bool], patience: float = 280.0
) -> dict[str, tuple[set[str], set[str]]]:
    """DDS topics that each node of a domain has been seen to publish and to subscribe, while it goes on."""
    context = Context()
    rclpy.init(args=[], context=context, domain_id=domain)
    eye = Node("eye", context=context, enable_rosout=False)
    ends: dict[str, tuple[set[str], set[str]]] = {}
    try:
        until = time.monotonic() + patience
        while goes_on() and time.monotonic() < until:
            for name, namespace in eye.get_node_names_and_namespaces():
                publishes, subscribes = ends.setdefault(name, (set(), set()))
                with contextlib.suppress(NodeNameNonExistentError):  # it has just ended
                    found = eye.get_publisher_names_and_types_by_node(name, namespace, no_demangle=True)
                    publishes.update(topic for topic, _ in found)
                    found = eye.get_subscriber_names_and_types_by_node(name, namespace, no_demangle=True)
                    subscribes.update(topic for topic, _ in found)
            time.sleep(0.5)
    finally:
        eye.destroy_node()
        context.try_shutdown()
    return ends


def check_rights(ends: dict[str, tuple[set[str], set[str]]], settings: Settings) -> None:
    """Each node has the rights for what it makes, so that it starts under SROS 2, and no others."""
    rights = {each.node: each for each in rights_of_a_cell(settings)}
    process = {"policy": ("policy", "policy_episodes")}
    every_process = {"ros_discovery_info"}
    # Of another device, and of another world model: neither is in this run.
    not_here = {"operator": {"rt/spacenav/joy"}, "worldmodel": {"rt/worldmodel/status"}}
    for name in ("a1x", "operator", "policy", "learner", "worldmodel", "dashboard"):
        nodes = process.get(name, (name,))
        made = [set().union(*(ends[node][side] for node in nodes)) | every_process for side in (0, 1)]
        assert made[0] == set(rights[name].publish), name
        assert made[1] | not_here.get(name, set()) == set(rights[name].subscribe), name


def test_the_real_cell_trains_against_stand_ins(tmp_path: Path, ros_domain: int) -> None:
    command = [sys.executable, "-m", "worldsample_bringup.cli", "train", "--real", "--quick", "--json"]
    with (tmp_path / "said").open("w") as said:
        run = subprocess.Popen(
            [*command, "--machine", "cpu", "--steps", "25", "--name", "real", *SETTINGS],
            cwd=tmp_path,
            env={
                **os.environ,
                "ROS_DOMAIN_ID": str(ros_domain),
                "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
            },
            stdout=said,
            stderr=subprocess.STDOUT,
            preexec_fn=die_with_parent(),
        )
        try:
            ends = ends_of_the_graph(ros_domain, lambda: run.poll() is None)
            code = run.wait(timeout=10)
        finally:
            run.kill()  # nothing of it works on beside the next tests
    text = (tmp_path / "said").read_text()
    assert code == 0, text
    summary = json.loads(text.splitlines()[-1])
    assert summary["finished"] and summary["real_steps"] == 25 and summary["demo_episodes"] >= 1
    folder = RunFolder(tmp_path / "runs" / "real")
    transitions = [t for bag in find_bags(folder.path) for t in read_transitions(bag)]
    assert [t.seq for t in transitions] == list(range(len(transitions)))
    assert any(t.intervention for t in transitions), "the person's gamepad drove"
    reach = [t.observation.proprio[:3] for t in transitions]
    assert max(abs(reach[0] - p).max() for p in reach) > 0.01, "the arm moved"
    joints = [reading for bag in find_bags(folder.path) for reading in read_joints(bag)]
    assert sum(reading is not None for reading in joints) > 0.9 * len(joints), "joints came with the poses"
    check_rights(ends, folder.settings())
    arm = (folder.logs / "standin_arm.log").read_text()
    assert "jumped" not in arm and "Traceback" not in arm

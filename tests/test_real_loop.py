"""``train --real`` against stand-ins: the real arm's driver in the closed loop, over DDS, as processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from worldsample_bringup.run.run_folder import RunFolder
from worldsample_core.episodes.episode_bag import read_transitions
from worldsample_core.episodes.episode_store import find_bags
from worldsample_core.node.parent_death import die_with_parent

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
    "learner.pretrain_updates=50",
)


def test_the_real_cell_trains_against_stand_ins(tmp_path: Path, ros_domain: int) -> None:
    command = [sys.executable, "-m", "worldsample_bringup.cli", "train", "--real", "--quick", "--json"]
    result = subprocess.run(
        [*command, "--machine", "cpu", "--steps", "25", "--name", "real", *SETTINGS],
        cwd=tmp_path,
        env={**os.environ, "ROS_DOMAIN_ID": str(ros_domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=280,
        preexec_fn=die_with_parent(),
        check=False,
    )
    assert result.returncode == 0, result.stdout
    summary = json.loads(result.stdout.splitlines()[-1])
    assert summary["finished"] and summary["real_steps"] == 25 and summary["demo_episodes"] >= 1
    folder = RunFolder(tmp_path / "runs" / "real")
    transitions = [t for bag in find_bags(folder.path) for t in read_transitions(bag)]
    assert [t.seq for t in transitions] == list(range(len(transitions)))
    assert any(t.intervention for t in transitions), "the person's gamepad drove"
    reach = [t.observation.proprio[:3] for t in transitions]
    assert max(abs(reach[0] - p).max() for p in reach) > 0.01, "the arm moved"
    arm = (folder.logs / "standin_arm.log").read_text()
    assert "jumped" not in arm and "Traceback" not in arm

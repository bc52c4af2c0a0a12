"""WMPO and VLAW as a person starts them: every node for real, what is imagined reaches the learner. One
task has a gripper, which the policy commands in the imagination, too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ros_domain import own_domain
from worldsample_bringup.run.history import read_history
from worldsample_bringup.run.run_folder import RunFolder

pytestmark = pytest.mark.slow

TASKS = {"wmpo": "pushing", "vlaw": "pick_place"}
STEPS = 160
"""More than the longest episode, 80, and the lag: the learner has to wait for what the first one is worth."""


def start(folder: RunFolder, method: str, domain: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "worldsample_bringup.cli", "train", "--run-dir", str(folder.path)),
            *("--quick", "--task", TASKS[method], "--method", method, "--machine", "cpu"),
            *("--steps", str(STEPS)),
            *("run.eval_every=0", "run.demos=2", "run.final_eval_episodes=1", "worldmodel.patience=30.0"),
            *("learner.imitation_updates=20", "worldmodel.adapt_updates=5", "worldmodel.reward.updates=10"),
        ],
        cwd=folder.path.parent,
        env={**os.environ, "ROS_DOMAIN_ID": str(domain)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_quick_runs_side_by_side(tmp_path: Path) -> None:
    folders = {method: RunFolder(tmp_path / method) for method in TASKS}
    with own_domain() as first, own_domain() as second:
        domains = dict(zip(folders, (first, second), strict=True))
        runs = {method: start(folder, method, domains[method]) for method, folder in folders.items()}
        outputs = {method: run.communicate(timeout=240)[0] for method, run in runs.items()}
    for method, said, each_step in (("wmpo", "groups", 1), ("vlaw", "rollouts", 2)):
        folder = folders[method]
        assert runs[method].returncode == 0, outputs[method]
        summary = json.loads(folder.summary.read_text())
        assert summary["finished"] and summary["method"] == method and summary["real_steps"] == STEPS
        assert summary["synthetic_transitions"] > 0 and summary["checkpoint"] == f"checkpoints/step_{STEPS}"
        learner = read_history(folder.metrics).statuses["learner"]
        assert any(said in str(record["detail"]) for record in learner)
        assert learner[-1]["updates"] == 20 + (STEPS - 19) * each_step
        assert learner[-1]["skipped_updates"] == 0

"""WMPO and VLAW as a person starts them: every node for real, what is imagined reaches the learner."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from worldsample_bringup.history import read_history
from worldsample_bringup.run_folder import RunFolder

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("method", "domain", "said"), [("wmpo", "98", "groups"), ("vlaw", "99", "rollouts")])
def test_a_quick_run(tmp_path: Path, method: str, domain: str, said: str) -> None:
    folder = RunFolder(tmp_path / "mine")
    result = subprocess.run(
        [
            *(sys.executable, "-m", "worldsample_bringup.cli", "train", "--run-dir", str(folder.path)),
            *("--quick", "--method", method, "--machine", "cpu", "--steps", "100"),
            *("run.eval_every=0", "run.demos=2", "run.final_eval_episodes=1", "worldmodel.patience=15.0"),
            *("learner.imitation_updates=20", "worldmodel.adapt_updates=5", "worldmodel.reward.updates=10"),
        ],
        cwd=tmp_path,
        env={**os.environ, "ROS_DOMAIN_ID": domain},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
        check=False,
    )
    assert result.returncode == 0, result.stdout
    summary = json.loads(folder.summary.read_text())
    assert summary["finished"] and summary["method"] == method and summary["real_steps"] == 100
    assert summary["synthetic_transitions"] > 0 and summary["checkpoint"] == "checkpoints/step_100"
    learner = read_history(folder.metrics).statuses["learner"]
    assert any(said in str(record["detail"]) for record in learner)
    assert learner[-1]["updates"] == 20 + (100 - 19) * (1 if method == "wmpo" else 2)
    assert learner[-1]["skipped_updates"] == 0

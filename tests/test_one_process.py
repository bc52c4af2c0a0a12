"""A run in one process: its folder is the graph's, it stops and goes on, it refuses what needs the graph."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fake_wandb import calls, install
from tests.short_runs import ShortRun, command
from worldsample_bringup.dashboard.imagined import pictures
from worldsample_bringup.run.history import read_history
from worldsample_bringup.run.run_folder import RunFolder
from worldsample_core.episodes.episode_bag import read_joints, read_transitions
from worldsample_core.episodes.episode_store import bag_name, find_bags
from worldsample_core.node.parent_death import die_with_parent

pytestmark = pytest.mark.slow


def start(folder: RunFolder, method: str, *changes: str) -> subprocess.Popen[str]:
    """A short run in one process."""
    return subprocess.Popen(
        command(folder, method, "--one-process", *changes),
        cwd=folder.path.parent,
        env=dict(os.environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=die_with_parent(),
    )


def ended(process: subprocess.Popen[str], folder: RunFolder) -> ShortRun:
    """The run, once it has ended."""
    output = process.communicate(timeout=300)[0]
    return ShortRun(folder, process.returncode, output)


def test_killed_and_resumed_it_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step that was recorded before the kill reaches the learner once, and the run comes to its end.

    Its curves at Weights & Biases go on, too.
    """
    noted = install(tmp_path, monkeypatch)
    folder = RunFolder(tmp_path / "killed")
    changes = ("task.max_real_steps=70", "run.checkpoint_every=30", "run.wandb=arms")
    process = start(folder, "worldsample", *changes)
    until = time.monotonic() + 200
    while not (folder.checkpoints / "step_30").is_dir() and time.monotonic() < until:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    cut = folder.episodes / bag_name(len(find_bags(folder.path)))  # whose joints the kill has cost
    before = {bag: [t.seq for t in read_transitions(bag)] for bag in find_bags(folder.path)}
    resumed = subprocess.run(
        [sys.executable, "-m", "worldsample_bringup.cli", "train", "--one-process", "--resume", folder.path],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    recorded = [t for bag in find_bags(folder.path) for t in read_transitions(bag)]
    assert [t.seq for t in recorded] == list(range(len(recorded)))
    assert before and all([t.seq for t in read_transitions(bag)] == seqs for bag, seqs in before.items())
    learner = read_history(folder.metrics).statuses["learner"][-1]
    assert learner["real_steps"] + learner["demo_steps"] == len(recorded) == learner["next_seq"]
    assert learner["real_steps"] == 70 and learner["duplicates"] == 0
    assert pictures(folder.imagined), "no picture of what was imagined"
    for bag in set(find_bags(folder.path)) - {cut}:
        assert None not in read_joints(bag), f"{bag} lacks joints"
    ids = [call["id"] for call in calls(noted, "init")]
    logged = {tag for call in calls(noted, "log") for tag in call["row"]}
    assert len(ids) == 2 and len(set(ids)) == 1
    assert {"learner/critic_loss", "train/success_last_20", "imagined/real_above_imagined"} <= logged


def test_ctrl_c_keeps_everything(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "stopped")
    process = start(folder, "hil_serl", "task.max_real_steps=100000")
    until = time.monotonic() + 200
    while len(find_bags(folder.path)) < 4:  # two demonstrations and more
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    run = ended(process, folder)
    assert run.code == 130 and "Traceback" not in run.output and "--resume" in run.output
    assert folder.checkpoint_steps() and folder.read_summary()["real_steps"] > 0


@pytest.mark.parametrize("asked", [("--real",), ("--realtime",), ("worldmodel.nodes=2",)])
def test_what_needs_the_graph_is_refused(tmp_path: Path, asked: tuple[str, ...]) -> None:
    folder = RunFolder(tmp_path / "refused")
    words = [sys.executable, "-m", "worldsample_bringup.cli", "train", "--one-process"]
    done = subprocess.run(
        [*words, "--run-dir", str(folder.path), *asked], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and "--one-process" in done.stderr and not folder.path.exists()

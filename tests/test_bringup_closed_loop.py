"""``train --quick`` as a person starts it: every node for real, killed in the middle, resumed, evaluated."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rosbags.highlevel import AnyReader

from tests.ros_domain import own_domain
from worldsample_bringup.run.history import read_history
from worldsample_bringup.run.run_folder import RunFolder
from worldsample_core.episodes.episode_bag import read_transitions
from worldsample_core.episodes.episode_store import find_bags
from worldsample_core.episodes.standard_messages import StandardMessages
from worldsample_core.node.parent_death import die_with_parent

pytestmark = pytest.mark.slow

BUDGET = 130
QUICK = (
    "--method",
    "hil_serl",
    "--quick",
    "--machine",
    "cpu",
    "--steps",
    str(BUDGET),
    "run.eval_every=60",
    "run.demos=2",
)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "worldsample_bringup.cli", *arguments]


def run(folder: Path, domain: int, *arguments: str) -> tuple[int, str]:
    environment = {**os.environ, "ROS_DOMAIN_ID": str(domain)}
    result = subprocess.run(
        command(*arguments),
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        timeout=240,
        preexec_fn=die_with_parent(),
        check=False,
    )
    return result.returncode, result.stdout


def nodes_of(folder: Path) -> list[int]:
    """Processes whose command line names the folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = path.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(folder) in text and "_node" in text:
            found.append(int(path.parent.name))
    return found


def wait_until(condition: Callable[[], Any], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.1)
    return bool(condition())


@pytest.fixture(scope="module")
def domain() -> Iterator[int]:
    with own_domain() as own:
        yield own


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, domain: int) -> tuple[Path, str]:
    """A run that was killed with SIGKILL after its first training episode, and resumed to its end."""
    work = tmp_path_factory.mktemp("work")
    folder = RunFolder(work / "runs" / "mine")
    environment = {**os.environ, "ROS_DOMAIN_ID": str(domain)}
    first = subprocess.Popen(
        command("train", "--name", "mine", *QUICK),
        cwd=work,
        env=environment,
        stdout=subprocess.DEVNULL,
        preexec_fn=die_with_parent(),
    )
    assert wait_until(lambda: read_history(folder.metrics).train or first.poll() is not None, 120)
    assert first.poll() is None and len(nodes_of(folder.path)) == 5
    first.kill()
    first.wait()
    assert wait_until(lambda: not nodes_of(folder.path), 5), "nodes outlived their runner"
    code, output = run(work, domain, "train", "--resume", "--json")
    assert code == 0, output
    return work, output


def test_the_run_folder_is_complete(finished: tuple[Path, str]) -> None:
    work, output = finished
    folder = RunFolder(work / "runs" / "mine")
    summary = json.loads(output.splitlines()[-1])
    assert summary == {**folder.read_summary(), "run_dir": str(folder.path), "exit_code": 0}
    assert summary["finished"] and summary["real_steps"] == BUDGET and summary["eval_episodes"] == 4
    assert (
        summary["demo_episodes"] == 2 and (folder.path / summary["checkpoint"] / "checkpoint.json").exists()
    )
    assert len(summary["eval_history"]) >= 2
    assert "data:image/png" in folder.report.read_text()
    assert list(folder.tensorboard.glob("events.*")) and folder.settings().run.resume
    for name in ("a1x", "operator", "policy", "learner", "dashboard"):
        assert (folder.logs / f"{name}.log").exists()


def test_no_step_is_lost_or_doubled(finished: tuple[Path, str]) -> None:
    folder = RunFolder(finished[0] / "runs" / "mine")
    transitions = [t for bag in find_bags(folder.path) for t in read_transitions(bag)]
    assert [t.seq for t in transitions] == list(range(len(transitions)))
    assert sum(t.source == "policy" for t in transitions) == BUDGET
    history = read_history(folder.metrics)
    assert sum(r["steps"] for r in history.train) == BUDGET and len(history.starts) == 2
    learner = history.latest("learner")
    assert learner["next_seq"] == len(transitions) and learner["real_steps"] == BUDGET


def test_episodes_are_rosbags(finished: tuple[Path, str]) -> None:
    folder = RunFolder(finished[0] / "runs" / "mine")
    standard = StandardMessages.of(folder.settings())
    assert standard is not None
    with AnyReader([find_bags(folder.path)[0]]) as reader:
        topics = {c.topic for c in reader.connections}
        assert topics == {"/transitions", "/episodes", *standard.topics}
        counts = {c.topic: c.msgcount for c in reader.connections}
        assert counts["/joint_states"] == counts["/a1x/ee_pose"] == counts["/transitions"] + 1


def test_its_checkpoint_can_be_evaluated(finished: tuple[Path, str], domain: int) -> None:
    code, output = run(finished[0], domain, "eval", "--episodes", "2", "--json")
    result = json.loads(output.splitlines()[-1])
    assert code == 0 and result["eval_episodes"] == 2 and result["real_steps"] == BUDGET
    assert Path(result["run_dir"]).parent == finished[0] / "runs" / "mine" / "eval"

"""``worldsample watch`` with real processes: a run that is watched live, and a finished one again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

pytest.importorskip("worldsample_msgs")
pytest.importorskip("rerun", reason="the optional package rerun-sdk is not installed")
from rerun.chunk import RrdReader

from tests.ros_domain import own_domain
from worldsample_bringup import cli
from worldsample_bringup.run.run_folder import RunFolder
from worldsample_core.node.parent_death import die_with_parent

pytestmark = [pytest.mark.slow, pytest.mark.real_time]
"""The viewer is nicer than everything else once it is there: beside busy tests it starves."""

QUICK = ("--quick", "--machine", "cpu", "--steps", "90", "run.demos=2", "run.eval_every=0")
LESS = ("worldmodel.adapt_updates=5", "worldmodel.reward.updates=10")
PATIENCE = 300.0
"""s that a quick run may take on a loaded machine."""
RELEASE = ("worldmodel.patience=300", "sim.learner_patience=300", "worldmodel.release_every=20")


def start(folder: Path, domain: int, output: IO[bytes], *arguments: object) -> subprocess.Popen[bytes]:
    """Start a command of worldsample in a folder."""
    return subprocess.Popen(
        [sys.executable, "-m", "worldsample_bringup.cli", *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "ROS_DOMAIN_ID": str(domain)},
        stdout=output,
        stderr=subprocess.STDOUT,
        preexec_fn=die_with_parent(),
    )


def rows(path: Path) -> Counter[str]:
    """Number of rows of a recording on disk, by entity; what has no time is apart."""
    found: Counter[str] = Counter()
    for chunk in RrdReader(path).stream().to_chunks():
        entity = chunk.entity_path.lstrip("/")
        found[f"static {entity}" if chunk.is_static else entity] += chunk.num_rows
    return found


def free_port() -> int:
    """The first of three ports that are free now."""
    for port in range(23000 + os.getpid() % 4000, 32000, 3):
        try:
            for each in range(port, port + 3):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", each))
        except OSError:
            continue
        return port
    raise RuntimeError("no ports are free")


def viewer_of(run: Path) -> int | None:
    """Process id of the viewer that a run has started."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if "watch" in words and str(run) in words:
            return int(path.parent.name)
    return None


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunFolder, str, str, Counter[str]]]:
    """A quick run with a page that is killed in the middle of it, and with a recording beside.

    Its folder, its output, the page's text, and what the recording holds.
    """
    work = tmp_path_factory.mktemp("watch")
    folder, log, file, port = (
        RunFolder(work / "runs" / "mine"),
        work / "train.log",
        work / "live.rrd",
        free_port(),
    )
    page = ""
    with own_domain() as domain, log.open("wb") as output, (work / "watch.log").open("wb") as told:
        options = ("--watch", "--watch-port", port, *QUICK, *LESS, *RELEASE)
        train = start(work, domain, output, "train", "--name", "mine", *options)
        end = time.monotonic() + PATIENCE
        while not folder.config.exists() and train.poll() is None and time.monotonic() < end:
            time.sleep(0.1)
        recorder = start(work, domain, told, "watch", "mine", "--save", file)
        while not page and train.poll() is None and time.monotonic() < end:
            time.sleep(0.2)
            if "The live view of" in log.read_text():
                with urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=30) as answer:
                    page = answer.read().decode()
        viewer = viewer_of(folder.path)
        assert viewer is not None and train.poll() is None, log.read_text()
        threads = [int(task.name) for task in Path(f"/proc/{viewer}/task").iterdir()]
        assert {os.getpriority(os.PRIO_PROCESS, each) for each in threads} == {19}  # the run comes first
        os.kill(viewer, signal.SIGKILL)
        try:
            assert train.wait(timeout=PATIENCE) == 0, log.read_text()
            assert recorder.wait(timeout=60) == 0, (work / "watch.log").read_text()
        finally:
            train.kill()
            recorder.kill()
    yield folder, log.read_text(), page, rows(file)


@pytest.mark.slow
def test_the_page_of_a_watched_run_answers(watched: tuple[RunFolder, str, str, Counter[str]]) -> None:
    assert "re_viewer.js" in watched[2]


@pytest.mark.slow
def test_a_run_outlives_its_viewer(watched: tuple[RunFolder, str, str, Counter[str]]) -> None:
    folder, output, _, _ = watched
    assert "ended with exit code 137; the run goes on without it" in output
    assert "Training is complete." in output and folder.read_summary()["finished"]
    assert folder.read_summary()["lockstep_lapses"] == 0


@pytest.mark.slow
def test_a_live_recording_has_everything(watched: tuple[RunFolder, str, str, Counter[str]]) -> None:
    found = watched[3]
    for view in ("side", "wrist"):
        assert found[f"cameras/{view}"] > 10
        assert found[f"imagination/{view}/imagined"] > 3 and found[f"imagination/{view}/real"] > 3
    curves = (
        "success/success_last_20",
        "pacing/rho",
        "pacing/entropy_normalised",
        "q/q_gap",
        "queues/success",
    )
    for name in (*curves, "imagination/uncertainty", "success/interventions_last_20", "worldmodel/psnr"):
        assert found[name] > 3, (name, found)
    for name in (
        "success/evaluation",
        "scene/joints/arm_joint1",
        "scene/commanded_gripper",
        "static scene/workspace",
        "timeline/driver",
    ):
        assert found[name] > 0, (name, found)
    assert found["nodes/age/learner"] > 3 and found["nodes/table"] > 3 and found["log"] > 2


@pytest.mark.slow
def test_a_finished_run_is_shown_again(
    watched: tuple[RunFolder, str, str, Counter[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = watched[0]
    summary, file = folder.read_summary(), tmp_path / "again.rrd"
    assert cli.main(["watch", str(folder.path), "--save", str(file)]) == 0
    steps = summary["real_steps"] + summary["demo_steps"]
    assert f"with {steps} steps" in capsys.readouterr().out
    found = rows(file)
    assert found["cameras/side"] == found["cameras/wrist"] == found["scene/gripper"] == steps
    assert found["imagination/comparison"] == len(list(folder.imagined.glob("*.png"))) > 0
    assert found["success/success_last_20"] > 3 and found["success/evaluation"] > 0


def test_what_cannot_be_watched_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["watch", "nosuch"]) == 2
    assert "there is no run 'nosuch'" in capsys.readouterr().err
    assert cli.main(["watch", "--save", "film.mp4"]) == 2
    assert "ends in .rrd" in capsys.readouterr().err
    monkeypatch.setenv("ROS_DOMAIN_ID", "many")
    assert cli.main(["watch", "--save", "film.rrd"]) == 2
    assert "ROS_DOMAIN_ID is 'many'" in capsys.readouterr().err
    monkeypatch.setattr("worldsample_bringup.run.required_packages.find_spec", lambda name: None)
    for command in (["watch"], ["train", "--quick", "--watch"]):
        assert cli.main(command) == 2
        told = capsys.readouterr().err
        assert "missing: rerun" in told and "pip install" in told
    assert not (tmp_path / "runs").exists()

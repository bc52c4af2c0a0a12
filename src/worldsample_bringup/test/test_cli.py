"""The command line: help without a set-up, errors in words, and a whole session with scripts as nodes."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from worldsample_bringup import cli
from worldsample_bringup.graph import run_session
from worldsample_bringup.graph.domain import DomainClaim
from worldsample_bringup.graph.node_command import ProcessSpec
from worldsample_bringup.graph.node_spec import NodeSpec
from worldsample_bringup.run.options import OPTIONS, options_of
from worldsample_bringup.run.run_folder import RunFolder

BRINGUP = Path(__file__).parent.parent
COMMANDS = (
    "train",
    "eval",
    "demos",
    "label",
    "bench",
    "export",
    "dataset",
    "imagine",
    "report",
    "settings",
    "topics",
    "permissions",
    "test",
    "check",
)


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_needs_the_standard_library_only(command: str) -> None:
    """As on a machine where nothing is installed yet."""
    arguments = [
        sys.executable,
        "-S",
        "-m",
        "worldsample_bringup.cli",
        *([command] if command else []),
        "--help",
    ]
    environment = {"PYTHONPATH": str(BRINGUP), "PATH": os.environ["PATH"]}
    result = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert f"usage: {cli.BESIDE_ROS}" in result.stdout
    if command in ("train", "eval", "demos", "label"):
        for option in options_of(command):  # type: ignore[arg-type]
            assert "--" + option.name.replace("_", "-") in result.stdout
        assert "--json" in result.stdout and "section.key=value" in result.stdout
    if not command:
        assert all(name in result.stdout for name in COMMANDS)


def test_every_option_is_documented_with_its_default() -> None:
    for option in OPTIONS:
        assert len(option.help) > 10 and not option.help.endswith(".")


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ros_domain: int) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROS_DOMAIN_ID", str(ros_domain))
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--task", "pusing"], "did you mean 'pushing'"),
        (["train", "--method", "ppo"], "unknown method"),
        (["train", "learner.lrr=1"], "unknown setting"),
        (["train", "nonsense"], "unknown argument 'nonsense'"),
        (["train", "--fast"], "unknown argument '--fast'"),
        (["train", "--taks", "pushing"], "did you mean --task?"),
        (["demos", "--episodes", "0"], "--episodes is at least 1, got 0"),
        (["eval", "--episodes", "-1"], "--episodes is at least 1, got -1"),
        (["bench", "loop", "--seconds", "0"], "--seconds is at least 1"),
        (["imagine", "--out", "x.png", "--perturbe=3"], "did you mean --perturb?"),
        (["train", "--quick", "learner.lr"], "say learner.lr=VALUE"),
        (["train", "--seed", "-1"], "a seed is 0 .. 2^63 - 1, got -1"),
        (["train", "--name", "../mine"], "--run-dir ../mine"),
        (["train", "--operator", "keyboard", "--one-process"], "leave out --operator"),
        (["train", "--no-sim"], "driver.cameras.side_serial"),
        (["train", "--real", "--sim"], "contradict each other"),
        (["train", "--resume"], "no unfinished run"),
        (["train", "--resume", "run.demos=3"], "no unfinished run"),
        (["label", "--episodes", "3"], "unknown argument '--episodes'"),
        (["eval"], "no run with a checkpoint"),
        (["report", "nothing"], "no run 'nothing'"),
    ],
)
def test_what_is_wrong_is_said_in_a_line_or_two(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert cli.main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"worldsample {arguments[0]}: ") and message in error and error.count("\n") <= 3
    assert not (tmp_path / "runs").exists()


def test_a_second_run_on_the_domain_is_refused_and_leaves_no_folder(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, ros_domain: int
) -> None:
    claim = DomainClaim(ros_domain, "train in /elsewhere")
    try:
        assert cli.main(["train", "--machine", "cpu"]) == 2
    finally:
        claim.release()
    error = capsys.readouterr().err
    assert "train in /elsewhere" in error
    advised = re.search(r"ROS_DOMAIN_ID=(\d+)", error)
    assert advised and int(advised[1]) != ros_domain
    assert not (tmp_path / "runs").exists()


SCRIPTS = {
    "a1x": "print('INFO cell is up'); time.sleep(60)",
    "operator": "time.sleep(60)",
    "policy": "time.sleep(60)",
    "learner": "time.sleep(60)",
    "worldmodel": "time.sleep(60)",
    "dashboard": "time.sleep(0.5)",
}


def with_scripts(monkeypatch: pytest.MonkeyPatch, **scripts: str) -> None:
    """Scripts in place of the nodes."""

    def process_for(node: NodeSpec) -> ProcessSpec:
        code = "import sys, time\n" + {**SCRIPTS, **scripts}[node.name]
        command = [sys.executable, "-S", "-E", "-u", "-c", code]
        return ProcessSpec(node.name, command, on_exit=node.on_exit, grace=0.5, stop_last=node.stop_last)

    monkeypatch.setattr(run_session, "process_for", process_for)


def test_a_session_tells_where_everything_is_and_ends_with_json(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path, ros_domain: int
) -> None:
    with_scripts(monkeypatch)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert cli.main(["train", "--machine", "cpu", "--quick", "--json", "run.demos=2"]) == 0
    lines = capfd.readouterr().out.splitlines()
    text = "\n".join(lines)
    for part in (
        "Training pushing with worldsample, seed 0",
        "2 demonstrations, up to 150 real steps",
        "folder  runs/pushing-worldsample-seed0",
        "curves  runs/pushing-worldsample-seed0/report.html",
        f"ROS_DOMAIN_ID={ros_domain}",
        "train --resume runs/pushing-worldsample-seed0",
        "a1x        | cell is up",
        "Training is complete.",
        "report    runs/pushing-worldsample-seed0/report.html",
    ):
        assert part in text
    result = json.loads(lines[-1])
    assert result["task"] == "pushing" and result["exit_code"] == 0
    assert result["run_dir"] == str(tmp_path / "runs" / "pushing-worldsample-seed0")


def test_hints_can_be_typed_whatever_the_folder_is_called(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with_scripts(monkeypatch, a1x="sys.exit(2)")
    folder = "my runs/it's 1 \u00e9"
    assert cli.main(["train", "--machine", "cpu", "--run-dir", folder]) == 2
    hints = [line for line in capfd.readouterr().out.splitlines() if "--resume" in line]
    assert len(hints) == 2
    for hint in hints:
        typed = shlex.split(hint.partition("worldsample ")[2])
        assert typed == ["train", "--resume", folder]


def test_a_failed_node_gives_its_exit_code_and_its_last_words(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with_scripts(monkeypatch, a1x="print('no OpenGL: apt install libegl1'); sys.exit(2)")
    assert cli.main(["train", "--machine", "cpu", "--name", "mine"]) == 2
    output = capfd.readouterr().out
    assert "Stopped early: a1x failed with exit code 2" in output
    assert "a1x | no OpenGL: apt install libegl1" in output and "train --resume runs/mine" in output
    folder = RunFolder(tmp_path / "runs" / "mine")
    assert folder.report.exists() and not folder.read_summary()["finished"]


def test_report_builds_both_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with_scripts(monkeypatch)
    cli.main(["train", "--machine", "cpu", "--name", "mine"])
    folder = RunFolder(Path("runs/mine"))
    folder.report.unlink()
    folder.summary.unlink()
    assert cli.main(["report", "mine", "--json"]) == 0
    assert folder.report.exists() and folder.summary.exists()
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["task"] == "pushing"


def test_the_domain_is_free_after_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with_scripts(monkeypatch)
    for _ in range(2):
        assert cli.main(["demos", "--machine", "cpu"]) == 0
    assert sorted(path.name for path in Path("runs").iterdir()) == [
        "pushing-demos-seed0",
        "pushing-demos-seed0-2",
    ]

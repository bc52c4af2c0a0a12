"""The scripts of ``examples/`` run as their docstrings say, against a tiny run."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("worldsample_msgs")
from worldsample_bringup.run.run_folder import RunFolder
from worldsample_core.extension_path import TASK_PATH

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
POLICY = ROOT / "benchmarks" / "results" / "table1" / "pushing-worldsample-seed0"


pytestmark = pytest.mark.usefixtures("one_thread")


def play(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], script: str, *arguments: object
) -> str:
    """Run a script of examples/ and return what it printed."""
    monkeypatch.setattr("sys.argv", [script, *map(str, arguments)])
    runpy.run_path(str(EXAMPLES / script), run_name="__main__")
    return capsys.readouterr().out


def test_episodes_are_listed_with_their_shapes(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = play(monkeypatch, capsys, "load_episodes.py", run.path)
    assert told.count("demo") == 2 and "(side, wrist)" in told


@pytest.mark.parametrize("exported", [False, True])
def test_a_policy_acts(
    run: RunFolder, exported: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = POLICY if exported else run.path
    told = play(monkeypatch, capsys, "act_with_policy.py", folder, "--episodes", 3 if exported else 1)
    assert ("3 of 3 episodes succeeded" if exported else "of 1 episodes succeeded") in told


@pytest.mark.parametrize("options", [[], ["--perturb", "--step", 3]])
def test_a_segment_is_imagined_below_the_real_one(
    run: RunFolder,
    options: list[object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "imagined.png"
    told = play(monkeypatch, capsys, "imagine_segment.py", run.path, "--episode", 1, "--out", out, *options)
    assert " dB" in told
    with Image.open(out) as picture:
        assert picture.width > 400


def test_an_own_task_is_solved_and_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(TASK_PATH, "")  # the script sets it
    out = tmp_path / "touch.png"
    told = play(
        monkeypatch, capsys, "add_task.py", EXAMPLES / "tasks", "touch", "--episodes", 3, "--out", out
    )
    assert "solved 3 of 3 scenes" in told
    with Image.open(out) as picture:
        assert picture.size == (3 * 64, 4 * 64)


def test_runs_are_plotted(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "curves.png"
    told = play(monkeypatch, capsys, "plot_runs.py", run.path, run.path, "--out", out)
    assert told.count("25% after 50 real steps") == 2
    with Image.open(out) as picture:
        assert len(np.unique(np.asarray(picture).reshape(-1, 3), axis=0)) > 3


@pytest.mark.parametrize("script", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_a_script_is_short_and_says_how_to_run_it(script: Path) -> None:
    text = script.read_text()
    assert len(text.splitlines()) < 60
    assert f"python examples/{script.name} " in text.split('"""')[1]

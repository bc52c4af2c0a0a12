"""The grid of runs with a script as `train`: nothing finished is run again, nothing begun is lost."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from worldsample_bringup.bench.grid import Grid, GridCell, progress_of
from worldsample_bringup.graph.terminal import Console
from worldsample_bringup.run.run_folder import RunFolder
from worldsample_core.node.parent_death import die_with_parent

TRAIN = Path(__file__).with_name("fake_train.py")


def cell(root: Path, name: str, *arguments: str, steps: int = 100) -> GridCell:
    folder = RunFolder(root / name)
    command = (sys.executable, "-S", str(TRAIN), str(folder.path), str(steps))
    return GridCell(name, folder, (*command, "start", *arguments), (*command, "resume", *arguments), steps)


def run(*cells: GridCell, jobs: int = 1) -> tuple[Grid, str, dict[str, str]]:
    stream = io.StringIO()
    grid = Grid(cells, jobs, Console(stream))
    outcome = grid.run()
    return grid, stream.getvalue(), outcome.failed


def calls(cell: GridCell) -> list[str]:
    """The arguments of every call of the script."""
    path = cell.folder.path / "calls"
    return path.read_text().split() if path.exists() else []


def test_every_cell_is_run_once_and_a_finished_one_never_again(tmp_path: Path) -> None:
    cells = [cell(tmp_path, f"c{number}") for number in range(3)]
    _, said, failed = run(*cells)
    assert not failed and all(each.finished for each in cells)
    _, again, _ = run(*cells)
    assert [calls(each) for each in cells] == [["start"]] * 3
    assert (
        "c1 is finished: 100 real steps, success 0.95" in said
        and "kept, finished already: c0, c1, c2" in again
    )


def test_one_that_was_begun_is_resumed(tmp_path: Path) -> None:
    """As after a power cut: the folder is there, the summary is not finished."""
    each = cell(tmp_path, "c", "--die-at=40")
    subprocess.run(each.start, check=False)
    assert progress_of(each).steps == 40
    run(each)
    assert each.finished and calls(each) == ["start", "resume"]


def test_a_crash_after_progress_is_resumed_and_one_without_is_not(tmp_path: Path) -> None:
    lucky, hopeless = cell(tmp_path, "lucky", "--die-at=40"), cell(tmp_path, "hopeless", "--die-at=0")
    other = cell(tmp_path, "other")
    grid, said, failed = run(lucky, hopeless, other)
    assert calls(lucky) == ["start", "resume"] and lucky.finished
    assert list(failed) == ["hopeless"] and "out of luck" in failed["hopeless"]
    assert other.finished, "one failure must not take the others along"
    assert "hopeless FAILED with exit code 3" in said and "1 failed" in grid.line()


def test_as_many_as_asked_run_side_by_side(tmp_path: Path) -> None:
    cells = [cell(tmp_path, f"c{number}", "--seconds=0.6") for number in range(4)]
    run(*cells, jobs=2)
    spans = [[float(t) for t in (each.folder.path / "span").read_text().split()] for each in cells]
    most = max(sum(begin <= t < end for begin, end in spans) for t, _ in spans)
    assert most == 2


def test_side_by_side_no_run_is_given_the_domain_of_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROS_DOMAIN_ID", "42")
    alone, first, second = cell(tmp_path, "alone"), cell(tmp_path, "first"), cell(tmp_path, "second")
    run(alone)
    run(first, second, jobs=2)
    domains = [(each.folder.path / "domain").read_text() for each in (alone, first, second)]
    assert domains == ["42", "none", "none"]


GRID = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_grid import cell
from worldsample_bringup.graph.terminal import Console
from worldsample_bringup.bench.grid import Grid
cells = [cell(Path(sys.argv[1]), name, "--seconds=30") for name in ("a", "b", "c")]
outcome = Grid(cells, 2, Console(sys.stderr)).run()
print(outcome.stopped, outcome.failed)
"""


def start_grid(root: Path) -> subprocess.Popen[str]:
    """A grid in a process of its own, with two runs at work."""
    process = subprocess.Popen(
        [sys.executable, "-c", GRID, str(root), str(TRAIN.parent)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        preexec_fn=die_with_parent(),
    )
    end = time.monotonic() + 20
    while not all((root / name / "pid").exists() for name in "ab"):
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.05)
    return process


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def pids(root: Path) -> list[int]:
    return [int((root / name / "pid").read_text()) for name in "ab"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_lets_every_run_write_its_last_words(tmp_path: Path, number: signal.Signals) -> None:
    process = start_grid(tmp_path)
    process.send_signal(number)
    output, _ = process.communicate(timeout=20)
    assert output.split()[0] == str(int(number)) and output.split()[1] == "{}", "stopped is not failed"
    for name in "ab":
        assert json.loads((tmp_path / name / "summary.json").read_text()) == {"finished": False}
    assert not (tmp_path / "c").exists() and not any(map(alive, pids(tmp_path)))


def test_a_killed_grid_leaves_no_run_behind(tmp_path: Path) -> None:
    process = start_grid(tmp_path)
    process.kill()
    process.wait()
    end = time.monotonic() + 5
    while any(map(alive, pids(tmp_path))) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(map(alive, pids(tmp_path)))


def test_the_line_says_how_far_everything_is_and_how_long_it_takes(tmp_path: Path) -> None:
    """100 steps took 10 s; 300 are left, two runs at a time."""
    cells = [cell(tmp_path, f"c{number}") for number in range(4)]
    grid = Grid(cells, 2, Console(io.StringIO()))
    assert grid.line() == "0/4 runs", "no pace, no promise"
    cells[0].folder.path.mkdir()
    summary = {"finished": True, "real_steps": 100, "wall_seconds": 10.0, "eval_success_rate": 1.0}
    cells[0].folder.summary.write_text(json.dumps({**summary, "eval_episodes": 50}))
    assert grid.line() == "1/4 runs · ETA 15 s at most"


def test_progress_is_read_from_a_file_that_is_being_written(tmp_path: Path) -> None:
    each = cell(tmp_path, "c")
    each.folder.path.mkdir()
    counts = {"episode": 0, "real_steps": 50, "steps": 9, "intervention_steps": 0, "return": 1.0}
    evaluation = {"kind": "episode", "episode_kind": "eval", **counts, "success": True, "aborted": False}
    lines = [json.dumps({"kind": "policy", "t": float(i), "real_steps": i}) for i in range(9000)]
    each.folder.metrics.write_text("\n".join([*lines, json.dumps(evaluation), '{"kind": "poli']))
    assert os.path.getsize(each.folder.metrics) > 262_144
    progress = progress_of(each)
    assert (progress.steps, progress.seconds, progress.success, progress.episodes) == (8999, 8999.0, 1.0, 1)

"""The gain of imagination: paired differences, their interval, and what an unfinished grid says."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from worldsample_bringup.bench import bench_imagination
from worldsample_bringup.bench.bench_imagination import ImaginationGain, gain, measure, table
from worldsample_bringup.bench.grid import Grid, GridOutcome
from worldsample_bringup.bench.method_variants import TASKS
from worldsample_bringup.graph.terminal import Console
from worldsample_core.config import ConfigError


def asked(folder: Path, **changes: object) -> ImaginationGain:
    """Two seeds, 10 and 11, of pushing and assembly."""
    fields = {"tasks": "pushing,assembly", "seeds": 2, "first_seed": 10, "out": str(folder / "runs")}
    return ImaginationGain(**{**fields, "command": "bench it", **changes})  # type: ignore[arg-type]


def finish(request: ImaginationGain, task: str, method: str, seed: int, success: float) -> None:
    """A finished run, as its summary tells of it."""
    folder = request.root / f"{task}-{method}-seed{seed}"
    folder.mkdir(parents=True)
    values = {"finished": True, "eval_success_rate": success, "eval_episodes": 50, "real_steps": 1000}
    values |= {"intervention_rate": 0.3, "synthetic_transitions": 7}
    (folder / "summary.json").write_text(json.dumps(values))


def test_tasks_count_alike_however_many_seeds_they_have() -> None:
    result = gain([("a", 0.2), ("a", 0.4), ("a", 0.3), ("a", 0.3), ("b", 0.0), ("b", -0.1)])
    assert result["gain_points"] == pytest.approx(12.5) and result["n"] == 6
    assert result["ci_low"] < 12.5 < result["ci_high"]


def test_equal_differences_leave_no_doubt_and_zero_mean_ones_do() -> None:
    sure = gain([(task, 0.12) for task in TASKS for _ in range(3)])
    assert (sure["gain_points"], sure["ci_low"], sure["ci_high"]) == (12.0, 12.0, 12.0)
    noise = gain([(task, sign * 0.2) for task in TASKS for sign in (-1, 1, 1, -1)])
    assert noise["gain_points"] == 0.0 and noise["ci_low"] < -5.0 and noise["ci_high"] > 5.0


def test_the_interval_covers_what_seeds_differ_by_within_a_task_only() -> None:
    """Tasks that differ by much, and seeds that do not, leave no doubt about these tasks."""
    result = gain([("easy", 0.0), ("easy", 0.0), ("hard", 0.4), ("hard", 0.4)])
    assert result["ci_low"] == result["ci_high"] == 20.0


def test_one_seed_has_no_interval() -> None:
    assert gain([("a", 0.2), ("b", 0.1)])["ci_low"] is None
    assert gain([])["gain_points"] is None


def test_a_pair_counts_once_both_runs_are_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request = asked(tmp_path)
    for seed, control, imagining in ((10, 0.5, 0.8), (11, 0.6, 0.7)):
        finish(request, "pushing", "rlpd_plus", seed, control)
        finish(request, "pushing", "worldsample", seed, imagining)
    finish(request, "assembly", "worldsample", 10, 0.9)
    started: list[str] = []

    def run(grid: Grid) -> GridOutcome:
        started.extend(cell.name for cell in grid._cells if not cell.finished)
        return GridOutcome(failed={"assembly-rlpd_plus-seed10": "no disk"})

    monkeypatch.setattr(Grid, "run", run)
    result, text, code = measure(request, Console(io.StringIO()))
    assert code == 1 and "bench it" in text and "no disk" in text
    assert result["n"] == 2 and result["gain_points"] == 20.0 and result["seeds"] == [10, 11]
    assert started == [
        "assembly-rlpd_plus-seed10", "assembly-rlpd_plus-seed11", "assembly-worldsample-seed11",
    ]  # fmt: skip
    assert not request.results_file.exists()

    finish(request, "assembly", "rlpd_plus", 10, 0.9)
    finish(request, "assembly", "rlpd_plus", 11, 0.9)
    finish(request, "assembly", "worldsample", 11, 0.9)
    result, text, code = measure(request, Console(io.StringIO()))
    assert result["gain_points"] == 10.0 and json.loads(request.results_file.read_text())["n"] == 4
    assert "+10.0 points" in text and text == table(result) + "\n" + text.splitlines()[-2] + "\n" + (
        f"result: {request.results_file}"
    )


def test_runs_are_one_process_unless_the_graph_is_asked_for(tmp_path: Path) -> None:
    def command(request: ImaginationGain) -> tuple[str, ...]:
        comparison = request.comparison("pushing")
        return bench_imagination.cell_of(comparison, comparison.variants[0], 10, request.budget).start

    assert "--one-process" in command(asked(tmp_path))
    assert "--one-process" not in command(asked(tmp_path, graph=True))


def test_what_is_no_method_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="method"):
        measure(asked(tmp_path, imagining="dreaming"), Console(io.StringIO()))
    with pytest.raises(ConfigError):
        measure(asked(tmp_path, control="worldsample"), Console(io.StringIO()))

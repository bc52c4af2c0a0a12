"""Every method as a person starts it: every node for real, and imagined segments reach the learner.

A seed's run is the same, bit for bit, as when its digest was committed.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.short_runs import (
    IMITATION_UPDATES,
    RECORD,
    STEPS,
    TASKS,
    ShortRun,
    command,
    digests,
    machine_kind,
    read_digests,
    run_all,
    run_in_the_cell,
)
from worldsample_bringup.run.history import read_history
from worldsample_bringup.run.run_folder import RunFolder
from worldsample_policy.acting.run_plan import EvaluationLog

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ShortRun]:
    return run_all(tmp_path_factory.mktemp("methods"))


@pytest.mark.parametrize("method", TASKS)
def test_the_run_ends_well(runs: dict[str, ShortRun], method: str) -> None:
    run = runs[method]
    assert run.code == 0, run.output
    summary = json.loads(run.folder.summary.read_text())
    assert summary["finished"] and summary["method"] == method and summary["real_steps"] == STEPS
    assert summary["checkpoint"] == f"checkpoints/step_{STEPS}"
    assert method == "hil_serl" or summary["synthetic_transitions"] > 0
    assert read_history(run.folder.metrics).statuses["learner"][-1]["skipped_updates"] == 0


@pytest.mark.parametrize(("method", "said", "each_step"), [("wmpo", "groups", 1), ("vlaw", "rollouts", 2)])
def test_it_learns_in_its_own_way(runs: dict[str, ShortRun], method: str, said: str, each_step: int) -> None:
    learner = read_history(runs[method].folder.metrics).statuses["learner"]
    assert any(said in str(record["detail"]) for record in learner)
    assert learner[-1]["updates"] == IMITATION_UPDATES + (STEPS - 19) * each_step


def test_an_evaluation_beside_training_is_that_in_the_cell(runs: dict[str, ShortRun], tmp_path: Path) -> None:
    """The same scenes, weights, actions and results; and training has not noticed."""
    run = run_in_the_cell(tmp_path, "hil_serl")
    assert run.code == 0, run.output
    beside = runs["hil_serl"].folder
    assert EvaluationLog(beside.path).entries
    for one, other in zip(
        EvaluationLog(beside.path).entries, EvaluationLog(run.folder.path).entries, strict=True
    ):
        assert replace(one.summary, run="") == replace(other.summary, run="") and one.final == other.final
    assert digests(beside) == digests(run.folder)


@pytest.mark.parametrize("method", TASKS)
def test_it_repeats_bit_for_bit(runs: dict[str, ShortRun], method: str) -> None:
    found, kind = digests(runs[method].folder), machine_kind()
    recorded = next((entry["runs"] for entry in read_digests() if entry["machine"] == kind), None)
    if recorded is None:
        pytest.skip(f"no digests are recorded for this kind of machine, {kind}; to record them: {RECORD}")
    assert found == recorded[method], f"if this change alters results on purpose: {RECORD}"


def test_a_run_in_one_process_is_that_of_the_graph(runs: dict[str, ShortRun], tmp_path: Path) -> None:
    """Every transition and every weight, bit for bit; and the folder is as complete."""
    folder = RunFolder(tmp_path / "one")
    done = subprocess.run(
        command(folder, "worldsample", "--one-process"),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert digests(folder) == digests(runs["worldsample"].folder)
    ours, theirs = folder.read_summary(), runs["worldsample"].folder.read_summary()
    same = ("finished", "real_steps", "synthetic_transitions", "eval_history", "intervention_rate")
    assert {name: ours[name] for name in same} == {name: theirs[name] for name in same}
    assert folder.report.is_file()

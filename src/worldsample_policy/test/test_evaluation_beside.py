"""Evaluations beside training: every result once, in order, whatever happens to their process."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from worldsample_core.node.stopping import RunFailed
from worldsample_policy.acting import evaluation_beside
from worldsample_policy.acting.evaluation_beside import FOLDER, EvaluationBeside
from worldsample_policy.acting.run_plan import EvaluatedEpisode, NextEpisode

from .test_policy_loop import RunInMemory

WORKER = """
import json, os, sys
deaths = {deaths!r}
for line in sys.stdin:
    job = json.loads(line)
    assert os.path.exists(job["weights"])
    if deaths and job["id"] == 3:
        count = len(open(deaths).read()) if os.path.exists(deaths) else 0
        if count < {times}:
            open(deaths, "a").write("x")
            {how}
    print(json.dumps({{"id": job["id"], "success": job["seed"] % 2 == 1, "steps": job["seed"]}}), flush=True)
"""


def worker(tmp_path: Path, times: int = 0, how: str = "os._exit(1)") -> tuple[str, ...]:
    script = tmp_path / "worker.py"
    script.write_text(WORKER.format(deaths=str(tmp_path / "deaths") if times else "", times=times, how=how))
    return sys.executable, "-S", str(script)


def beside(tmp_path: Path, command: tuple[str, ...], said: list[str] | None = None) -> EvaluationBeside:
    run = tmp_path / "run"
    run.mkdir(exist_ok=True)
    heard = [] if said is None else said
    return EvaluationBeside(command, run, "r", lambda: {"w": np.ones(3, np.float32)}, heard.append)


def plans(first: int, count: int, final: bool = False) -> list[NextEpisode]:
    return [NextEpisode("eval", i, 10 + i, i - first, count, 60, final) for i in range(first, first + count)]


def collect(owner: EvaluationBeside, seconds: float = 20.0) -> list[EvaluatedEpisode]:
    found: list[EvaluatedEpisode] = []
    until = time.monotonic() + seconds
    while owner.outstanding and time.monotonic() < until:
        found += owner.collect(time.monotonic())
        time.sleep(0.01)
    return found


def test_results_come_in_order_with_what_they_are_of(tmp_path: Path) -> None:
    owner = beside(tmp_path, worker(tmp_path))
    owner.post(plans(0, 3), 500, 7, 0.0)
    owner.post(plans(3, 2, final=True), 600, 9, 0.0)
    assert [e.summary.real_steps for e in owner.awaited()] == [500] * 3 + [600] * 2
    found = collect(owner)
    assert [(e.summary.episode, e.summary.seed, e.summary.steps) for e in found] == [
        (i, 10 + i, 10 + i) for i in range(5)
    ]
    assert [e.summary.success for e in found] == [False, True, False, True, False]
    assert [(e.summary.policy_version, e.final) for e in found] == [(7, False)] * 3 + [(9, True)] * 2
    assert not (tmp_path / "run" / FOLDER).exists(), "nothing is left on disk"
    owner.close()


def test_a_process_that_dies_is_started_again_and_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    said: list[str] = []
    owner = beside(tmp_path, worker(tmp_path, times=2), said)
    owner.post(plans(0, 6), 500, 7, time.monotonic())
    assert [e.summary.episode for e in collect(owner)] == list(range(6))
    assert len(said) == 2 and "start again" in said[0]
    owner.close()


def test_a_process_that_never_lives_ends_the_run_with_the_remedy(tmp_path: Path) -> None:
    owner = beside(tmp_path, (sys.executable, "-c", "raise SystemExit(3)"))
    owner.post(plans(0, 2), 500, 7, time.monotonic())
    with pytest.raises(RunFailed, match="evaluate_beside=false"):
        collect(owner)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "[1]",
        '{"id": 3}',
        '{"id": 3, "success": 1, "steps": 2}',
        '{"id": 99, "success": true, "steps": 2}',
    ],
)
def test_an_answer_that_is_none_is_never_taken(tmp_path: Path, answer: str) -> None:
    command = worker(tmp_path, 1, f"print({answer!r}, flush=True); continue")
    owner = beside(tmp_path, command)
    owner.post(plans(0, 5), 500, 7, time.monotonic())
    found = collect(owner)
    assert [(e.summary.episode, e.summary.steps) for e in found] == [(i, 10 + i) for i in range(5)]
    owner.close()


def test_a_process_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation_beside, "PATIENCE", 0.5)
    owner = beside(tmp_path, worker(tmp_path, 1, "import time; time.sleep(60)"))
    owner.post(plans(0, 4), 500, 7, time.monotonic())
    assert [e.summary.episode for e in collect(owner)] == list(range(4))
    owner.close()


def test_a_run_that_is_killed_goes_on_with_what_it_still_owes(tmp_path: Path) -> None:
    owner = beside(tmp_path, worker(tmp_path, 1, "import time; time.sleep(60)"))
    owner.post(plans(0, 6), 500, 7, time.monotonic())
    found: list[EvaluatedEpisode] = []
    while len(found) < 3:
        found += owner.collect(time.monotonic())
    owner.close()
    again = beside(tmp_path, worker(tmp_path))
    again.restore(found)
    assert again.outstanding == 3
    again.post(plans(6, 1), 900, 8, time.monotonic())
    found += collect(again)
    assert [e.summary.episode for e in found] == list(range(7))
    assert [e.summary.real_steps for e in found] == [500] * 6 + [900]
    again.close()


def test_what_stands_in_the_log_is_not_done_again(tmp_path: Path) -> None:
    """The process died after the result was written, before it was crossed off."""
    owner = beside(tmp_path, worker(tmp_path))
    owner.post(plans(0, 2), 500, 7, 0.0)
    first = owner.awaited()[0]
    again = beside(tmp_path, worker(tmp_path))
    again.restore([first])
    assert [e.summary.episode for e in collect(again)] == [1]
    again.close()


@pytest.mark.parametrize("damage", ["", "[1, 2]", '[{"plan": 3}]', "{"])
def test_a_damaged_list_is_told_and_stops_nothing(tmp_path: Path, damage: str) -> None:
    said: list[str] = []
    owner = beside(tmp_path, worker(tmp_path), said)
    owner.post(plans(0, 2), 500, 7, 0.0)
    (tmp_path / "run" / FOLDER / evaluation_beside.PENDING).write_text(damage)
    again: Any = beside(tmp_path, worker(tmp_path), said)
    again.restore([])
    assert again.outstanding == 0 and len(said) == 1 and "damaged" in said[0]


@pytest.mark.parametrize("stop_when_solved", [0, 1])
def test_a_run_whose_evaluations_are_beside_has_the_same_log(tmp_path: Path, stop_when_solved: int) -> None:
    """Episodes, scenes and steps are those of a run in its cell; a run that may stop early waits for them."""
    logs = []
    for name in ("cell", "beside"):
        cell = RunInMemory(tmp_path / name, stop_when_solved=stop_when_solved, solved_success=1.0)
        if name == "beside":
            owner = EvaluationBeside(
                worker(tmp_path), tmp_path / name, "r", lambda: {"w": np.ones(3, np.float32)}, print
            )
            cell.loop.beside = owner
            until = time.monotonic() + 20.0
            while cell.loop.state != "done" and time.monotonic() < until:
                cell.run(20)
                if stop_when_solved and owner.outstanding and cell.loop.state == "running":
                    assert cell.loop.kind != "train", "what comes next was not known yet"
                time.sleep(0.01)
            assert not any(mode == "eval" for _, mode, _ in cell.resets)
        else:
            cell.run()
        assert cell.loop.state == "done" and cell.checkpoints == 1
        entries = cell.loop.evaluations.entries
        logs.append([(e.summary.seed, e.summary.episode, e.summary.real_steps, e.final) for e in entries])
        assert len(cell.summaries) >= len(entries)
    if not stop_when_solved:  # the fake worker's results are others than the fake cell's
        assert logs[0] == logs[1]
    assert logs[1]

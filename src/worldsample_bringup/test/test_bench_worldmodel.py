"""`bench worldmodel`: the measurement is called as it wants to be, and what it says is passed on."""

from __future__ import annotations

import inspect
import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import worldsample_bringup.bench.worldmodel_truth
from worldsample_bringup import cli
from worldsample_bringup.bench import bench_worldmodel
from worldsample_bringup.bench.bench_worldmodel import Narration
from worldsample_bringup.graph.terminal import Console

FIGURES = {"psnr": 30.0, "ssim": 0.93, "horizon": 8}


def test_the_measurement_gets_what_was_asked_for_and_its_figures_come_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real, calls = inspect.signature(worldsample_bringup.bench.worldmodel_truth.measure), []

    def measure(*positional: Any, **named: Any) -> dict[str, Any]:
        bound = real.bind(*positional, **named)  # the measurement's own signature
        calls.append(bound.arguments)
        bound.arguments["progress"]("80 online episodes")
        return dict(FIGURES)

    monkeypatch.setattr(bench_worldmodel, "import_module", lambda name: SimpleNamespace(measure=measure))
    said = ["--task", "pushing", "--minutes", "2.5", "--updates", "77", "--save", "here", "--json"]
    assert cli.main(["bench", "worldmodel", *said]) == 0
    given = calls[0]
    assert (given["task"], given["minutes"], given["updates"]) == ("pushing", 2.5, 77)
    assert given["save"] == Path("here")
    output = capsys.readouterr()
    result = json.loads(output.out.splitlines()[-1])
    assert result.items() >= FIGURES.items() and {"git_revision", "command"} <= set(result)
    assert "80 online episodes" in output.err and output.out.count("\n") == 1


def test_quick_is_tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, Any]] = []

    def measure(task: str, **named: Any) -> dict[str, Any]:
        calls.append(named)
        return {}

    names = {"worldsample_bringup.bench.worldmodel_truth": SimpleNamespace(measure=measure)}
    real = bench_worldmodel.import_module
    monkeypatch.setattr(bench_worldmodel, "import_module", lambda name: names.get(name) or real(name))
    bench_worldmodel.measure("pushing", 10, 1.0, quick=True)
    inspect.signature(worldsample_bringup.bench.worldmodel_truth.measure).bind("pushing", **calls[0])
    assert calls[0]["config"].image_size == 32 and calls[0]["online"] < 10


def test_an_unknown_task_is_said_before_the_simulation_starts(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "worldmodel", "--task", "pusing"]) == 2
    assert "did you mean 'pushing'" in capsys.readouterr().err


def test_the_time_left_is_that_of_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(bench_worldmodel.time, "monotonic", lambda: now)
    narration = Narration(Console(io.StringIO()), minutes=10.0)
    now = 130.0
    assert narration.line() == "world model · 30 s · simulating episodes"
    narration.say("the episodes are there")
    now = 130.0 + 240.0
    assert narration.line().endswith("training, ETA 6 min at most, then evaluating")
    now = 130.0 + 601.0
    assert narration.line().endswith("11 min · evaluating")

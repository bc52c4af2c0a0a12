"""The paper's table on fake runs: what is there stands beside the paper's figures, the rest stays empty."""

from __future__ import annotations

import io
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from worldsample_bringup.bench import bench_table1
from worldsample_bringup.bench.bench_table1 import Table, cells_of, measure
from worldsample_bringup.bench.grid import Grid, GridCell, GridOutcome
from worldsample_bringup.bench.method_variants import METHODS, TASKS
from worldsample_bringup.bench.table1_figures import figures, ratios, wilson
from worldsample_bringup.bench.table1_text import PAPER
from worldsample_bringup.graph.terminal import Console
from worldsample_bringup.run import configuration, prepare
from worldsample_bringup.run.configuration import layers, make_settings
from worldsample_bringup.run.options import Request
from worldsample_bringup.run.run_folder import RunFolder
from worldsample_core.config import ConfigError, from_mapping
from worldsample_core.observation import Observation
from worldsample_policy.acting.acting_weights import ActingWeights
from worldsample_policy.acting.weights_switch import WeightsSwitch
from worldsample_policy.learner_config import LearnerConfig
from worldsample_policy.learning.learner import Learner

TRAIN = Path(__file__).with_name("fake_train.py")


@pytest.fixture
def asked(tmp_path: Path) -> Table:
    return Table(
        tasks="pushing",
        methods="hil_serl,vlaw",
        seeds=1,
        budget="pushing=100",
        out=str(tmp_path / "runs"),
        command="bench it",
    )


def with_scripts(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    """Scripts in place of training runs."""
    real = bench_table1.cell_of

    def cell_of(*said: Any) -> GridCell:
        cell = real(*said)
        script = (sys.executable, "-S", str(TRAIN), str(cell.folder.path), str(cell.steps))
        return replace(cell, start=(*script, "start", *arguments), resume=(*script, "resume", *arguments))

    monkeypatch.setattr(bench_table1, "cell_of", cell_of)
    monkeypatch.setattr(bench_table1, "check_same", lambda *said: None)  # scripts write no settings


def test_wilson_by_hand() -> None:
    """9 of 10: (0.9 + 0.19207 + - 1.96 sqrt(0.009 + 0.009604)) / 1.38415."""
    assert wilson(9, 10) == pytest.approx((0.5958, 0.9821), abs=1e-4)
    assert wilson(0, 50)[0] == 0.0 and wilson(50, 50)[1] == 1.0 and wilson(50, 50)[0] > 0.92


def test_a_table_of_what_was_run(asked: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    with_scripts(monkeypatch)
    result, text, code = measure(asked, Console(io.StringIO()))
    assert code == 0 and json.loads(asked.results_file.read_text()) == result
    cell = result["cells"]["pushing"]["vlaw"]
    assert (cell["success"], cell["real_steps"], cell["episodes"]) == (0.95, 100.0, 50)
    assert cell["ci"] == list(wilson(47.5, 50)) and cell["interventions"] == 0.1
    for task in TASKS:
        for method in METHODS:
            if task != "pushing" or method not in ("hil_serl", "vlaw"):
                assert result["cells"][task][method]["success"] is None
                assert result["cells"][task][method]["ci"] is None
    assert result["averages"]["vlaw"]["tasks"] == 1 and result["averages"]["wmpo"]["success"] is None
    assert result["steps_ratio"] is None, "WorldSample was not run"
    line = next(line for line in text.splitlines() if line.startswith("VLAW"))
    assert line.split() == ["VLAW", "95", "[85–98]", "–", "–", "–", "–", "95", "(1", "of", "5)"]
    paper = text.splitlines()[text.splitlines().index(line) + 1].split()
    assert paper == ["paper", *(str(value) for value in PAPER["vlaw"])]
    assert "| VLAW | 95 [85–98] | – | – | – | – |" in asked.results_file.with_suffix(".md").read_text()
    assert Image.open(asked.results_file.with_suffix(".png")).size[0] > 1000


def test_finished_cells_are_kept_and_only_what_is_asked_is_run(
    asked: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_scripts(monkeypatch)
    measure(replace(asked, methods="hil_serl"), Console(io.StringIO()))
    result, _, _ = measure(asked, Console(io.StringIO()))
    calls = [path.read_text().split() for path in Path(asked.out).glob("*/calls")]
    assert calls == [["start"]] * 2
    shown, text, code = measure(replace(asked, methods="wmpo", show=True, command="table1 --show --seeds 1"))
    assert code == 0 and shown["cells"] == result["cells"], "--show runs nothing, and hides nothing"
    assert "go on with: table1 --seeds 1" in text, "what it advises runs something"


def test_a_failed_run_leaves_its_cell_empty(asked: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    with_scripts(monkeypatch, "--die-at=0")
    result, text, code = measure(asked, Console(io.StringIO()))
    assert code == 1 and "out of luck" in text and "2 of 2 runs are not finished" in text
    assert result["cells"]["pushing"]["hil_serl"]["success"] is None


@pytest.mark.parametrize("imagined", [0, 7])
def test_a_run_whose_world_model_taught_nothing_is_told(
    asked: Table, monkeypatch: pytest.MonkeyPatch, imagined: int
) -> None:
    """It died, or never passed its gate: what stands in the cell is then not the method's."""
    with_scripts(monkeypatch, f"--imagined={imagined}")
    _, text, _ = measure(asked, Console(io.StringIO()))
    told = "pushing, VLAW: nothing imagined was learned from"
    for shown in (text, asked.results_file.with_suffix(".md").read_text()):
        assert (told in shown) == (imagined == 0)
        assert "HiL-SERL: nothing" not in shown


def cell(*curves: list[list[float]]) -> dict[str, Any]:
    return {
        "success": curves[0][-1][1] if curves else None,
        "seeds": [{"success_curve": curve, "real_steps": curve[-1][0]} for curve in curves],
    }


def test_steps_to_the_same_success() -> None:
    """HiL-SERL ends with 60 %, first reached at 900; WorldSample is there at 300, VLAW never."""
    row = {
        "hil_serl": cell([[300, 0.2], [600, 0.4], [900, 0.6], [1000, 0.6]]),
        "worldsample": cell([[300, 0.7], [600, 0.9]]),
        "vlaw": cell([[300, 0.1], [1000, 0.3]]),
        "wmpo": cell(),
    }
    found = ratios(row)
    assert found["success"] == 0.6
    assert found["methods"]["worldsample"] == {
        "steps": 300, "lower_bound": False, "ratio": 0.3333, "is": "exact"
    }  # fmt: skip
    assert found["methods"]["vlaw"] == {
        "steps": 1000, "lower_bound": True, "ratio": 1.1111, "is": "at least"
    }  # fmt: skip
    assert "wmpo" not in found["methods"]
    assert ratios({**row, "hil_serl": cell()}) == {"success": None, "methods": {}}
    assert ratios({**row, "hil_serl": cell([[100, 0.0]])})["methods"] == {}, "nothing to reach"


def test_nothing_finished_is_nothing_known() -> None:
    assert figures([])["success"] is None and figures([])["real_steps"] is None


def test_a_cell_of_several_seeds_counts_every_episode() -> None:
    """45 of 50 and 5 of 10 are 50 of 60, not the mean of the two rates."""
    run = {"real_steps": 100, "interventions": None, "wall_seconds": 1.0}
    both = figures([{**run, "success": 0.9, "episodes": 50}, {**run, "success": 0.5, "episodes": 10}])
    assert (both["success"], both["episodes"], both["seeds_finished"]) == (0.8333, 60, 2)
    assert both["interventions"] is None


def with_policies(asked: Table) -> None:
    """A trained policy in the folder of every finished run."""
    for cell in cells_of(asked).cells.values():
        if cell.finished:
            request = Request("train", task="pushing", machine="cpu", steps=100)
            settings = prepare.plan(request, cell.folder.path).settings
            configuration.write_config(cell.folder.config, settings)
            learner = Learner(from_mapping(LearnerConfig, settings.learner, "learner"), settings.task)
            learner.save(cell.folder.checkpoints / "step_100")


def test_a_published_cell_outlives_its_run_folder(
    asked: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A published cell stays in the table, even on a machine that has not a single run.

    Its policy, which eval evaluates again, stays as well; a run there takes its place.
    """
    with_scripts(monkeypatch)
    asked = replace(asked, methods="hil_serl", results=str(tmp_path / "results/table1.json"))
    measure(asked, Console(io.StringIO()))
    with_policies(asked)
    before, _, _ = measure(replace(asked, show=True))
    shutil.rmtree(asked.out)
    after, text, _ = measure(replace(asked, show=True))
    assert after["cells"] == before["cells"] and before["cells"]["pushing"]["hil_serl"]["success"] == 0.95
    assert "1 cells are not of the runs in" in text
    policy = tmp_path / "results" / after["cells"]["pushing"]["hil_serl"]["seeds"][0]["policy"]
    planned = prepare.plan(Request("eval", run_dir=str(policy)), tmp_path)
    assert planned.settings.run.checkpoint == str(policy / "checkpoints/step_100")
    assert str(tmp_path) not in (policy / "config.yaml").read_text()
    other = measure(replace(asked, show=True, budget="pushing=200"))[0]
    assert other["cells"]["pushing"]["hil_serl"]["success"] is None, "another budget is another table"


def test_two_commands_into_one_table_lose_nothing(
    asked: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second command, with run folders of its own, ends while the first one runs."""
    with_scripts(monkeypatch)
    results = str(tmp_path / "results/table1.json")
    first = replace(asked, methods="hil_serl", results=results)
    second = replace(asked, methods="vlaw", results=results, out=str(tmp_path / "other"))
    grids: list[Grid] = []

    class Slow(Grid):
        def run(self) -> GridOutcome:
            grids.append(self)
            if len(grids) == 1:
                measure(second, Console(io.StringIO()))
            return super().run()

    monkeypatch.setattr(bench_table1, "Grid", Slow)
    row = measure(first, Console(io.StringIO()))[0]["cells"]["pushing"]
    assert len(grids) == 2 and row["hil_serl"]["seeds_finished"] == row["vlaw"]["seeds_finished"] == 1


def test_a_results_file_that_is_none_is_told(asked: Table, tmp_path: Path) -> None:
    (tmp_path / "table1.json").write_text("[]")
    with pytest.raises(ConfigError, match="is not a result of bench table1"):
        measure(replace(asked, results=str(tmp_path / "table1.json"), show=True))
    assert (tmp_path / "table1.json").read_text() == "[]"


def test_budgets_are_the_tasks_own_unless_named(asked: Table) -> None:
    assert asked.budgets() == {**dict.fromkeys(TASKS), "pushing": 100}
    assert set(replace(asked, budget="500").budgets().values()) == {500}
    both = replace(asked, budget="500,assembly=900").budgets()
    assert both["assembly"] == 900 and both["sorting"] == 500
    for wrong in ("many", "nothing=3", "pushing=0"):
        with pytest.raises(ConfigError, match="--budget"):
            replace(asked, budget=wrong).budgets()


@pytest.mark.parametrize("wrong", [{"tasks": "juggling"}, {"methods": "ppo"}, {"settings": ("learner.x=1",)}])
def test_what_is_unknown_is_said_before_anything_starts(asked: Table, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        measure(replace(asked, **wrong), Console(io.StringIO()))
    assert not Path(asked.out).exists()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("quick", [False, True])
def test_every_method_has_settings_for_every_task(method: str, quick: bool) -> None:
    """And all of them begin with the same demonstrations and the same budget."""
    for task in TASKS:
        values = layers("cpu", method, task, quick)
        values["run"].update(name="x", directory="x", method=method, machine="cpu", image_size=64)
        settings = make_settings(values)
        assert settings.learner["algorithm"] == {"wmpo": "wmpo", "vlaw": "vlaw"}.get(method, "sac")
        assert bool(settings.worldmodel["enabled"]) == (method not in ("hil_serl", "rlpd_plus"))
        assert settings.run.demos == (3 if quick else 20)


PUBLISHED = Path(__file__).parents[3] / "benchmarks/results/table1.json"


def test_the_published_policies_still_act() -> None:
    """A change of the networks, or of a setting, that leaves published policies behind is found here."""
    rows = json.loads(PUBLISHED.read_text())["cells"].values()
    policies = [s["policy"] for row in rows for cell in row.values() for s in cell["seeds"] if s["policy"]]
    assert policies
    for policy in policies:
        folder = RunFolder(PUBLISHED.parent / policy)
        settings = folder.settings()
        learner = from_mapping(LearnerConfig, settings.learner, "learner")
        acting = ActingWeights(learner, settings.task, WeightsSwitch(True, 1, 1))
        acting.load_checkpoint(folder.checkpoint())
        size = settings.run.image_size
        seen = Observation(np.zeros((2, size, size, 3), np.uint8), np.zeros(10, np.float32))
        assert np.isfinite(acting.act(seen, deterministic=True)[0]).all()

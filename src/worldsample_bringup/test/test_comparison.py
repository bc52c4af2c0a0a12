"""`bench method` and `bench ablation`: the figures, and what is run for them, with scripts as runs."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from worldsample_bringup.bench import bench_method, method_variants
from worldsample_bringup.bench.bench_command import BENCHES
from worldsample_bringup.bench.bench_method import Comparison, compare
from worldsample_bringup.bench.comparison import (
    Steps,
    figures,
    median_steps,
    ratio,
    step_ratios,
    steps_to_success,
    table,
)
from worldsample_bringup.bench.grid import GridCell
from worldsample_bringup.bench.method_variants import ABLATION, BASELINE, Variant
from worldsample_bringup.graph.terminal import Console
from worldsample_bringup.run.configuration import read_overrides, write_config
from worldsample_core.config import ConfigError

TRAIN = Path(__file__).with_name("fake_train.py")


@pytest.mark.parametrize(
    ("rates", "steps"),
    [
        ([0.2, 0.9, 0.95], 500),
        ([0.9, 0.85, 0.9, 0.9], 750),  # the first one was luck
        ([0.5, 0.6, 0.95], None),  # one is not two in a row
        ([0.8, 0.85, 0.85], None),
        ([], None),
    ],
)
def test_steps_to_90_are_those_of_the_first_of_two_in_a_row(rates: list[float], steps: int | None) -> None:
    history = [[250 * (i + 1), 20, rate] for i, rate in enumerate(rates)]
    assert steps_to_success(history, episodes=20) == steps


def test_a_torn_evaluation_neither_counts_nor_breaks_the_row() -> None:
    history = [[250, 20, 0.95], [500, 3, 0.0], [500, 20, 0.9]]
    assert steps_to_success(history, episodes=20) == 250


def test_a_run_that_never_got_there_counts_as_more_than_its_budget() -> None:
    assert median_steps([4000, 3000, 3500], 6000) == Steps(3500)
    assert median_steps([4000, 3000, None], 6000) == Steps(4000)
    assert median_steps([4000, None, None], 6000) == Steps(6000, bound=True)
    assert median_steps([4000, None], 6000) == Steps(5000, bound=True)
    assert median_steps([], 6000) is None
    assert str(Steps(6000, bound=True)) == "> 6,000"


def test_a_ratio_of_bounds_says_what_it_is() -> None:
    assert ratio(Steps(2000), Steps(4000)) == (0.5, "exact")
    assert ratio(Steps(3000), Steps(6000, bound=True)) == (0.5, "at most")
    assert ratio(Steps(6000, bound=True), Steps(4000)) == (1.5, "at least")
    assert ratio(Steps(6000, bound=True), Steps(6000, bound=True)) == (None, "unknown")
    assert ratio(None, Steps(4000)) == (None, "unknown")


def summary(*rates: float, final: float = 0.98) -> dict[str, Any]:
    history = [[250 * (i + 1), 20, rate] for i, rate in enumerate(rates)]
    return {
        "eval_history": [*history, [1000, 50, final]],
        "eval_success_rate": final,
        "real_steps": 1000,
        "intervention_rate": 0.2,
        "wall_seconds": 90.0,
    }


def test_the_table_tells_bounds_from_figures() -> None:
    by_variant = {
        "hil_serl": figures([summary(0.1, 0.2, 0.3, final=0.4), summary(0.5, 0.9, 0.9)], 1000, 20),
        "worldsample": figures([summary(0.9, 0.95), None], 1000, 20),
    }
    assert by_variant["hil_serl"]["steps_to_90"] == [None, 500]
    assert by_variant["worldsample"]["steps_to_90"] == [250, None]
    assert by_variant["worldsample"]["finished"] == [True, False]
    assert by_variant["worldsample"]["median_steps_to_90"] == 250, "a run that is not finished is no failure"
    text = table("pushing", by_variant, 1000)
    assert "> 1,000  500" in text and "250  –" in text and "40 %  98 %" in text
    assert "worldsample needs at most 33 % of hil_serl's steps" in text
    assert step_ratios({"worldsample": by_variant["worldsample"]}) == {}


def test_the_ablation_is_the_papers() -> None:
    """Full, no schedule, no selection, neither, HiL-SERL; the plain ones share bench method's runs."""
    assert [v.name for v in ABLATION] == ["full", "no_schedule", "no_selection", "neither", "hil_serl"]
    assert [v.folder for v in ABLATION][::4] == ["worldsample", "hil_serl"]
    assert len({v.folder for v in ABLATION}) == 5
    off = [set(read_overrides(v.overrides).get("learner", {})) for v in ABLATION]
    assert off[3] == off[1] | off[2] and len(off[3]) == 2


def test_the_ablations_settings_exist() -> None:
    """A renamed setting of the learner would end an ablation before it begins."""
    from worldsample_policy.learner_config import LearnerConfig

    for name, value in read_overrides(ABLATION[3].overrides)["learner"].items():
        assert getattr(LearnerConfig(image_size=64), name) is True and value is False


@pytest.mark.parametrize("names", ["", "hil_serl,hil_serl", "hil_serl,nothing"])
def test_methods_are_known_and_named_once(names: str) -> None:
    with pytest.raises(ConfigError):
        method_variants.method_variants(names)


def test_a_method_may_be_compared_with_another_setting() -> None:
    plain, faster = method_variants.method_variants("hil_serl,hil_serl+learner.utd=4")
    assert faster == Variant("hil_serl+learner.utd=4", "hil_serl", ("learner.utd=4",))
    assert plain.folder == "hil_serl" and faster.folder == "hil_serl-hil_serl_learner.utd_4"


@pytest.mark.parametrize("what", BENCHES)
@pytest.mark.parametrize(
    ("root", "program"), [(".", "./worldsample"), ("", "ros2 run worldsample_bringup worldsample_cli")]
)
def test_help_of_a_measurement_needs_the_standard_library_only(what: str, root: str, program: str) -> None:
    """As on a machine where nothing is installed yet; it names the command that was given."""
    source = Path(bench_method.__file__).parent.parent.parent
    arguments = [sys.executable, "-S", "-m", "worldsample_bringup.cli", "bench", what, "--help"]
    environment = {"PYTHONPATH": str(source), "PATH": os.environ["PATH"], "WORLDSAMPLE_ROOT": root}
    result = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert f"usage: {program} bench {what}" in result.stdout and "--json" in result.stdout


PLAIN = Variant("plain", BASELINE)
LARGE = Variant("large", BASELINE, ("learner.batch_size=512",))


@pytest.fixture
def asked(tmp_path: Path) -> Comparison:
    return Comparison(
        what="method",
        task="pushing",
        variants=(PLAIN, LARGE),
        seeds=2,
        steps=100,
        out=str(tmp_path / "runs"),
        command="bench it",
    )


def with_scripts(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    """Scripts in place of training runs; the cells are otherwise those of the command."""
    real = bench_method.cell_of

    def cell_of(*said: Any) -> GridCell:
        cell = real(*said)
        script = (sys.executable, "-S", str(TRAIN), str(cell.folder.path), str(cell.steps))
        return replace(cell, start=(*script, "start", *arguments), resume=(*script, "resume", *arguments))

    monkeypatch.setattr(bench_method, "cell_of", cell_of)
    monkeypatch.setattr(bench_method, "check_same", lambda *said: None)  # scripts write no settings


def test_a_whole_comparison_leaves_its_result(asked: Comparison, monkeypatch: pytest.MonkeyPatch) -> None:
    with_scripts(monkeypatch)
    result, text, code = compare(asked, Console(io.StringIO()))
    assert code == 0 and json.loads(asked.results_file.read_text()) == result
    assert result["methods"]["large"]["steps_to_90"] == [50, 50]
    assert result["methods"]["large"]["final_success"] == [0.95, 0.95]
    assert result["methods"]["large"]["overrides"] == ["learner.batch_size=512"]
    assert result["command"] == "bench it" and result["budget"] == 100 and result["seeds"] == [0, 1]
    assert {path.name for path in Path(asked.out).iterdir() if path.is_dir()} == {
        "pushing-hil_serl-seed0",
        "pushing-hil_serl-seed1",
        "pushing-hil_serl-large-seed0",
        "pushing-hil_serl-large-seed1",
    }
    assert f"result: {asked.results_file}" in text


def test_a_failed_run_is_told_and_no_result_is_published(
    asked: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_scripts(monkeypatch, "--die-at=0")
    result, text, code = compare(asked, Console(io.StringIO()))
    assert code == 1 and not asked.results_file.exists()
    assert "out of luck" in text and "go on with: bench it" in text and len(result["failed"]) == 4


def test_the_commands_are_training_runs_that_end_when_solved(asked: Comparison) -> None:
    cell = bench_method.cell_of(asked, LARGE, 1, 100)
    line = " ".join(cell.start)
    for part in (
        "train --one-process --task pushing --method hil_serl --seed 1 --steps 100",
        "run.stop_when_solved=2",
        "run.solved_success=0.9",
        "run.eval_every=250 run.eval_episodes=20 run.final_eval_episodes=50",
        "learner.batch_size=512",
    ):
        assert part in line
    assert cell.resume[-2:] == ("--resume", str(cell.folder.path))
    settings = bench_method.resolve(asked, LARGE)
    assert settings.run.stop_when_solved == 2 and settings.learner["batch_size"] == 512


def test_a_run_with_other_settings_is_not_taken_for_this_one(asked: Comparison) -> None:
    cell = bench_method.cell_of(asked, LARGE, 0, 100)
    asked = replace(asked, settings=("learner.lr=1e-4",))  # which YAML reads as text
    cell.folder.path.mkdir(parents=True)
    write_config(cell.folder.config, bench_method.resolve(asked, LARGE))

    def check(**said: Any) -> None:
        other = replace(asked, **said)
        bench_method.check_same(cell, other.overrides(LARGE), bench_method.resolve(other, LARGE))

    check()
    with pytest.raises(ConfigError, match=r"task\.max_real_steps=100, not 200"):
        check(steps=200)
    with pytest.raises(ConfigError, match=r"learner\.batch_size=512, not 64"):
        check(settings=("learner.batch_size=64",))
    with pytest.raises(ConfigError, match=r"run\.eval_every=250, not 100"):
        check(eval_every=100)


def test_what_is_wrong_is_said_before_anything_starts(asked: Comparison) -> None:
    for wrong in (
        replace(asked, settings=("learner.nothing=1",)),
        replace(asked, task="nothing"),
        replace(asked, variants=(Variant("x", "nothing"),)),
    ):
        with pytest.raises(ConfigError):
            compare(wrong, Console(io.StringIO()))
    assert not Path(asked.out).exists()
    with pytest.raises(ConfigError, match="at least 1"):
        replace(asked, jobs=0)


def test_a_world_model_whose_imagination_is_never_used_is_not_compared(asked: Comparison) -> None:
    """It would be HiL-SERL under another name, for hours."""
    unused = Variant("x", BASELINE, ("worldmodel.enabled=true", "learner.pacing=false"))
    with pytest.raises(ConfigError, match="imagines for nothing"):
        bench_method.resolve(asked, unused)
    used = Variant("x", BASELINE, ("worldmodel.enabled=true", "learner.pacing=true"))
    assert bench_method.resolve(asked, used).learner["pacing"]


def test_only_plain_comparisons_replace_the_published_result(asked: Comparison, tmp_path: Path) -> None:
    plain = replace(asked, out="")
    assert plain.results_file.parts[-3:] == ("benchmarks", "results", "method-pushing.json")
    for other in (
        replace(plain, quick=True),
        replace(plain, settings=("run.demos=3",)),
        replace(plain, out=str(tmp_path)),
    ):
        assert "benchmarks" not in other.results_file.parts
    assert replace(plain, results="mine.json").results_file == Path("mine.json")

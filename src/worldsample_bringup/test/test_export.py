"""A policy that is handed on: it can be evaluated anywhere, and nothing else is made of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from worldsample_bringup import cli
from worldsample_bringup.run import prepare
from worldsample_bringup.run.export import export_run
from worldsample_bringup.run.options import NEWEST, Request
from worldsample_bringup.run.run_folder import RunFolder
from worldsample_core.config import ConfigError, from_mapping
from worldsample_policy.learner_config import LearnerConfig
from worldsample_policy.learning.learner import Learner


@pytest.fixture
def trained(tmp_path: Path) -> RunFolder:
    """A run with two checkpoints that has not finished."""
    demos = tmp_path / "demos"
    request = Request("train", machine="cpu", overrides=("learner.hidden=16",))
    plan = prepare.plan(request, tmp_path / "runs")
    plan.begin().close()
    text = plan.folder.config.read_text().replace("demos_from: ''", f"demos_from: {demos}")
    plan.folder.config.write_text(text)
    assert plan.folder.settings().run.demos_from == str(demos)
    learner = Learner(from_mapping(LearnerConfig, plan.settings.learner, "learner"), plan.settings.task)
    for step in (100, 200):
        learner.save(plan.folder.checkpoints / f"step_{step}")
    plan.folder.summary.write_text('{"finished": false, "eval_success_rate": 0.5, "eval_episodes": 2}')
    return plan.folder


def test_it_is_small_complete_and_knows_nothing_of_the_machine(trained: RunFolder, tmp_path: Path) -> None:
    exported = export_run(trained)
    assert exported.path == trained.path.with_name(f"{trained.path.name}-policy")
    files = sorted(str(p.relative_to(exported.path)) for p in exported.path.rglob("*") if p.is_file())
    weights = [f"checkpoints/step_200/{name}" for name in ("checkpoint.json", "policy.safetensors")]
    assert files == [*weights, "config.yaml", "summary.json"]
    size = (exported.checkpoints / "step_200/policy.safetensors").stat().st_size
    assert size < 0.5 * (trained.checkpoints / "step_200/model.safetensors").stat().st_size
    assert str(tmp_path) not in exported.config.read_text() + exported.summary.read_text()
    assert exported.read_summary()["eval_success_rate"] == 0.5
    exported.path.rename(tmp_path / "elsewhere")
    plan = prepare.plan(Request("eval", run_dir=str(tmp_path / "elsewhere")), tmp_path)
    assert plan.settings.run.checkpoint == str(tmp_path / "elsewhere/checkpoints/step_200")
    assert plan.settings.learner == trained.settings().learner


def test_it_is_not_taken_for_a_run_to_go_on_with(trained: RunFolder) -> None:
    exported = export_run(trained, choice="100")
    assert exported.checkpoint_steps() == [100]
    with pytest.raises(ConfigError, match="resume the run that it was exported from"):
        prepare.plan(Request("train", resume=str(exported.path)), trained.path.parent)
    resumed = prepare.plan(Request("train", resume=NEWEST), trained.path.parent)
    assert resumed.folder.path == trained.path


def test_nothing_is_overwritten_and_nothing_half_stays(trained: RunFolder, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "thesis.tex").touch()
    with pytest.raises(ConfigError, match="is not overwritten"):
        export_run(trained, str(taken))
    (trained.checkpoints / "step_200/model.safetensors").write_bytes(b"rotten")
    with pytest.raises(ConfigError, match="damaged"):
        export_run(trained, str(tmp_path / "new"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs", "taken"]
    (tmp_path / "empty").mkdir()
    assert export_run(trained, str(tmp_path / "empty"), "100").checkpoint_steps() == [100]


def test_the_command(
    trained: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["export", "--json"]) == 0, "the newest run"
    *said, last = capsys.readouterr().out.splitlines()
    assert f"eval --run-dir {trained.path}-policy" in "\n".join(said)
    assert json.loads(last)["run_dir"] == f"{trained.path}-policy"
    assert cli.main(["export", "--run-dir", "nothing"]) == cli.EXIT_USAGE
    assert "there is no run 'nothing'" in capsys.readouterr().err

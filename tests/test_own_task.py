"""docs/adding-a-task.md, followed to the letter: one file and one YAML in any folder make a task."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from a1x_sim.cell import Cell
from a1x_sim.tasks import make_task
from worldsample_bringup.run import configuration, prepare
from worldsample_bringup.run.options import Request
from worldsample_core.config import ConfigError, TaskConfig, from_mapping
from worldsample_core.extension_path import TASK_PATH
from worldsample_core.settings import load_settings

GUIDE = Path(__file__).resolve().parent.parent / "docs" / "adding-a-task.md"


def block(language: str) -> str:
    """The one code block of that language in the guide."""
    (text,) = re.findall(rf"^```{language}\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    return str(text)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "own tasks"
    folder.mkdir()
    (folder / "button.py").write_text(block("python"))
    (folder / "button.yaml").write_text(block("yaml"))
    monkeypatch.setenv(TASK_PATH, str(folder))
    return folder


def test_the_task_of_the_guide_runs_from_its_configuration(folder: Path, tmp_path: Path) -> None:
    assert "button" in configuration.known("tasks")
    request = Request("train", "button", machine="cpu", overrides=("task.horizon=30",))
    plan = prepare.plan(request, tmp_path / "runs")
    plan.begin().close()
    settings = load_settings(plan.folder.config)  # as every node reads it
    assert (settings.task.name, settings.task.horizon, settings.task.max_real_steps) == ("button", 30, 4000)

    cell = Cell(settings.task.name, 64, config=settings.task)
    try:
        first = cell.reset(1).validate()
        assert len(np.unique(first.images.reshape(-1, 3), axis=0)) > 50, "the cameras see the scene"
        assert cell.config.horizon == 30
        while not cell.success and cell.steps < cell.config.horizon:
            cell.step(cell.task.expert(cell.state()))
        assert cell.success
    finally:
        cell.close()


def test_the_guides_class_and_its_yaml_agree(folder: Path) -> None:
    task = configuration.read_layer("tasks", "button")["task"]
    assert from_mapping(TaskConfig, task) == make_task("button").config


def test_an_unknown_task_lists_own_ones_too(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"did you mean 'button'.*pushing"):
        make_task("buton")
    with pytest.raises(ConfigError, match=r"did you mean 'button'.*pushing"):
        configuration.read_layer("tasks", "buton")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("import nothing_like_this", "broken.py does not load.*nothing_like_this"),
        ("def broken(:", "broken.py does not load.*SyntaxError"),
        ("x = 1", "broken.py.*no Task class with name = 'broken'"),
    ],
)
def test_a_file_that_is_no_task_is_named_with_the_reason(folder: Path, text: str, complaint: str) -> None:
    (folder / "broken.py").write_text(text)
    with pytest.raises(ConfigError, match=complaint):
        make_task("broken")
    assert make_task("button").name == "button", "the others still work"


def test_names_cannot_be_taken_twice(folder: Path) -> None:
    for suffix in (".py", ".yaml"):
        (folder / f"pushing{suffix}").write_text("")
    with pytest.raises(ConfigError, match=r"pushing.*comes with WorldSample"):
        make_task("pushing")
    with pytest.raises(ConfigError, match=r"pushing.*comes with WorldSample"):
        configuration.known("tasks")


def test_a_folder_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(TASK_PATH, str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match=r"WORLDSAMPLE_TASK_PATH.*nowhere"):
        make_task("button")
    with pytest.raises(ConfigError, match=r"WORLDSAMPLE_TASK_PATH.*nowhere"):
        configuration.known("tasks")

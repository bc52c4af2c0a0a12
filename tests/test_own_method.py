"""docs/adding-a-method.md, followed to the letter: one file and one YAML in any folder make a method."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from worldsample_bringup.run import configuration, prepare
from worldsample_bringup.run.options import Request
from worldsample_core.config import ConfigError, from_mapping
from worldsample_core.extension_path import METHOD_PATH
from worldsample_core.settings import load_settings
from worldsample_policy.algorithms.make_algorithm import algorithm_class
from worldsample_policy.learner_config import LearnerConfig
from worldsample_policy.learning.learner import Learner
from worldsample_policy.tiny_learner import SIZE, make_episode, tiny_config

GUIDE = Path(__file__).resolve().parent.parent / "docs" / "adding-a-method.md"


def block(language: str) -> str:
    """The one code block of that language in the guide."""
    (text,) = re.findall(rf"^```{language}\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    return str(text)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "own methods"
    folder.mkdir()
    (folder / "imitation.py").write_text(block("python"))
    (folder / "imitation.yaml").write_text(block("yaml"))
    monkeypatch.setenv(METHOD_PATH, str(folder))
    return folder


def test_the_method_of_the_guide_learns_from_its_configuration(folder: Path, tmp_path: Path) -> None:
    """From the command's request to a learner that gets better at what was demonstrated."""
    assert "imitation" in configuration.known("methods")
    plan = prepare.plan(Request("train", "pushing", method="imitation", machine="cpu"), tmp_path / "runs")
    plan.begin().close()
    settings = load_settings(plan.folder.config)  # as every node reads it
    asked = from_mapping(LearnerConfig, settings.learner, "learner")
    assert (asked.algorithm, asked.updates_before) == ("imitation", 1000)

    learner = Learner(tiny_config(algorithm=asked.algorithm, lr=3e-3), settings.task)
    rng = np.random.default_rng(0)
    for transition in make_episode(rng, 8, source="demo", size=SIZE):
        learner.add(transition)
    learner.adapt_encoder()
    first = learner.pretrain(1)["bc_loss"]
    for transition in make_episode(rng, 8, episode=1, first_seq=8, size=SIZE, interventions=(2, 3)):
        learner.add(transition)
    assert len(learner.replay.demonstrations) == 8 + 2, "what a person drove is imitated, too"
    for _ in range(60):
        last = learner.update()["bc_loss"]
    assert last < first - 1.0 and learner.updates == 61

    learner.save(tmp_path / "step_1", replay=True)
    other = Learner(learner.config, settings.task)
    other.load(tmp_path / "step_1")
    assert other.update() == learner.update(), "it goes on from a checkpoint exactly"


def test_an_unknown_method_lists_own_ones_too(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"imitation.*sac"):
        algorithm_class("imitatoin")
    with pytest.raises(ConfigError, match="imitation"):
        from_mapping(LearnerConfig, {"algorithm": "imitatoin"}, "learner")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("import nothing_like_this", "broken.py does not load.*nothing_like_this"),
        ("x = 1", "broken.py.*no Algorithm class with name = 'broken'"),
    ],
)
def test_a_file_that_is_no_method_is_named_with_the_reason(folder: Path, text: str, complaint: str) -> None:
    (folder / "broken.py").write_text(text)
    with pytest.raises(ConfigError, match=complaint):
        algorithm_class("broken")
    assert algorithm_class("imitation").name == "imitation", "the others still work"


def test_names_cannot_be_taken_twice(folder: Path) -> None:
    (folder / "wmpo.py").write_text("")
    (folder / "wmpo.yaml").write_text("")
    with pytest.raises(ConfigError, match=r"wmpo.*comes with WorldSample"):
        algorithm_class("wmpo")
    with pytest.raises(ConfigError, match=r"wmpo.*comes with WorldSample"):
        configuration.known("methods")

"""The classifier on real rollouts: from recorded labels to a judgement, kept with the run."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("worldsample_msgs")
from worldsample_core.config import ConfigError, TaskConfig
from worldsample_core.episodes.episode_bag import encode_transition
from worldsample_core.episodes.episode_store import EpisodeStore
from worldsample_core.observation import Observation
from worldsample_core.settings import RunConfig, Settings
from worldsample_core.success_detector import make_success_detector
from worldsample_core.transition import EpisodeSummary
from worldsample_worldmodel.data.episodes import Episode
from worldsample_worldmodel.reward.recorded_labels import count_labels
from worldsample_worldmodel.success_detection import FILE, fit_and_keep, load

from .conftest import moving_square
from .test_reward_model import steps_of

TASK = TaskConfig(
    name="sliding",
    horizon=12,
    gamma=0.97,
    active=(True,) * 7,
    action_scale=(0.012,) * 3 + (0.1,) * 3 + (1.0,),
    box_low=(0.1, -0.2, 0.0),
    box_high=(0.5, 0.2, 0.3),
    reset_joints=(0.0,) * 6,
    reset_gripper=1.0,
    max_real_steps=100,
)
REWARD = {"width": 8, "hidden": 32, "updates": 60, "batch": 32, "reaction": 1, "near": 3}


def record(folder: Path, episodes: list[Episode], aborted: bool = False) -> None:
    """Record what ``worldsample label`` leaves: the last four frames of each episode show a success."""
    folder.mkdir(exist_ok=True)
    store = EpisodeStore(folder, "labels", min_free_bytes=0, custom={"task": "sliding", "image_size": "32"})
    for episode in episodes:
        store.begin("label")
        for step in steps_of(episode, [False] * 8 + [True] * 4):
            store.append(encode_transition(dataclasses.replace(step, seq=store.next_seq, source="demo")))
        store.finish(EpisodeSummary("label", 0, 12, 4.0, success=False, truncated=True, aborted=aborted))
    store.close()


def settings_of(folder: Path, labels: Path, **run: object) -> Settings:
    folder.mkdir(exist_ok=True)
    values = {"image_size": 32, "classifier_from": str(labels), "reward": "classifier", **run}
    return Settings(
        RunConfig("r", str(folder), **values),  # type: ignore[arg-type]
        TASK,
        worldmodel={"model": {"image_size": 32}, "reward": {**REWARD, "image_size": 32}},
    )


def test_a_run_judges_by_what_was_labelled_and_keeps_its_classifier(tmp_path: Path) -> None:
    labels, run = tmp_path / "labels", tmp_path / "run"
    record(labels, [moving_square(i) for i in range(8)])
    settings = settings_of(run, labels)
    detector = make_success_detector(settings)
    seen = moving_square(20)
    for _ in range(2):  # each episode anew
        detector.restart()
        said = [detector.observe(Observation(i, p)) for i, p in zip(seen.images, seen.proprio, strict=True)]
        assert not any(said[:7]) and said[-1]
        assert said == sorted(said), "a success stays"
    assert not (labels / FILE).exists() and (run / FILE).exists()
    for bag in (labels / "episodes").iterdir():
        if bag.is_dir():
            bag.rename(tmp_path / bag.name)
    make_success_detector(settings)  # a resumed run needs the labels no more
    with pytest.raises(ConfigError, match=r"is of task 'sliding'.*this run is of 'other'"):
        load(run / FILE, dataclasses.replace(settings, task=dataclasses.replace(TASK, name="other")))
    (run / FILE).write_bytes(b"rotten")
    with pytest.raises(ConfigError, match="cannot be used"):
        make_success_detector(settings)


def test_what_cannot_be_used_is_said(tmp_path: Path) -> None:
    labels = tmp_path / "labels"
    record(labels, [moving_square(0)], aborted=True)
    with pytest.raises(ConfigError, match="no labelled frames of both kinds"):
        make_success_detector(settings_of(tmp_path / "run", labels))
    record(labels, [moving_square(1)])
    assert count_labels(labels).successes == 4, "what was thrown away does not count"
    with pytest.raises(ConfigError, match="image_size 32, this run has image_size 64"):
        make_success_detector(settings_of(tmp_path / "run", labels, image_size=64))
    with pytest.raises(ConfigError, match="module:function"):
        make_success_detector(settings_of(tmp_path / "run", labels, classifier="nowhere:make"))


def test_more_labels_make_a_new_classifier(tmp_path: Path) -> None:
    labels = tmp_path / "labels"
    record(labels, [moving_square(i) for i in range(2)])
    settings = settings_of(labels, labels)
    fit_and_keep(labels, settings)
    for run in ("first", "second"):
        make_success_detector(settings_of(tmp_path / run, labels))
        record(labels, [moving_square(i) for i in range(2, 4)])
    kept, first, second = (
        load(folder / FILE, settings) for folder in (labels, tmp_path / "first", tmp_path / "second")
    )
    assert first.proprio_mean.equal(kept.proprio_mean)
    assert not second.proprio_mean.equal(kept.proprio_mean)

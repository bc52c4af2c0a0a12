"""The reward model on real rollouts: fitted to what a person labelled, kept in the run folder."""

from __future__ import annotations

import dataclasses
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from worldsample_core.checkpoint_error import CheckpointError
from worldsample_core.command_name import command_name
from worldsample_core.config import ConfigError, from_mapping
from worldsample_core.observation import Observation
from worldsample_core.settings import Settings
from worldsample_worldmodel.model import model_file
from worldsample_worldmodel.reward.recorded_labels import count_labels, recorded_labels
from worldsample_worldmodel.reward.reward_model import RewardModel, RewardReport, fit_reward_model
from worldsample_worldmodel.reward.reward_model_config import RewardModelConfig
from worldsample_worldmodel.worldmodel_config import WorldModelNodeConfig

FILE = "reward_model.safetensors"
"""Name of the classifier's file in a run folder, or in the folder of a recording."""


class RewardModelDetector:
    """Success by the reward model's gate, threshold and hysteresis, over the frames of an episode."""

    def __init__(self, model: RewardModel) -> None:
        self.model = model
        self._probability: list[float] = []

    def restart(self) -> None:
        self._probability.clear()

    def observe(self, observation: Observation) -> bool:
        images, proprio = observation.images[None], observation.proprio[None]
        self._probability.append(float(self.model.probability(images, proprio)[0]))
        return bool(self.model.detect(np.array(self._probability, np.float32))[-1])


def make(settings: Settings) -> RewardModelDetector:
    """Make the detector of a run.

    It is the classifier in the run's folder, or that of ``run.classifier_from``, or a new one fitted to the
    labels there. It is kept in the run folder, so that a resumed run judges as before.

    Raises:
        ConfigError: there are no labels, or they are of another task or image size.
    """
    run = settings.run
    source = Path(run.classifier_from)
    for path in (run.path / FILE, source / FILE):
        if path.is_file() and not (path.parent == source and _is_stale(path)):
            model = load(path, settings)
            break
    else:
        model, _ = fit(source, settings)
    if not (run.path / FILE).exists():
        model_file.write(
            run.path / FILE, model.state_dict(), _counters(model, settings, count_labels(source))
        )
    detector = RewardModelDetector(model)
    size = run.image_size
    detector.observe(Observation(np.zeros((2, size, size, 3), np.uint8), np.zeros(10, np.float32)))
    detector.restart()  # the first inference is slow: not in an episode
    return detector


def fit(folder: Path, settings: Settings) -> tuple[RewardModel, RewardReport]:
    """A classifier of the labels in ``folder``. Raises :class:`ConfigError`."""
    section = from_mapping(WorldModelNodeConfig, settings.worldmodel, "worldmodel")
    run = settings.run
    config = dataclasses.replace(section.reward, image_size=run.image_size, seed=run.seed, device="cpu")
    frames = recorded_labels(folder, settings, config)
    if frames is None or not frames.label.any() or frames.label.all():
        raise ConfigError(
            f"{folder} has no labelled frames of both kinds to fit the reward classifier to: record some "
            f"with `{command_name()} label`"
        )
    model = RewardModel(config)
    return model, fit_reward_model(model, [], recorded=frames)


def fit_and_keep(folder: Path, settings: Settings) -> RewardReport:
    """Fit a classifier to the labels of a recording, and keep it beside them. Raises :class:`ConfigError`."""
    model, report = fit(folder, settings)
    model_file.write(
        folder / FILE, model.state_dict(), _counters(model, settings, count_labels(folder), report)
    )
    return report


def load(path: Path, settings: Settings) -> RewardModel:
    """A classifier that was kept.

    Raises:
        ConfigError: it is damaged, or of another task or image size.
    """
    try:
        tensors, counters = model_file.read(path)
        model = RewardModel(from_mapping(RewardModelConfig, counters["config"], str(path)))
        model.load_state_dict(tensors)
    except (CheckpointError, KeyError, RuntimeError) as problem:
        raise ConfigError(f"the reward classifier {path} cannot be used: {problem}") from problem
    there = (counters.get("task"), model.config.image_size)
    here = (settings.task.name, settings.run.image_size)
    if there != here:
        raise ConfigError(
            f"the reward classifier {path} is of task {there[0]!r} and images of {there[1]} pixels, this run "
            f"is of {here[0]!r} and {here[1]}: record labels for it with `{command_name()} label`"
        )
    model.eval()
    return model


def _is_stale(path: Path) -> bool:
    """True if more was labelled since the classifier was fitted."""
    count = count_labels(path.parent)
    try:
        known = model_file.read(path)[1].get("labels")
    except CheckpointError:
        return True
    return bool(count.successes) and known != asdict(count)


def _counters(
    model: RewardModel, settings: Settings, labels: Any, report: RewardReport | None = None
) -> dict[str, Any]:
    return {
        "config": asdict(model.config),
        "task": settings.task.name,
        "labels": asdict(labels),
        "report": None if report is None else asdict(report),
    }

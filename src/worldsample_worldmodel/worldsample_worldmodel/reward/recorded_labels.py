"""Frames that a person labelled (``worldsample label``), from the bags of a recording."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from worldsample_core.command_name import command_name
from worldsample_core.config import ConfigError
from worldsample_core.episodes.episode_bag import read_transitions
from worldsample_core.episodes.label_count import LabelCount, is_kept, label_count
from worldsample_core.episodes.recorded_bags import recorded_bags
from worldsample_core.episodes.recorded_with import CROPS
from worldsample_core.settings import Settings
from worldsample_worldmodel.reward.reward_model import LabelledFrames, joined, recorded_frames
from worldsample_worldmodel.reward.reward_model_config import RewardModelConfig


def count_labels(folder: Path) -> LabelCount:
    """Count the labelled frames of a folder."""
    return label_count(bag.summary for bag in recorded_bags(folder, "label"))


def recorded_labels(folder: Path, settings: Settings, config: RewardModelConfig) -> LabelledFrames | None:
    """All labelled frames of a folder, its episodes in random order; None where it has none.

    Raises:
        ConfigError: they are of another task or image size than the run.
        DamagedBag: a bag cannot be read.
    """
    found = []
    for bag in recorded_bags(folder, "label"):
        if is_kept(bag.summary):
            _check(bag.path, bag.custom, settings)
            found.append(bag.path)
    if not found:
        return None
    order = np.random.default_rng(config.seed).permutation(len(found))
    return joined([recorded_frames(read_transitions(found[i]), config.reaction, config.near) for i in order])


def _check(bag: Path, custom: dict[str, str], settings: Settings) -> None:
    for what, there, here in (
        ("task", custom.get("task"), settings.task.name),
        ("image_size", custom.get("image_size"), str(settings.run.image_size)),
        ("regions of interest", custom.get(CROPS, "") or "none", settings.cameras.crops or "none"),
    ):
        if there not in (None, here):
            raise ConfigError(
                f"{bag} has labels with {what} {there}, this run has {what} {here}: give the run the same, "
                f"or record labels for it with `{command_name()} label`"
            )

"""Settings of the success classifier; free of torch, so that they are read quickly."""

from __future__ import annotations

from dataclasses import dataclass

from worldsample_core.units import Frames, Pixels, Updates


@dataclass(frozen=True)
class RewardModelConfig:
    """Size and training of the classifier."""

    image_size: Pixels = 64
    """Side of the frames; a multiple of 16; follows run.image_size."""
    width: int = 32
    """Channels of the first convolution."""
    hidden: int = 256
    """Width of the dense layer."""
    dropout: float = 0.1
    """Dropout of the dense layer."""
    hold: Frames = 2
    """Frames in a row that must be above the threshold; also the last frames of a successful episode that
    count as successes (the label says when the success had held that long)."""
    unsure: Frames = 0
    """Frames right before those that are left out: 0 in simulation, which knows; 1 where a person says when
    it succeeded."""
    release: float = 0.2
    """Below threshold - release the count starts again; in between it stands still."""
    near: Frames = 8
    """Frames before a success that make up half of the negatives."""
    margin: float = 0.003
    """Margin of the gate beyond the poses of known successes, in m (position), rad, and gripper opening."""
    reaction: Frames = 2
    """Recorded labels: frames before the button was pressed or let go that are left out, because a person is
    late."""
    updates: Updates = 300
    """Updates of the first fit."""
    refit_updates: Updates = 75
    """Updates of every later fit, which goes on from the weights that are there."""
    batch: Frames = 64
    """Frames per update."""
    learning_rate: float = 1e-3
    """Step size of a fit."""
    shift: Pixels = 2
    """Largest random shift of a frame."""
    threshold_low: float = 0.3
    """Least value of the chosen threshold."""
    threshold_high: float = 0.85
    """Greatest value of the chosen threshold."""
    validation: float = 0.2
    """Share of the episodes kept for choosing the threshold."""
    device: str = "cpu"
    """torch device of the reward model ("cpu", "cuda"); the world model's."""
    seed: int = 0
    """Seed of initialisation and sampling; follows run.seed."""

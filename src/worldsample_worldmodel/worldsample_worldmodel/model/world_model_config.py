"""Every setting of the world model's side, with its default for a computer without a GPU."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class WorldModelConfig:
    """Size and training of the video model; the ``gpu`` machine changes these numbers only.

    Attributes:
        image_size: side of the frames, pixels; a multiple of 32.
        width: channels at the 32x32 level; the 16x16 and 8x8 levels have 1.5 and 2 times as many.
        latent: size of the dynamics' hidden state.
        members: of the dynamics' ensemble.
        flow_modes: terms of the bilinear flow (see :mod:`worldsample_worldmodel.model.frame_decoder`).
        keypoints: learned keypoints per view.
        horizon: steps of a generated segment, control steps.
        noise: so much of the proprioception's predicted deviation is drawn once per imagined segment. 0: what
            differs from segment to segment is the member of the ensemble. A deviation covers rare contacts
            too: drawn, it puts every arm beside what its own pictures show.
        batch: segments per update.
        frames_per_segment: horizons decoded per segment in an update.
        motions: segments without images per update, for the dynamics.
        learning_rate, weight_decay, warmup: of AdamW; updates until the full rate.
        moving_weight: extra weight of the pixels that differ from the last real frame.
        average: decay of the exponential moving average of the weights that generates.
        device: cpu or cuda.
        autocast: train and generate in bfloat16 (needs AMX or AVX512-BF16 to pay on a CPU).
        seed: of initialisation and sampling.
    """

    image_size: int = 64
    width: int = 32
    latent: int = 128
    members: int = 3
    flow_modes: int = 8
    keypoints: int = 8
    horizon: int = 8
    noise: float = 0.0
    batch: int = 8
    frames_per_segment: int = 3
    motions: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    warmup: int = 100
    moving_weight: float = 2.0
    average: float = 0.995
    device: str = "cpu"
    autocast: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if self.image_size % 32 or self.image_size < 32:
            raise ValueError(f"image_size must be a multiple of 32, got {self.image_size}")
        if min(self.width, self.latent, self.members, self.horizon, self.batch, self.frames_per_segment) < 1:
            raise ValueError("sizes of the world model must be at least 1")
        if self.noise < 0.0:
            raise ValueError(f"noise must not be negative, got {self.noise}")
        if not 0.0 <= self.average < 1.0:
            raise ValueError(f"average must be in [0, 1), got {self.average}")

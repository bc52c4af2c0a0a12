"""Every setting of the world model's side, with its default for a computer without a GPU."""

from __future__ import annotations

from dataclasses import dataclass

from worldsample_core.units import ControlSteps, Frames, Pixels, Segments, Updates


@dataclass(frozen=True)
class WorldModelConfig:
    """Size and training of the video model; the ``gpu`` machine changes these numbers only."""

    image_size: Pixels = 64
    """Side of the frames; a multiple of 32; follows run.image_size."""
    width: int = 32
    """Channels at the 32x32 level; the 16x16 and 8x8 levels have 1.5 and 2 times as many."""
    latent: int = 128
    """Size of the dynamics' hidden state."""
    members: int = 3
    """Members of the dynamics' ensemble."""
    flow_modes: int = 8
    """Terms of the bilinear flow (see :mod:`worldsample_worldmodel.model.frame_decoder`)."""
    keypoints: int = 8
    """Learned keypoints per view."""
    horizon: ControlSteps = 8
    """Steps of a generated segment."""
    noise: float = 0.0
    """Share of the proprioception's predicted deviation that is drawn once per imagined segment. 0: segments
    differ by the member of the ensemble only. A deviation covers rare contacts, too: drawn, it puts every arm
    beside what its own pictures show.
    """
    batch: Segments = 8
    """Segments per update."""
    frames_per_segment: Frames = 3
    """Horizons decoded per segment in an update."""
    motions: Segments = 64
    """Segments without images per update, for the dynamics."""
    learning_rate: float = 2e-3
    """Step size of AdamW."""
    weight_decay: float = 1e-4
    """Weight decay of AdamW."""
    warmup: Updates = 100
    """Updates until the full step size."""
    moving_weight: float = 2.0
    """Extra weight of the pixels that differ from the last real frame."""
    average: float = 0.995
    """Decay of the exponential moving average of the weights that generates."""
    device: str = "cpu"
    """torch device of the world model ("cpu", "cuda")."""
    autocast: bool = True
    """Train and generate in bfloat16 on a GPU, and on a CPU that computes in it (AMX or AVX512-BF16)."""
    seed: int = 0
    """Seed of initialisation and sampling; follows run.seed."""

    def __post_init__(self) -> None:
        if self.image_size % 32 or self.image_size < 32:
            raise ValueError(f"image_size must be a multiple of 32, got {self.image_size}")
        if min(self.width, self.latent, self.members, self.horizon, self.batch, self.frames_per_segment) < 1:
            raise ValueError("sizes of the world model must be at least 1")
        if self.noise < 0.0:
            raise ValueError(f"noise must not be negative, got {self.noise}")
        if not 0.0 <= self.average < 1.0:
            raise ValueError(f"average must be in [0, 1), got {self.average}")

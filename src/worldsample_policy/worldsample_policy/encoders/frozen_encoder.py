"""Frozen encoders: from images to latents, run once per frame on arrival.

A frame's latents are (V, C, h, w) float32, standardised: minus the mean frame's latent, over the deviation of
the channel, so that what never moves is zero and what moves is of order one. Statistics and weights come from
the demonstrations (`Encoder.fit`) and travel with the policy's weights.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from worldsample_policy.encoders.conv_encoder import ConvEncoder
from worldsample_policy.encoders.random_shift import images_to_float
from worldsample_policy.learner_config import LearnerConfig

Frames = npt.NDArray[np.uint8]
"""(N, V, H, W, 3) uint8 images."""

VIEWS = 2


class Encoder(nn.Module):
    """Base of the frozen encoders: raw latents of a network, standardised as the demonstrations are."""

    latent_mean: Tensor
    latent_scale: Tensor
    fitted: Tensor

    def __init__(self, config: LearnerConfig, views: int = VIEWS) -> None:
        super().__init__()
        self.config, self.views = config, views
        self.latent_shape: tuple[int, ...] = (
            views,
            config.latent_channels,
            config.latent_size,
            config.latent_size,
        )
        self.register_buffer("latent_mean", torch.zeros(self.latent_shape))
        self.register_buffer("latent_scale", torch.ones(views, config.latent_channels, 1, 1))
        self.register_buffer("fitted", torch.zeros(1, dtype=torch.bool))

    def prepare(self) -> None:
        """Load pretrained weights, where the variant has any; for the learner, before `fit`."""

    @abstractmethod
    def raw(self, images: Tensor) -> Tensor:
        """(B, V, H, W, 3) uint8 -> raw latents (B, V, C, h, w)."""

    def train_on(
        self, frames: Frames, progress: Callable[[dict[str, float]], None] | None
    ) -> dict[str, float]:
        """Fit the network's weights, where the variant has any to fit. frames: (N, V, H, W, 3)."""
        return {}

    def fit(
        self, frames: Frames, progress: Callable[[dict[str, float]], None] | None = None
    ) -> dict[str, float]:
        """Adapt weights (where trained) and statistics to the frames (N, V, H, W, 3) uint8, then freeze.

        Returns what the training measured (loss, psnr). Raises ValueError on frames of another size.
        """
        check_frames(frames, self.views, self.config.image_size)
        logs = self.train_on(frames, progress)
        device = self.latent_mean.device
        with torch.no_grad():
            parts = np.array_split(frames, -(-len(frames) // 64))
            latents = torch.cat([self.raw(torch.from_numpy(part).to(device)) for part in parts])
            self.latent_mean.copy_(latents.mean(0))
            deviation = (latents - self.latent_mean).square().mean((0, 3, 4), keepdim=True).sqrt()[0]
            self.latent_scale.copy_(1.0 / deviation.clamp_min(1e-5))
            self.fitted.fill_(True)
        return logs

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """(B, V, H, W, 3) uint8 -> standardised latents (B, V, C, h, w) float32, within +-20."""
        return ((self.raw(images) - self.latent_mean) * self.latent_scale).clamp_(-20.0, 20.0)


def check_frames(frames: Frames, views: int, image_size: int) -> None:
    """Raise ValueError unless frames is (N, views, image_size, image_size, 3) uint8."""
    expected = (views, image_size, image_size, 3)
    if frames.dtype != np.uint8 or frames.shape[1:] != expected:
        raise ValueError(
            f"expected images (N, {', '.join(map(str, expected))}) uint8, got {frames.shape} {frames.dtype}; "
            "set learner.image_size to the size that the cameras node sends"
        )


class RandomEncoder(Encoder):
    """Random convolutions, never trained: the floor that the other encoders have to beat."""

    def __init__(self, config: LearnerConfig, views: int = VIEWS) -> None:
        super().__init__(config, views)
        self.network = ConvEncoder(
            views, config.image_size, config.latent_size, config.latent_channels, config.encoder_width
        )
        self.network.requires_grad_(False)

    def raw(self, images: Tensor) -> Tensor:
        return self.network(images_to_float(images))


class PassThrough(Encoder):
    """The images themselves (B, V, H, W, 3) uint8 in place of latents, for `learned`.

    The network that learns lives in `Projection`.
    """

    def __init__(self, config: LearnerConfig, views: int = VIEWS) -> None:
        super().__init__(config, views)
        self.latent_shape = (views, config.image_size, config.image_size, 3)

    def fit(
        self, frames: Frames, progress: Callable[[dict[str, float]], None] | None = None
    ) -> dict[str, float]:
        check_frames(frames, self.views, self.config.image_size)
        self.fitted.fill_(True)
        return {}

    def raw(self, images: Tensor) -> Tensor:
        return images

    def forward(self, images: Tensor) -> Tensor:
        return images

"""From images to latents: frozen encoders, run once per frame on arrival, and the trainable one of the
`learned` variant.

A frame's latents are (V, C, h, w) float32, standardised: minus the mean frame's latent, over the deviation of
the channel, so that what never moves is zero and what moves is of order one. Statistics and weights come from
the demonstrations (`Encoder.fit`) and travel with the policy's weights.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldsample_policy.learner_config import LearnerConfig

Frames = npt.NDArray[np.uint8]
"""(N, V, H, W, 3) uint8 images."""

VIEWS = 2


def images_to_float(images: Tensor) -> Tensor:
    """(..., H, W, 3) uint8 -> (..., 3, H, W) float32 in [-0.5, 0.5]."""
    return images.movedim(-1, -3).float().mul_(1.0 / 255.0).sub_(0.5)


def shifted_copies(images: Tensor, copies: int, pixels: int, rng: np.random.Generator) -> Tensor:
    """(V, H, W, 3) -> (copies, V, H, W, 3): the image itself and random shifts of it by up to `pixels`, edges
    replicated.

    Each view shifts on its own, as its camera would shake on its own.
    """
    views, height, width, _ = images.shape
    result = images.new_empty((copies, *images.shape))
    result[0] = images
    rows, columns = np.arange(height), np.arange(width)
    for copy in range(1, copies):
        for view in range(views):
            down, right = rng.integers(-pixels, pixels + 1, 2)
            index = np.ix_(np.clip(rows + down, 0, height - 1), np.clip(columns + right, 0, width - 1))
            result[copy, view] = images[view][index[0], index[1]]
    return result


def random_shift(images: Tensor, pixels: int, generator: torch.Generator | None = None) -> Tensor:
    """(B, V, H, W, 3) -> the same, each frame shifted by up to `pixels`, edges replicated [DrQ]."""
    batch, views, height, width, _ = images.shape
    device = images.device
    moves = torch.randint(-pixels, pixels + 1, (2, batch, 1), generator=generator, device=device)
    rows = (moves[0] + torch.arange(height, device=device)).clamp_(0, height - 1)
    columns = (moves[1] + torch.arange(width, device=device)).clamp_(0, width - 1)
    frame = torch.arange(batch, device=device).view(batch, 1, 1, 1)
    view = torch.arange(views, device=device).view(1, views, 1, 1)
    return images[frame, view, rows.view(batch, 1, height, 1), columns.view(batch, 1, 1, width)]


class ConvEncoder(nn.Module):
    """A small strided convolutional network per view: (B, V, 3, H, W) -> (B, V, C, h, w).

    A 4x4 stride-4 patch embedding, stride-2 3x3 convolutions down to the latent grid, one 3x3 residual, 1x1
    to C channels. The views run as groups of one network's batch where they share weights.
    """

    def __init__(
        self, views: int, image_size: int, latent_size: int, channels: int, width: int, separate: bool = True
    ) -> None:
        super().__init__()
        self.views, self.separate = views, separate
        self.networks = nn.ModuleList(
            [
                encoder_network(image_size, latent_size, channels, width)
                for _ in range(views if separate else 1)
            ]
        )
        if not separate:
            self.view_embedding = nn.Parameter(torch.zeros(views, channels, latent_size, latent_size))

    def forward(self, images: Tensor) -> Tensor:
        if self.separate:
            return torch.stack([network(images[:, v]) for v, network in enumerate(self.networks)], 1)
        latent = self.networks[0](images.flatten(0, 1))
        return latent.unflatten(0, images.shape[:2]) + self.view_embedding


class Residual(nn.Module):
    """x + conv(silu(x)), 3x3."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(F.silu(x))


def encoder_network(image_size: int, latent_size: int, channels: int, width: int) -> nn.Sequential:
    """(N, 3, image_size, image_size) -> (N, channels, latent_size, latent_size)."""
    factor = image_size // latent_size
    if image_size % latent_size or factor < 4 or factor & (factor - 1):
        raise ValueError(f"image_size / latent_size must be 4, 8, 16 ...; got {image_size} / {latent_size}")
    layers: list[nn.Module] = [nn.Conv2d(3, width, 4, stride=4)]
    for _ in range(int(math.log2(factor)) - 2):
        wider = min(2 * width, 64)
        layers += [nn.SiLU(), nn.Conv2d(width, wider, 3, stride=2, padding=1)]
        width = wider
    layers += [Residual(width), nn.SiLU(), nn.Conv2d(width, channels, 1)]
    return nn.Sequential(
        *layers
    )  # torch's small initial weights: smooth latents, from which policies generalise best


class Encoder(nn.Module):
    """Base of the frozen encoders: a network's raw latents, standardised by the statistics of the
    demonstrations."""

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
        """Adapt to the task's frames (N, V, H, W, 3) uint8, then freeze: weights (where trained) and
        statistics.

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
    """For `learned`: the images themselves (B, V, H, W, 3) uint8 are stored; the network lives in
    `Projection`."""

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


def make_encoder(config: LearnerConfig, views: int = VIEWS) -> Encoder:
    """The frozen encoder that `config.encoder` names."""
    if config.encoder == "random":
        return RandomEncoder(config, views)
    if config.encoder == "autoencoder":
        from worldsample_policy.encoders.tokenizer import Tokenizer

        return Tokenizer(config, views)
    if config.encoder == "efficientnet_lite0":
        from worldsample_policy.encoders.efficientnet import EfficientNetEncoder

        return EfficientNetEncoder(config, views)
    return PassThrough(config, views)

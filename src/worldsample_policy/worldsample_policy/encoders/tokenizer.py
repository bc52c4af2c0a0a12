"""The dual-view tokenizer: a convolutional autoencoder adapted to the task's frames, then frozen.

Policy, reward model and world model share its latents; its decoder shows what a latent means.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldsample_policy.encoders.conv_encoder import ConvEncoder, Residual
from worldsample_policy.encoders.frozen_encoder import VIEWS, Encoder, Frames
from worldsample_policy.encoders.random_shift import images_to_float
from worldsample_policy.learner_config import LearnerConfig
from worldsample_policy.sac.adam import Adam


def decoder_network(image_size: int, latent_size: int, channels: int, width: int) -> nn.Sequential:
    """(N, channels, latent_size, latent_size) -> (N, 3, image_size, image_size)."""
    steps = int(math.log2(image_size // latent_size)) - 2  # the last factor of 4 is one pixel shuffle
    wide = min(width * 2**steps, 64)
    layers: list[nn.Module] = [nn.Conv2d(channels, wide, 3, padding=1), Residual(wide), nn.SiLU()]
    for step in reversed(range(steps)):
        narrow = min(width * 2**step, 64)
        layers += [
            nn.Conv2d(wide, 4 * narrow, 1),
            nn.PixelShuffle(2),
            nn.SiLU(),
            nn.Conv2d(narrow, narrow, 3, padding=1),
            nn.SiLU(),
        ]
        wide = narrow
    layers += [nn.Conv2d(wide, 3 * 16, 3, padding=1), nn.PixelShuffle(4)]
    return he_init(nn.Sequential(*layers))


def he_init(network: nn.Sequential) -> nn.Sequential:
    """Initialise all convolutions after He: activations keep their size; with torch's default they shrink."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            assert module.bias is not None
            nn.init.zeros_(module.bias)
    return network


class Tokenizer(Encoder):
    """Dual-view autoencoder: images (B, V, H, W, 3) uint8 <-> standardised latents (B, V, C, h, w)."""

    def __init__(self, config: LearnerConfig, views: int = VIEWS) -> None:
        super().__init__(config, views)
        self.network = ConvEncoder(
            views,
            config.image_size,
            config.latent_size,
            config.latent_channels,
            config.encoder_width,
            config.separate_views,
        )
        self.decoders = nn.ModuleList(
            [
                decoder_network(
                    config.image_size, config.latent_size, config.latent_channels, config.encoder_width
                )
                for _ in range(views if config.separate_views else 1)
            ]
        )
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.requires_grad_(False)

    def raw(self, images: Tensor) -> Tensor:
        return self.network(images_to_float(images))

    def decode_raw(self, latent: Tensor) -> Tensor:
        """Raw latents (B, V, C, h, w) -> (B, V, 3, H, W) in [-0.5, 0.5]."""
        if not self.config.separate_views:
            return self.decoders[0](latent.flatten(0, 1)).unflatten(0, latent.shape[:2])
        return torch.stack([decoder(latent[:, v]) for v, decoder in enumerate(self.decoders)], 1)

    @torch.no_grad()
    def decode(self, latent: Tensor) -> Tensor:
        """Standardised latents (B, V, C, h, w) -> images (B, V, H, W, 3) uint8."""
        pixels = self.decode_raw(latent / self.latent_scale + self.latent_mean)
        return pixels.add_(0.5).mul_(255.0).round_().clamp_(0, 255).to(torch.uint8).movedim(-3, -1)

    def train_on(
        self, frames: Frames, progress: Callable[[dict[str, float]], None] | None = None
    ) -> dict[str, float]:
        """Minimise the weighted square error of reconstruction on randomly shifted frames (N, V, H, W, 3).

        A pixel's weight is 1 + motion_weight * d / mean(d), at most 1 + 8 motion_weight, d its deviation from
        the view's mean frame: what rarely moves, and what is small, would otherwise be cheaper to ignore.
        """
        config, rng = self.config, np.random.default_rng(self.config.seed)
        images, device = torch.from_numpy(frames), self.latent_mean.device
        mean = images_to_float(torch.from_numpy(frames.mean(0, dtype=np.float32)).to(device))
        sample = images_to_float(images[torch.from_numpy(rng.integers(len(frames), size=256))].to(device))
        scale = 1.0 / (sample - mean).abs().mean((0, 2, 3, 4), keepdim=True).clamp_min(1e-4)
        self.requires_grad_(True)
        parameters = list(self.parameters())
        optimizer = Adam(parameters, config.encoder_lr)
        pixels = max(1, round(config.image_size * config.shift_fraction))
        logs: dict[str, float] = {}
        for step in range(config.encoder_steps):
            warm, done = min(1.0, (step + 1) / 50), step / config.encoder_steps
            optimizer.learning_rate = config.encoder_lr * warm * (0.5 + 0.5 * math.cos(math.pi * done))
            index = torch.from_numpy(rng.integers(len(frames), size=config.encoder_batch))
            down, right = (int(x) for x in rng.integers(-pixels, pixels + 1, 2))
            batch = images_to_float(images[index].to(device))
            deviation = (batch - mean).abs().mean(2, keepdim=True) * scale  # (B, V, 1, H, W)
            weight = 1.0 + config.motion_weight * deviation.clamp_max(8.0)
            batch, weight = shift(batch, down, right), shift(weight / weight.mean(), down, right)
            error = (self.decode_raw(self.network(batch)) - batch).square()
            loss = (error * weight).mean()
            self.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step([value.grad for value in parameters if value.grad is not None])
            if step % 5 == 0 or step == config.encoder_steps - 1:  # often: a stop signal waits for it
                logs = {
                    "step": step + 1.0,
                    "loss": loss.item(),
                    "psnr": -10.0 * math.log10(error.mean().item() + 1e-12),
                }
                if progress is not None:
                    progress(logs)
        self.requires_grad_(False)
        return logs


def shift(images: Tensor, down: int, right: int) -> Tensor:
    """Shift (B, V, C, H, W) by whole pixels, edges replicated."""
    pad = max(abs(down), abs(right))
    if pad == 0:
        return images
    height, width = images.shape[-2:]
    padded = F.pad(images.flatten(0, 1), (pad,) * 4, mode="replicate").unflatten(0, images.shape[:2])
    return padded[..., pad + down : pad + down + height, pad + right : pad + right + width]

"""Small strided convolutional networks from images to a latent grid."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


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
    # torch's small initial weights: smooth latents, from which policies generalise best
    return nn.Sequential(*layers)

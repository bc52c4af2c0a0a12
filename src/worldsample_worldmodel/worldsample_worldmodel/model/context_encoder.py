"""From real frames to features: what a view looks like now and looked like at the episode's start."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldsample_worldmodel.model.world_model_config import WorldModelConfig

FRAMES = 2
"""Context frames: the current one, and the first of the episode."""

CARRIED = 16
SUMMARY = 256


class ViewContext(NamedTuple):
    """One view's context of B segments.

    Attributes:
        frames: ``(B, FRAMES, 3, S, S)`` in [-0.5, 0.5]; small: the same at 32x32.
        carried: ``(B, FRAMES, CARRIED, 16, 16)``, features of each frame that move with its pixels.
        coarse: ``(B, c8, 8, 8)``, of both frames. summary: ``(B, 256)``, for the dynamics.
        basis: ``(B, FRAMES * 2, modes, 16, 16)``, L of the bilinear flow (see :mod:`frame_decoder`).
    """

    frames: Tensor
    small: Tensor
    carried: Tensor
    coarse: Tensor
    summary: Tensor
    basis: Tensor

    def repeat(self, index: Tensor) -> ViewContext:
        """The contexts of the segments ``index`` (N,)."""
        return ViewContext(*(part[index] for part in self))


def coordinates(size: int, like: Tensor) -> Tensor:
    """``(1, 2, size, size)``: where a pixel is, in [-1, 1]."""
    line = torch.linspace(-1.0, 1.0, size, device=like.device)
    return torch.stack(torch.meshgrid(line, line, indexing="xy"))[None]


class ViewEncoder(nn.Module):
    """One view's frames, each on its own to 16x16 features, then together to 8x8."""

    def __init__(self, config: WorldModelConfig) -> None:
        super().__init__()
        width = config.width
        fine, middle, coarse = width, width * 3 // 2, width * 2
        self.patch = config.image_size // 32
        self.fine = nn.Conv2d(3 * self.patch**2 + 2, fine, 3, padding=1)
        self.middle = nn.Conv2d(fine, middle, 4, stride=2, padding=1)
        self.middle2 = nn.Conv2d(middle, middle, 3, padding=1)
        self.coarse = nn.Conv2d(FRAMES * middle, coarse, 4, stride=2, padding=1)
        self.coarse2 = nn.Conv2d(coarse, coarse, 3, padding=1)
        self.carried = nn.Conv2d(middle, CARRIED, 1)
        self.squeeze = nn.Conv2d(coarse, SUMMARY // 16, 2, stride=2)
        self.modes = config.flow_modes
        self.upward = nn.Conv2d(coarse, middle, 1)
        self.basis = nn.Conv2d((1 + FRAMES) * middle, FRAMES * 2 * self.modes, 3, padding=1)
        nn.init.zeros_(self.basis.weight)  # nothing moves before something has been learned
        nn.init.zeros_(self.basis.bias)  # type: ignore[arg-type]

    def forward(self, frames: Tensor) -> ViewContext:
        """Features of the frames ``(B, FRAMES, 3, S, S)``, the current one first."""
        small = F.avg_pool2d(frames.flatten(0, 1), self.patch).unflatten(0, frames.shape[:2])
        x = F.pixel_unshuffle(frames.flatten(0, 1), self.patch)
        x = torch.cat([x, coordinates(32, x).expand(len(x), -1, -1, -1)], 1)
        x = F.relu(self.fine(x.contiguous(memory_format=torch.channels_last)))
        x = F.relu(self.middle(x))
        x = x + F.relu(self.middle2(x))
        carried = self.carried(x).float().unflatten(0, frames.shape[:2])
        middle = torch.cat(x.unflatten(0, frames.shape[:2]).unbind(1), 1)
        x = F.relu(self.coarse(middle))
        x = x + F.relu(self.coarse2(x))
        basis = self.basis(torch.cat([F.interpolate(self.upward(x), scale_factor=2), middle], 1))
        basis = basis.float().unflatten(1, (FRAMES * 2, self.modes)).contiguous()
        return ViewContext(frames, small, carried, x, self.squeeze(x).flatten(1), basis)

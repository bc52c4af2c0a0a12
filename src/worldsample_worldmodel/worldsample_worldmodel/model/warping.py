"""Moving pixels: backward warping, and space to depth."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def warp(images: Tensor, flow: Tensor) -> Tensor:
    """``out(x) = images(x + flow(x))``, bilinear, edges replicated.

    Args:
        images: ``(B, C, H, W)``. flow: ``(B, 2, H, W)``, (right, down), in half image sides.
    """
    height, width = images.shape[-2:]
    x = (torch.arange(width, device=images.device) + 0.5) * (2.0 / width) - 1.0
    y = (torch.arange(height, device=images.device) + 0.5) * (2.0 / height) - 1.0
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1) + flow.float().permute(0, 2, 3, 1)
    return F.grid_sample(images.float(), grid, padding_mode="border", align_corners=False)


def enlarge(images: Tensor, factor: int) -> Tensor:
    """Bilinear, ``(B, C, H, W)`` to ``(B, C, factor H, factor W)``."""
    return F.interpolate(images, scale_factor=factor, mode="bilinear", align_corners=False)


def double(features: Tensor) -> Tensor:
    """Repeat every value four times, ``(B, C, H, W)`` to ``(B, C, 2 H, 2 W)``.

    This is cheaper than bilinear interpolation for many channels.
    """
    return F.interpolate(features, scale_factor=2)

"""Random shifts of images: the augmentation that keeps a policy from images from overfitting [DrQ]."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def images_to_float(images: Tensor) -> Tensor:
    """(..., H, W, 3) uint8 -> (..., 3, H, W) float32 in [-0.5, 0.5]."""
    return images.movedim(-1, -3).float().mul_(1.0 / 255.0).sub_(0.5)


def shifted_copies(images: Tensor, copies: int, pixels: int, rng: np.random.Generator) -> Tensor:
    """(V, H, W, 3) -> (copies, V, H, W, 3): the image, and shifts of it by up to `pixels`, edges replicated.

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

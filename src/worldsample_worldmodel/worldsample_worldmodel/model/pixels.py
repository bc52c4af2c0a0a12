"""Training images as the networks see them, and back."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def to_float(images: Tensor) -> Tensor:
    """``(..., H, W, 3) uint8`` to ``(..., 3, H, W)`` in [-0.5, 0.5]."""
    return images.movedim(-1, -3).float().mul_(1.0 / 255.0).sub_(0.5)


def to_uint8(images: Tensor) -> Tensor:
    """The inverse of :func:`to_float`, rounded, on the same device."""
    pixels = images.float().add(0.5).mul_(255.0).round_().clamp_(0, 255).to(torch.uint8)
    return pixels.movedim(-3, -1)


def on_device(array: NDArray[np.generic], device: torch.device) -> Tensor:
    """Copy an array to a device; on the CPU it shares the array's memory."""
    return torch.from_numpy(np.ascontiguousarray(array)).to(device)

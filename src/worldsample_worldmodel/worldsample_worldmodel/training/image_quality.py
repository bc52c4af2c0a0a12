"""PSNR and SSIM of generated frames, per view and horizon, beside copy-last-frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]

MOVING = 12
"""A pixel moves where a channel differs from the last real frame by more than this (of 255)."""


def psnr(images: Images, truth: Images) -> NDArray[np.float64]:
    """Peak signal-to-noise ratio of each frame, dB: ``10 log10(255^2 / MSE)``, at most 60.

    ``(..., H, W, 3) uint8`` twice; the result has the leading shape.
    """
    error = (images.astype(np.float32) - truth.astype(np.float32)) ** 2
    return _decibel(error.mean((-3, -2, -1)))


def moving_psnr(images: Images, truth: Images, last: Images) -> NDArray[np.float64]:
    """PSNR over the pixels where ``truth`` differs from ``last`` by more than ``MOVING``; NaN for none."""
    moving = (np.abs(truth.astype(np.int16) - last.astype(np.int16)) > MOVING).any(-1, keepdims=True)
    error = (images.astype(np.float32) - truth.astype(np.float32)) ** 2
    count = 3 * moving.sum((-3, -2, -1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(count > 0, _decibel((error * moving).sum((-3, -2, -1)) / count), np.nan)


def _decibel(mean_square_error: NDArray[np.floating]) -> NDArray[np.float64]:
    return -10.0 * np.log10(np.maximum(np.asarray(mean_square_error, np.float64) / 255.0**2, 1e-6))


def _window(size: int = 11, deviation: float = 1.5) -> NDArray[np.float32]:
    offsets = np.arange(size) - size // 2
    weights = np.exp(-0.5 * (offsets / deviation) ** 2)
    return (weights / weights.sum()).astype(np.float32)


def _blur(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Gaussian window over (N, H, W), where it fits."""
    window = _window()
    rows = np.lib.stride_tricks.sliding_window_view(image, len(window), 1) @ window
    return np.asarray(np.lib.stride_tricks.sliding_window_view(rows, len(window), 2) @ window, np.float32)


def ssim(images: Images, truth: Images) -> NDArray[np.float64]:
    """Structural similarity of each frame (Wang et al., 2004).

    Gaussian window 11x11, deviation 1.5, K = (0.01, 0.03), population statistics, averaged over the channels
    and the places where the window fits.

    ``(..., H, W, 3) uint8`` twice, H and W at least 11; the result has the leading shape.
    """
    leading, (height, width) = images.shape[:-3], images.shape[-3:-1]
    planes = [
        np.moveaxis(array, -1, -3).reshape(-1, height, width).astype(np.float32) for array in (images, truth)
    ]
    result = np.concatenate([_ssim(x, y) for x, y in zip(*map(_chunks, planes), strict=True)])
    return result.reshape(-1, 3).mean(1).reshape(leading).astype(np.float64)


def _chunks(planes: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    return np.array_split(planes, max(1, len(planes) // 384))


def _ssim(x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
    c1, c2 = (0.01 * 255.0) ** 2, (0.03 * 255.0) ** 2
    mean_x, mean_y = _blur(x), _blur(y)
    variance_x, variance_y = _blur(x * x) - mean_x**2, _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    similarity = ((2 * mean_x * mean_y + c1) * (2 * covariance + c2)) / (
        (mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2)
    )
    return np.asarray(similarity.mean((1, 2)), np.float32)


@dataclass(frozen=True)
class Quality:
    """Figures of N generated segments of H steps, over both views.

    Arrays are ``(H, 2)``: per step and view.
    """

    psnr: float
    ssim: float
    psnr_moving: float
    psnr_by_step: NDArray[np.float64]
    ssim_by_step: NDArray[np.float64]


def quality(images: Images, truth: Images, last: Images) -> Quality:
    """Means over frames, views and horizon of the per-frame figures.

    Args:
        images, truth: ``(N, H, 2, S, S, 3) uint8``. last: ``(N, 2, S, S, 3) uint8``, the last real frame.
    """
    decibel, similarity = psnr(images, truth), ssim(images, truth)
    moving = moving_psnr(images, truth, np.broadcast_to(last[:, None], truth.shape))
    return Quality(
        float(decibel.mean()),
        float(similarity.mean()),
        float(np.nanmean(moving)) if np.isfinite(moving).any() else float("nan"),
        decibel.mean(0),
        similarity.mean(0),
    )


def copy_last_frame(last: Images, horizon: int) -> Images:
    """The baseline that static scenes flatter: ``(N, 2, S, S, 3)`` repeated to ``(N, H, 2, S, S, 3)``."""
    return np.repeat(last[:, None], horizon, 1)

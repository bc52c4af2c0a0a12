"""The one place where a camera image becomes a training image: crop to a square, then resize."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from worldsample_core.observation import InvalidObservation

Crop = tuple[int, int, int]
"""Left, top and side of a square in a camera's image, pixels."""


def square_of(width: int, height: int, size: int, crop: Crop | None = None) -> Crop:
    """The square of a camera's image that becomes a training image of ``size`` x ``size``.

    Args:
        crop: a region of interest; None: the largest centred square.

    Raises:
        InvalidObservation: the region lies outside of the image, or is smaller than ``size``.
    """
    if crop is None:
        side = min(width, height)
        crop = ((width - side) // 2, (height - side) // 2, side)
        if side < size:
            raise InvalidObservation(
                f"the camera image is {width}x{height}, smaller than the training size {size}x{size}"
            )
    left, top, side = crop
    if left + side > width or top + side > height:
        raise InvalidObservation(f"the crop {list(crop)} lies outside of the camera image, {width}x{height}")
    if side < size:
        raise InvalidObservation(f"the crop {list(crop)} is smaller than the training size {size}x{size}")
    return crop


def to_training_size(image: NDArray[np.uint8], size: int, crop: Crop | None = None) -> NDArray[np.uint8]:
    """Crop to a square and resize by area averaging.

    Args:
        image: ``(H, W, 3) uint8`` rgb, H and W at least ``size``.
        size: side of the result, pixels.
        crop: see :func:`square_of`.

    Returns:
        ``(size, size, 3) uint8``; the image itself where it has that size already.

    Raises:
        InvalidObservation: wrong shape or type, smaller than ``size``, or without the crop.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise InvalidObservation(f"a camera image is (H, W, 3) uint8 rgb, got {image.shape} {image.dtype}")
    height, width = image.shape[:2]
    if (height, width) == (size, size) and crop is None:
        return image
    left, top, side = square_of(width, height, size, crop)
    square = image[top : top + side, left : left + side]
    # Area averaging, separable: average the source pixels whose centres fall into each target pixel.
    edges = (np.arange(size) * side) // size
    counts = np.diff(np.append(edges, side)).astype(np.float32)
    rows = np.add.reduceat(square, edges, axis=0, dtype=np.float32) / counts[:, None, None]
    both = np.add.reduceat(rows, edges, axis=1) / counts[None, :, None]
    return np.asarray(np.rint(both), dtype=np.uint8)

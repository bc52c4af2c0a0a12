"""The one place where a camera image becomes a training image: centre crop to a square, then resize."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from worldsample_core.observation import InvalidObservation


def to_training_size(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Centre-crop to a square and resize by area averaging.

    Args:
        image: ``(H, W, 3) uint8`` rgb, H and W at least ``size``.
        size: side of the result, pixels.

    Returns:
        ``(size, size, 3) uint8``; the image itself where it has that size already.

    Raises:
        InvalidObservation: wrong shape or type, or smaller than ``size``.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise InvalidObservation(f"a camera image is (H, W, 3) uint8 rgb, got {image.shape} {image.dtype}")
    height, width = image.shape[:2]
    if (height, width) == (size, size):
        return image
    side = min(height, width)
    if side < size:
        raise InvalidObservation(
            f"the camera image is {width}x{height}, smaller than the training size {size}x{size}"
        )
    top, left = (height - side) // 2, (width - side) // 2
    square = image[top : top + side, left : left + side]
    # Area averaging, separable: average the source pixels whose centres fall into each target pixel.
    edges = (np.arange(size) * side) // size
    counts = np.diff(np.append(edges, side)).astype(np.float32)
    rows = np.add.reduceat(square, edges, axis=0, dtype=np.float32) / counts[:, None, None]
    both = np.add.reduceat(rows, edges, axis=1) / counts[None, :, None]
    return np.asarray(np.rint(both), dtype=np.uint8)

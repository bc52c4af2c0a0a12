"""The simulated cameras average light over a pixel's area, as a real camera does."""

from __future__ import annotations

import numpy as np
import pytest

from a1x_sim.cameras import average_down, samples_per_side
from a1x_sim.cell import Cell


@pytest.mark.parametrize("samples", [1, 2, 3, 4, 16])
def test_averaging_is_the_rounded_mean_of_each_block(samples: int) -> None:
    image = np.random.default_rng(samples).integers(0, 256, (5 * samples, 7 * samples, 3), np.uint8)
    blocks = image.reshape(5, samples, 7, samples, 3).astype(np.float64).mean((1, 3))
    assert np.abs(average_down(image, samples).astype(np.float64) - blocks).max() <= 0.5


@pytest.mark.parametrize(("height", "samples"), [(16, 16), (64, 4), (100, 3), (128, 2), (256, 1), (480, 1)])
def test_small_images_are_averaged_from_many_lines(height: int, samples: int) -> None:
    assert samples_per_side(height, 256) == samples
    assert samples_per_side(height, 128) == max(1, -(-samples // 2))


@pytest.mark.parametrize("lines", [256, 128])
def test_small_motions_change_the_image_smoothly(lines: int) -> None:
    """A millimetre must not make edges jump: twice the motion changes the image by about twice as much."""
    cell = Cell("pushing", 64, rendered_lines=lines)
    try:
        cell.reset(3)
        pixels = []
        for _ in range(3):
            pixels.append(cell.step(np.array([0.0, 0.04, 0.0, 0, 0, 0, 0])).images.astype(np.float64))
        small = np.sqrt(((pixels[1] - pixels[0]) ** 2).mean())
        assert 0.0 < small < 4.0, "half a millimetre moves an image by a few grey levels at most"
    finally:
        cell.close()

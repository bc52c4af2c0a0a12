"""The two cameras of the cell, rendered off screen.

A camera's pixel collects light over its area, and a 640x480 image is averaged down to the training size. So
small images are rendered at several times their size and averaged: without that, edges jump by whole pixels,
which no real camera shows and no world model can predict.
"""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from a1x_sim.graphics import NoRenderer
from worldsample_core.node.cpu_account import cpu_piece
from worldsample_core.observation import VIEWS


def samples_per_side(height: int, rendered_lines: int) -> int:
    """Rendered pixels per image pixel, along each side: at least ``rendered_lines`` lines are rendered."""
    return max(1, -(-rendered_lines // height))


def average_down(image: NDArray[np.uint8], samples: int) -> NDArray[np.uint8]:
    """Mean of each ``samples`` x ``samples`` block, rounded: ``(H k, W k, 3)`` to ``(H, W, 3) uint8``."""
    if samples == 1:
        return image
    rows = image[::samples].astype(np.uint16)
    for offset in range(1, samples):
        rows += image[offset::samples]
    total = rows[:, ::samples].copy()
    for offset in range(1, samples):
        total += rows[:, offset::samples]
    return ((total + samples * samples // 2) // (samples * samples)).astype(np.uint8)


class Cameras:
    """Renders the views ``side`` and ``wrist``. OpenGL contexts belong to threads: use it in one."""

    def __init__(self, model: mujoco.MjModel, height: int, width: int, rendered_lines: int = 256) -> None:
        """Images of fewer than ``rendered_lines`` lines are averaged down from at least so many.

        Raises :class:`NoRenderer` where OpenGL is missing.
        """
        try:
            self._samples = samples_per_side(height, rendered_lines)
            self._renderer = mujoco.Renderer(model, height * self._samples, width * self._samples)
        except Exception as error:
            raise NoRenderer(error) from error
        self._images = np.empty((len(VIEWS), height, width, 3), np.uint8)
        self._rendered = np.empty((height * self._samples, width * self._samples, 3), np.uint8)
        self._option = mujoco.MjvOption()
        self._option.sitegroup[:] = 0
        for flag in (
            mujoco.mjtRndFlag.mjRND_SHADOW,
            mujoco.mjtRndFlag.mjRND_REFLECTION,
            mujoco.mjtRndFlag.mjRND_HAZE,
        ):
            self._renderer.scene.flags[flag] = False

    @cpu_piece("rendering")
    def render(self, data: mujoco.MjData) -> NDArray[np.uint8]:
        """``(2, H, W, 3) uint8`` rgb in the order of VIEWS; a fresh array."""
        for image, view in zip(self._images, VIEWS, strict=True):
            self._renderer.update_scene(data, view, self._option)
            self._renderer.render(out=self._rendered)
            image[:] = average_down(self._rendered, self._samples)
        return self._images.copy()

    def close(self) -> None:
        """Free the OpenGL context, in the thread that made it."""
        self._renderer.close()

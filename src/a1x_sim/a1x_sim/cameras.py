"""The two cameras of the cell, rendered off screen."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from a1x_sim.graphics import NoRenderer
from worldsample_core.observation import VIEWS


class Cameras:
    """Renders the views ``side`` and ``wrist``. OpenGL contexts belong to threads: use it in one."""

    def __init__(self, model: mujoco.MjModel, height: int, width: int) -> None:
        """Raises :class:`NoRenderer` where OpenGL is missing."""
        try:
            self._renderer = mujoco.Renderer(model, height, width)
        except Exception as error:
            raise NoRenderer(error) from error
        self._images = np.empty((len(VIEWS), height, width, 3), np.uint8)
        self._option = mujoco.MjvOption()
        self._option.sitegroup[:] = 0
        for flag in (
            mujoco.mjtRndFlag.mjRND_SHADOW,
            mujoco.mjtRndFlag.mjRND_REFLECTION,
            mujoco.mjtRndFlag.mjRND_HAZE,
        ):
            self._renderer.scene.flags[flag] = False

    def render(self, data: mujoco.MjData) -> NDArray[np.uint8]:
        """``(2, H, W, 3) uint8`` rgb in the order of VIEWS; a fresh array."""
        for image, view in zip(self._images, VIEWS, strict=True):
            self._renderer.update_scene(data, view, self._option)
            self._renderer.render(out=image)
        return self._images.copy()

    def close(self) -> None:
        """Free the OpenGL context, in the thread that made it."""
        self._renderer.close()

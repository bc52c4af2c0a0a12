"""Colours that vary between episodes, as paint and white balance do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import mujoco  # loads OpenGL, which watching and driving do not need


class Tint:
    """Materials whose brightness (10 %) and hue (5 %) are drawn around what the scene says."""

    def __init__(self, model: mujoco.MjModel, materials: Sequence[str]) -> None:
        self._ids = [model.material(name).id for name in materials]
        self._colours = model.mat_rgba[self._ids, :3].copy()

    def draw(self, model: mujoco.MjModel, rng: np.random.Generator) -> None:
        """New colours into ``model``."""
        count = len(self._ids)
        tint = rng.uniform(0.9, 1.1, (count, 1)) * rng.uniform(0.95, 1.05, (count, 3))
        model.mat_rgba[self._ids, :3] = np.clip(self._colours * tint, 0.0, 1.0)

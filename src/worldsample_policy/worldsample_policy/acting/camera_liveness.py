"""Judges by its pictures, not by their arrival, whether a camera is alive while the arm moves."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsample_core.content_liveness import ContentLiveness
from worldsample_core.observation import VIEWS

TRAVEL = 0.03
"""m; a motion of the end effector that every camera of the cell sees."""
PATIENCE = 0.5
"""s for which a camera may then repeat its picture."""
SAMPLES = 50_000
"""Bytes of a picture that are compared, spread evenly: noise changes some of them."""


class CameraLiveness:
    """The cameras of the cell. ``now``: s, monotonic."""

    def __init__(self) -> None:
        self._views = {view: ContentLiveness(PATIENCE, TRAVEL) for view in VIEWS}

    def picture(self, view: str, data: Any, now: float) -> None:
        """A picture of a view has come: its bytes, of any buffer."""
        pixels = np.frombuffer(data, np.uint8)
        self._views[view].take(pixels[:: max(1, len(pixels) // SAMPLES)].tobytes(), now)

    def pose(self, position: NDArray[np.float64], now: float) -> None:
        """The end effector is there, (3,) m."""
        for view in self._views.values():
            view.moved(position, now)

    def frozen(self, now: float) -> list[str]:
        """The views whose camera repeats one picture although the arm moves."""
        return [name for name, view in self._views.items() if view.frozen(now)]

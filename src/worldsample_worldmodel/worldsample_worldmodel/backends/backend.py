"""The seam for a large pretrained world model."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from worldsample_core.config import choose
from worldsample_worldmodel.model.world_model import Imagined

BACKENDS = ("native", "cosmos")


class BackendUnavailable(RuntimeError):
    """A backend whose package, weights or accelerator is missing; the message says what to install or to
    set."""


class Backend(Protocol):
    """What imagination needs of a generator (see
    :meth:`worldsample_worldmodel.model.world_model.WorldModel.imagine`)."""

    def imagine(
        self,
        first: NDArray[np.uint8],
        current: NDArray[np.uint8],
        first_proprio: NDArray[np.float32],
        proprio: NDArray[np.float32],
        actions: NDArray[np.float32],
        rng: np.random.Generator | None = None,
    ) -> Imagined:
        """Generate segments."""
        ...


def load_backend(name: str, weights: Path | None = None, device: str = "cuda") -> Backend:
    """The pretrained backend ``name``; "native" is not one: it is built and trained by :class:`Adaptation`.

    Raises:
        ConfigError: an unknown name. BackendUnavailable: see there.
    """
    choose(name, BACKENDS, "world model backend")
    if name == "native":
        raise BackendUnavailable("the native world model has no pretrained weights: Adaptation trains it")
    from worldsample_worldmodel.backends.cosmos import Cosmos

    return Cosmos.load(weights, device)

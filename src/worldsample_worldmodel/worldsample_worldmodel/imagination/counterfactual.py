"""Counterfactual actions: what the robot nearly did.

    a'_t = clip(a_t * xi + eps_t),   xi_j ~ U(1 - s, 1 + s) once per segment,   eps_t ~ N(0, sigma^2) per step

with s = 0.20 and sigma = 0.05; dimensions that the task does not use stay 0 (WorldSample, arXiv 2607.02431,
as noted by a reader).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class CounterfactualConfig:
    """Distance of counterfactual actions from the real ones, in normalised actions."""

    scale: float = 0.20
    """s: a segment's actions are multiplied by one factor between 1 - s and 1 + s."""
    noise: float = 0.05
    """sigma: standard deviation of the noise on each step."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.scale < 1.0 or self.noise < 0.0:
            raise ValueError(f"need 0 <= scale < 1 and noise >= 0, got {self.scale} and {self.noise}")


def counterfactual_actions(
    actions: NDArray[np.float32],
    active: NDArray[np.bool_],
    rng: np.random.Generator,
    config: CounterfactualConfig | None = None,
) -> NDArray[np.float32]:
    """Perturb segments of real actions.

    Args:
        actions: ``(B, H, 7)`` in [-1, 1]. active: ``(7,)``, the dimensions that the task uses.

    Returns:
        ``(B, H, 7) float32`` in [-1, 1].
    """
    config = config or CounterfactualConfig()
    segments, _, dimensions = actions.shape
    factor = rng.uniform(1.0 - config.scale, 1.0 + config.scale, (segments, 1, dimensions))
    perturbed = actions * factor + rng.normal(0.0, config.noise, actions.shape)
    return np.where(active, np.clip(perturbed, -1.0, 1.0), 0.0).astype(np.float32)

"""Frames of other episodes at nearly the same pose: what the arm looks like there.

What the side camera sees of the arm depends on its pose alone, and a run visits similar poses again and
again. For every frame to generate, the nearest pose in a bank of real frames gives an *exemplar*: the arm is
copied from it, and the scene from the episode's own frames. (Retrieval for generation: Blattmann et al.,
2022, in pixels and by pose.)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldsample_worldmodel.episodes import Episode

POSE = slice(0, 7)
"""Position, rotation, gripper. Velocity leaves no trace in an image."""


class FrameBank:
    """At most ``capacity`` real frames, drawn evenly over the episodes, and the nearest of them to a pose.

    Distances are in standardised proprioception; all metres count the same, and a gripper's opening as a
    decimetre.
    """

    def __init__(
        self,
        episodes: Sequence[Episode],
        capacity: int = 6000,
        device: str | torch.device = "cpu",
        seed: int = 0,
    ) -> None:
        owner = np.concatenate([np.full(len(episode) + 1, index) for index, episode in enumerate(episodes)])
        frame = np.concatenate([np.arange(len(episode) + 1) for episode in episodes])
        if len(owner) > capacity:
            kept = np.sort(np.random.default_rng(seed).choice(len(owner), capacity, replace=False))
            owner, frame = owner[kept], frame[kept]
        self._episodes = list(episodes)
        self._owner, self._frame = owner, frame
        proprio = np.stack([episodes[o].proprio[f] for o, f in zip(owner, frame, strict=True)])
        numbers = np.array([_identity(episodes[o]) for o in owner])
        self._proprio = torch.from_numpy(proprio).to(device)
        self._identity = torch.from_numpy(numbers).to(device)
        self._scale = torch.tensor([1.0, 1.0, 1.0, 0.3, 0.3, 0.3, 0.1], device=device)

    def __len__(self) -> int:
        return len(self._owner)

    def nearest(
        self, proprio: Tensor, without: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.uint8], Tensor]:
        """Images ``(N, 2, S, S, 3) uint8`` and proprioception ``(N, 10)`` of the frames nearest to
        ``proprio`` ``(N, 10)``; ``without`` (N,): :func:`identities` of the episodes that must not be
        used."""
        wanted = proprio[:, POSE] * self._scale
        distance = torch.cdist(wanted, self._proprio[:, POSE] * self._scale)
        if without is not None:
            own = torch.from_numpy(without).to(distance.device)[:, None] == self._identity
            distance = distance.masked_fill(own, torch.inf)
        index = distance.argmin(1)
        chosen = index.cpu().numpy()
        images = np.stack([
            self._episodes[o].images[f] for o, f in zip(self._owner[chosen], self._frame[chosen], strict=True)
        ])  # fmt: skip
        return images, self._proprio[index]


def _identity(episode: Episode) -> int:
    return 2 * episode.number + int(episode.demo)


def identities(episodes: Sequence[Episode], index: NDArray[np.int64]) -> NDArray[np.int64]:
    """What tells episodes of a run apart, of ``episodes[index]``: (N,)."""
    return np.array([_identity(episodes[int(i)]) for i in index])

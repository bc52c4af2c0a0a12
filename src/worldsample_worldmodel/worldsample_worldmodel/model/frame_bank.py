"""Real frames at nearly the same pose: what the arm, and the scene from there, look like.

What the side camera sees of the arm depends on its pose alone, and a run visits similar poses again and
again. For every frame to generate, the nearest pose in a bank of real frames gives an *exemplar* to copy from
(retrieval for generation: Blattmann et al., 2022, in pixels and by pose). The best ones are of the very
episode: its own past, when the future is to be predicted; and all of it, when only what did not happen in it
is imagined (a counterfactual starts from what is known: Pearl's abduction). Frames of other episodes have
another scene and another light.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldsample_worldmodel.data.episodes import Episode

POSE = slice(0, 7)
"""Position, rotation, gripper. Velocity leaves no trace in an image."""

OTHER_EPISODE = 0.006
"""m, by which a frame of another episode counts as farther away."""

ALL = np.iinfo(np.int64).max


class OwnFrames(NamedTuple):
    """Which frames of its own episode may serve each of N frames to generate.

    Attributes:
        episode: ``(N,) int64``, :func:`identity` of the episode.
        until: ``(N,) int64``, the last usable frame: the segment's start where the future is predicted
            (-1: none), ``ALL`` where a counterfactual is imagined.
        but: ``(N,) int64``, a frame that may not be used (the one to generate, in training); -1: all may.
    """

    episode: NDArray[np.int64]
    until: NDArray[np.int64]
    but: NDArray[np.int64]

    def of(self, index: NDArray[np.int64]) -> OwnFrames:
        """Those of frames ``index``."""
        return OwnFrames(*(part[index] for part in self))


def identity(episode: Episode) -> int:
    """Number that tells the episodes of a run apart."""
    return 2 * episode.number + int(episode.demo)


def own_frames(
    episodes: Sequence[Episode], index: NDArray[np.int64], until: NDArray[np.int64] | int
) -> OwnFrames:
    """Own frames of segments from ``episodes[index]``, used up to step ``until``."""
    numbers = np.array([identity(episodes[int(i)]) for i in index], np.int64)
    limit = np.broadcast_to(np.asarray(until, np.int64), numbers.shape).copy()
    return OwnFrames(numbers, limit, np.full(len(numbers), -1, np.int64))


class Nearest(NamedTuple):
    """Finds of the bank for N frames.

    Attributes:
        images: ``(N, 2, S, S, 3) uint8``. pose: ``(N, 10)``, proprioception.
        own: ``(N,) bool``, of the same episode.
    """

    images: Tensor
    pose: Tensor
    own: Tensor


class FrameBank:
    """At most ``capacity`` real frames, drawn evenly over the episodes, and the nearest of them to a pose.

    Distances are in proprioception; all metres count the same, and a gripper's opening as a decimetre.
    ``guests`` are episodes whose frames serve themselves only: held-out ones. On a GPU the frames lie in its
    memory; on the CPU they stay where the episodes have them.
    """

    def __init__(
        self,
        episodes: Sequence[Episode],
        capacity: int = 6000,
        device: str | torch.device = "cpu",
        seed: int = 0,
        guests: Sequence[Episode] = (),
    ) -> None:
        owner, frame = _all_frames(episodes)
        if len(owner) > capacity:
            kept = np.sort(np.random.default_rng(seed).choice(len(owner), capacity, replace=False))
            owner, frame = owner[kept], frame[kept]
        if guests:
            more, theirs = _all_frames(guests)
            owner, frame = np.append(owner, more + len(episodes)), np.append(frame, theirs)
        every = [*episodes, *guests]
        self._made_of = (list(episodes), capacity, device, seed)
        self._episodes, self._owner, self._frame = every, owner, frame
        begins = np.cumsum([0, *(len(episode) + 1 for episode in every)])
        proprio = np.concatenate([episode.proprio for episode in every])[begins[owner] + frame]
        self._proprio = torch.from_numpy(proprio).to(device)
        self._identity = torch.from_numpy(np.array([identity(e) for e in every], np.int64)[owner]).to(device)
        self._step = torch.from_numpy(frame).to(device)
        self._guest = torch.from_numpy(owner >= len(episodes)).to(device)
        self._scale = torch.tensor([1.0, 1.0, 1.0, 0.3, 0.3, 0.3, 0.1], device=device)
        self._images = None if self._proprio.device.type == "cpu" else self._resident()

    def __len__(self) -> int:
        return len(self._owner)

    def with_guests(self, guests: Sequence[Episode]) -> FrameBank:
        """Add the frames of episodes that serve themselves only, in another bank."""
        return FrameBank(*self._made_of, guests=guests)

    def nearest(self, proprio: Tensor, own: OwnFrames | None = None) -> Nearest:
        """Find the frames nearest to ``proprio`` ``(N, 10)``.

        Without ``own``, every frame but the guests' serves. Where an episode has no usable frame of its own,
        one of another episode is given.
        """
        wanted = proprio[:, POSE] * self._scale
        distance = torch.cdist(wanted, self._proprio[:, POSE] * self._scale)
        if own is None:
            mine = torch.zeros_like(distance, dtype=torch.bool)
        else:
            episode, until, but = (torch.from_numpy(part).to(distance.device)[:, None] for part in own)
            mine = episode == self._identity
            usable = mine & (self._step <= until) & (self._step != but)
            distance = torch.where(mine, distance, distance + OTHER_EPISODE)
            distance = distance.masked_fill(mine & ~usable, torch.inf)
        distance = distance.masked_fill(self._guest & ~mine, torch.inf)
        index = distance.argmin(1)
        return Nearest(self._gathered(index), self._proprio[index], mine.gather(1, index[:, None])[:, 0])

    def _gathered(self, index: Tensor) -> Tensor:
        if self._images is not None:
            return self._images[index]
        chosen = index.numpy()
        return torch.from_numpy(np.stack([
            self._episodes[o].images[f] for o, f in zip(self._owner[chosen], self._frame[chosen], strict=True)
        ]))  # fmt: skip

    def _resident(self) -> Tensor:
        """All frames in the device's memory, copied episode by episode."""
        parts = []
        for number, episode in enumerate(self._episodes):
            frames = self._frame[self._owner == number]
            if len(frames):
                parts.append(torch.from_numpy(episode.images[frames]).to(self._proprio.device))
        return torch.cat(parts)


def _all_frames(episodes: Sequence[Episode]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Every frame as (index of its episode, index in it)."""
    owner = [np.full(len(episode) + 1, index) for index, episode in enumerate(episodes)]
    return np.concatenate(owner), np.concatenate([np.arange(len(episode) + 1) for episode in episodes])

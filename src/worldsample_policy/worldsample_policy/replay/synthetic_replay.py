"""Imagined transitions, encoded, in queues: segments labelled a success, the others, and corrections.

Nothing here ever enters the demonstration or the online buffer. Every transition keeps its provenance (real
episode, step, world-model version); transitions of old versions are dropped as newer ones arrive.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from worldsample_policy.replay.replay import Batch, FrameStore


class Provenance(NamedTuple):
    """Origin of an imagined transition: real episode, step in it, version of the world model."""

    episode: int
    step: int
    version: int


class _Row(NamedTuple):
    observation: int
    next_observation: int
    action: npt.NDArray[np.float32]
    reward: float
    terminated: float
    gripper_opening: float
    steps: float
    provenance: Provenance


class SyntheticQueue:
    """At most ``capacity`` transitions, the oldest dropped first; frames are shared with a store."""

    def __init__(self, capacity: int, frames: FrameStore) -> None:
        self.capacity, self.frames = capacity, frames
        self.rows: deque[_Row] = deque()
        self._cache: list[_Row] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def append(self, row: _Row) -> None:
        """Add a transition whose frames are stored."""
        self.frames.hold(row.observation)
        self.frames.hold(row.next_observation)
        self.rows.append(row)
        self._cache = None
        if len(self.rows) > self.capacity:
            self._drop()

    def drop_before(self, version: int) -> int:
        """Drop transitions of world-model versions before ``version``; returns how many."""
        dropped = 0
        while self.rows and self.rows[0].provenance.version < version:
            self._drop()
            dropped += 1
        return dropped

    def _drop(self) -> None:
        row = self.rows.popleft()
        self.frames.release(row.observation)
        self.frames.release(row.next_observation)
        self._cache = None

    def sample(self, count: int, rng: np.random.Generator) -> list[_Row]:
        """``count`` transitions, uniformly, with replacement."""
        if self._cache is None:
            self._cache = list(self.rows)  # a deque is slow in its middle
        return [self._cache[i] for i in rng.integers(len(self._cache), size=count)]


class SyntheticReplay:
    """The two queues. ``versions``: how many world-model versions back a transition may be."""

    def __init__(self, capacity: int, frames: FrameStore, versions: int, seed: int) -> None:
        self.frames, self.versions = frames, versions
        self.success, self.failure = SyntheticQueue(capacity, frames), SyntheticQueue(capacity, frames)
        self.corrections = SyntheticQueue(capacity, frames)
        self.rng = np.random.default_rng([seed, 11])
        self.newest = 0
        self.evicted = 0

    def __len__(self) -> int:
        return len(self.success) + len(self.failure)

    def add(
        self,
        latents: Tensor,
        proprio: Tensor,
        actions: npt.NDArray[np.float32],
        rewards: npt.NDArray[np.float32],
        terminated: npt.NDArray[np.bool_],
        gripper_opening: npt.NDArray[np.float32],
        success: bool,
        provenance: Provenance,
        gamma: float | None = None,
        correction: bool = False,
    ) -> None:
        """Queue a segment of T transitions.

        Args:
            latents: ``(T + 1, K, *latent_shape)``; proprio: ``(T + 1, P)``, standardised.
            actions ``(T, 7)``; rewards, terminated, gripper_opening ``(T,)``.
            success: the segment's label. provenance: of its first transition.
            correction: actions are what is to be imitated; the segment joins the corrections.
        """
        if provenance.version > self.newest:
            self.newest = provenance.version
            oldest = self.newest - self.versions + 1
            queues = (self.success, self.failure, self.corrections)
            self.evicted += sum(queue.drop_before(oldest) for queue in queues)
        queue = self.corrections if correction else self.success if success else self.failure
        index = [self.frames.put(latent, state) for latent, state in zip(latents, proprio, strict=True)]
        length = len(actions)
        for t in range(length):
            until = t + 1 if gamma is None else length
            value = sum((gamma or 1.0) ** k * float(rewards[t + k]) for k in range(until - t))
            queue.append(
                _Row(
                    index[t],
                    index[until],
                    actions[t],
                    value,
                    float(terminated[until - 1]),
                    float(gripper_opening[t]),
                    float(until - t),
                    provenance._replace(step=provenance.step + t),
                )
            )

    def sample(self, from_success: int, from_failure: int) -> Batch:
        """A batch, successes first. Raises LookupError where a queue that is asked is empty."""
        rows: list[_Row] = []
        for queue, count in ((self.success, from_success), (self.failure, from_failure)):
            if count:
                if not len(queue):
                    raise LookupError("the synthetic queue is empty")
                rows += queue.sample(count, self.rng)
        return self._batch(rows)

    def sample_corrections(self, count: int) -> Batch:
        """A batch of corrections, whose actions are to be imitated.

        Raises LookupError where there are none.
        """
        if not len(self.corrections):
            raise LookupError("there are no imagined corrections")
        batch = self._batch(self.corrections.sample(count, self.rng))
        return batch._replace(demonstration=torch.ones_like(batch.demonstration))

    def _batch(self, rows: list[_Row]) -> Batch:
        frames, device = self.frames, self.frames.latents.device
        count = len(rows)
        index = torch.tensor(
            [r.observation for r in rows] + [r.next_observation for r in rows], device=device
        )
        copy = torch.from_numpy(self.rng.integers(frames.copies, size=2 * count)).to(device)
        latent, next_latent = frames.latent(index, copy).split(count)
        proprio, next_proprio = frames.proprio.index_select(0, index).split(count)
        numbers = torch.tensor(
            [[r.reward, r.terminated, r.gripper_opening, r.steps] for r in rows],
            dtype=torch.float32,
            device=device,
        )
        return Batch(
            latent,
            proprio,
            torch.from_numpy(np.stack([r.action for r in rows])).to(device),
            numbers[:, 0],
            numbers[:, 1],
            next_latent,
            next_proprio,
            numbers[:, 2],
            torch.zeros(count, device=device),
            numbers[:, 3],
        )

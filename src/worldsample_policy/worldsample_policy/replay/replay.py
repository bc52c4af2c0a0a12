"""Replay of RLPD: a demonstration buffer and an online buffer over one store of encoded frames.

Frames are encoded once, on arrival, and stored once: the next frame of a step is the frame of the step after
it. A transition enters exactly once, by its `seq`; gaps are reported so that the sender can fill them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Indices = npt.NDArray[np.int64]


class Batch(NamedTuple):
    """B transitions as tensors.

    Shapes: latent (B, V, C, h, w), or images (B, V, H, W, 3) uint8; proprio (B, P).
    """

    latent: Tensor
    proprio: Tensor
    action: Tensor
    """(B, 7) float32, normalised."""
    reward: Tensor
    """(B,) float32."""
    terminated: Tensor
    """(B,) float32, 1 where nothing follows; a timeout is 0 and bootstraps."""
    next_latent: Tensor
    next_proprio: Tensor
    gripper_opening: Tensor
    """(B,) float32, 0 closed .. 1 open, before the action."""
    demonstration: Tensor
    """(B,) float32, 1 for demonstrations and interventions."""
    steps: Tensor | None = None
    """(B,) float32, control steps from the observation to the next one, reward being their discounted sum;
    None: 1."""
    intended: Tensor | None = None
    """(B, 7) float32, the action to imitate: what an operator intended where a push disturbed it; None: the
    action."""
    to_success: Tensor | None = None
    """(B,) float32, control steps until the episode's success, 1 where this step reaches it; 0 where it did
    not succeed, or has not yet. None: 0."""

    @property
    def label(self) -> Tensor:
        """The action to imitate, (B, 7) float32."""
        return self.action if self.intended is None else self.intended


class FrameStore:
    """Encoded frames, each with K augmented copies, reference-counted, in tensors that grow by doubling.

    latents (N, K, *latent_shape) float16 (or uint8 images), proprio (N, P) float32.
    """

    def __init__(
        self,
        copies: int,
        latent_shape: tuple[int, ...],
        dtype: torch.dtype,
        proprio: int,
        device: torch.device,
    ) -> None:
        self.copies, self.latent_shape = copies, latent_shape
        self.latents = torch.empty((0, copies, *latent_shape), dtype=dtype, device=device)
        self.proprio = torch.empty((0, proprio), device=device)
        self.references = np.zeros(0, np.int64)
        self.free: list[int] = []

    def __len__(self) -> int:
        return len(self.references) - len(self.free)

    def put(self, latents: Tensor, proprio: Tensor) -> int:
        """Store one frame, latents (K, *latent_shape), proprio (P,); returns its index.

        Nothing refers to the frame yet.
        """
        if not self.free:
            self._grow(max(256, 2 * len(self.references)))
        index = self.free.pop()
        self.latents[index] = latents
        self.proprio[index] = proprio
        return index

    def hold(self, index: int) -> None:
        self.references[index] += 1

    def release(self, index: int) -> None:
        """Drop one reference; the last one frees the frame."""
        self.references[index] -= 1
        if self.references[index] == 0:
            self.free.append(index)

    def latent(self, index: Tensor, copy: Tensor) -> Tensor:
        """Copies `copy` (B,) of frames `index` (B,): (B, *latent_shape) float32, or uint8 for images."""
        rows = self.latents.flatten(0, 1).index_select(0, index * self.copies + copy)
        return rows if rows.dtype == torch.uint8 else rows.float()

    def _grow(self, capacity: int) -> None:
        used = len(self.references)
        for name in ("latents", "proprio"):
            old: Tensor = getattr(self, name)
            new = old.new_empty((capacity, *old.shape[1:]))
            new[:used] = old
            setattr(self, name, new)
        self.references = np.concatenate((self.references, np.zeros(capacity - used, np.int64)))
        self.free.extend(range(capacity - 1, used - 1, -1))


class Buffer:
    """A ring of transitions as rows of numbers; the frames lie in a shared `FrameStore`."""

    SCALARS = ("reward", "terminated", "gripper_opening", "demonstration")
    FIELDS = ("observation", "next_observation", "action", "intended", "scalars", "to_success")

    def __init__(self, capacity: int, frames: FrameStore) -> None:
        self.capacity, self.frames = capacity, frames
        self.observation = np.zeros(0, np.int64)
        self.next_observation = np.zeros(0, np.int64)
        self.action = np.zeros((0, 7), np.float32)
        self.intended = np.zeros((0, 7), np.float32)
        self.scalars = np.zeros((0, len(self.SCALARS)), np.float32)
        self.to_success = np.zeros(0, np.float32)
        self.size = 0
        self.head = 0

    def __len__(self) -> int:
        return self.size

    def append(
        self,
        observation: int,
        next_observation: int,
        action: npt.NDArray[np.float32],
        intended: npt.NDArray[np.float32],
        scalars: tuple[float, float, float, float],
        to_success: float = 0.0,
    ) -> int:
        """Add a row, and return its number; over capacity, the oldest row goes."""
        row = self.head
        self.frames.hold(observation)  # before the release: the oldest row may hold the same frame
        self.frames.hold(next_observation)
        if self.size == self.capacity:
            self.frames.release(int(self.observation[row]))
            self.frames.release(int(self.next_observation[row]))
        elif row == len(self.observation):
            grown = min(self.capacity, max(256, 2 * row))
            for name in self.FIELDS:
                old = getattr(self, name)
                new = np.zeros((grown, *old.shape[1:]), old.dtype)
                new[:row] = old
                setattr(self, name, new)
        self.observation[row], self.next_observation[row] = observation, next_observation
        self.action[row], self.intended[row], self.scalars[row] = action, intended, scalars
        self.to_success[row] = to_success
        self.size = min(self.size + 1, self.capacity)
        self.head = (row + 1) % self.capacity
        return row


class SeenSequence:
    """Which sequence numbers were received: exactly-once, and the gaps."""

    def __init__(self) -> None:
        self.next_seq = 0
        """Everything below was received."""
        self.ahead: set[int] = set()
        """Received numbers above `next_seq`."""
        self.duplicates = 0

    def add(self, seq: int) -> bool:
        """True if `seq` is new; a repeated one is counted."""
        if seq < self.next_seq or seq in self.ahead:
            self.duplicates += 1
            return False
        self.ahead.add(seq)
        while self.next_seq in self.ahead:
            self.ahead.remove(self.next_seq)
            self.next_seq += 1
        return True

    def missing(self) -> list[tuple[int, int]]:
        """Ranges [first, last) of numbers that were skipped."""
        ranges, start = [], self.next_seq
        for seq in sorted(self.ahead):
            if seq > start:
                ranges.append((start, seq))
            start = seq + 1
        return ranges


@dataclass
class OpenEpisode:
    """The newest episode's steps and where they lie, until it is known whether it succeeds."""

    source: str = ""
    number: int = -1
    rows: list[tuple[int, str, int]] = field(default_factory=list)
    """Step in the episode, buffer, row."""


class Replay:
    """Two buffers: demonstrations and interventions in one, all steps of the policy online in the other."""

    def __init__(self, capacity: int, frames: FrameStore, seed: int) -> None:
        self.frames = frames
        self.demonstrations = Buffer(capacity, frames)
        self.online = Buffer(capacity, frames)
        self.successes = Buffer(capacity, frames)
        """Steps of successful online episodes, where somebody keeps them (:meth:`keep_last`)."""
        self.seen = SeenSequence()
        self.open_episode = OpenEpisode()
        self.rng = np.random.default_rng(seed)

    @property
    def next_seq(self) -> int:
        """All transitions below are here, each once."""
        return self.seen.next_seq

    @property
    def duplicates(self) -> int:
        """Transitions ignored because their seq was here already."""
        return self.seen.duplicates

    def missing(self) -> list[tuple[int, int]]:
        """Ranges [first, last) of seq that were skipped: fetch them again."""
        return self.seen.missing()

    def append(
        self,
        observation: int,
        next_observation: int,
        action: npt.NDArray[np.float32],
        reward: float,
        terminated: bool,
        gripper_opening: float,
        *,
        demonstration: bool,
        intervention: bool,
        intended: npt.NDArray[np.float32] | None = None,
        place: tuple[str, int, int] | None = None,
    ) -> None:
        """Add a transition whose frames are stored [HiL-SERL].

        A demonstration goes to the demonstration buffer, a step of the policy to the online buffer, an
        intervention to both.

        Args:
            place: source, episode, and step in the episode. A reward tells the steps before it of the same
                episode how far they were from the success; None: nobody is told.
        """
        scalars = (reward, float(terminated), gripper_opening, float(demonstration or intervention))
        intended = action if intended is None else intended
        row = (observation, next_observation, action, intended, scalars)
        rows = {}
        if demonstration or intervention:
            rows["demonstrations"] = self.demonstrations.append(*row)
        if not demonstration:
            rows["online"] = self.online.append(*row)
        if place is not None:
            self._placed(place, rows, reward > 0.0)

    def _placed(self, place: tuple[str, int, int], rows: Mapping[str, int], success: bool) -> None:
        """Note where a step lies; with a success, all steps of its episode so far learn how far it was."""
        source, number, step = place
        if (source, number) != (self.open_episode.source, self.open_episode.number):
            self.open_episode = OpenEpisode(source, number)
        known = self.open_episode.rows
        known.extend((step, name, row) for name, row in rows.items())
        if success:
            for (
                before,
                name,
                row,
            ) in known:  # oldest first: a row of the ring that was used twice is the newer's
                buffer: Buffer = getattr(self, name)
                buffer.to_success[row] = max(0, step - before + 1)
            known.clear()

    def sample(self, batch_size: int) -> Batch:
        """Sample half demonstrations and interventions, half online [RLPD].

        While one buffer is empty, all come from the other.

        Raises LookupError when both are empty.
        """
        from_demonstrations = batch_size // 2
        if not len(self.online):
            from_demonstrations = batch_size
        if not len(self.demonstrations):
            from_demonstrations = 0
        return self.draw(
            ((self.demonstrations, from_demonstrations), (self.online, batch_size - from_demonstrations))
        )

    def keep_last(self, count: int) -> None:
        """The newest ``count`` online steps are those of a success."""
        online = self.online
        for back in range(min(count, online.size), 0, -1):
            row = (online.head - back) % online.capacity
            reward, terminated, opening, demonstration = online.scalars[row].tolist()
            self.successes.append(
                int(online.observation[row]),
                int(online.next_observation[row]),
                online.action[row],
                online.intended[row],
                (reward, terminated, opening, demonstration),
                float(online.to_success[row]),
            )

    def draw(self, parts: Sequence[tuple[Buffer, int]]) -> Batch:
        """Draw the given number of transitions from each buffer, uniformly.

        Raises:
            LookupError: a buffer that is asked is empty.
        """
        rows = []
        for buffer, count in parts:
            if count:
                if not len(buffer):
                    raise LookupError("the replay is empty: add transitions before sampling")
                rows.append((buffer, self.rng.integers(len(buffer), size=count)))
        observation = np.concatenate([buffer.observation[i] for buffer, i in rows])
        next_observation = np.concatenate([buffer.next_observation[i] for buffer, i in rows])
        action = np.concatenate([buffer.action[i] for buffer, i in rows])
        intended = np.concatenate([buffer.intended[i] for buffer, i in rows])
        scalars = np.concatenate([buffer.scalars[i] for buffer, i in rows])
        to_success = np.concatenate([buffer.to_success[i] for buffer, i in rows])
        return self._gather(observation, next_observation, action, intended, scalars, to_success)

    def _gather(
        self,
        observation: Indices,
        next_observation: Indices,
        action: npt.NDArray[np.float32],
        intended: npt.NDArray[np.float32],
        scalars: npt.NDArray[np.float32],
        to_success: npt.NDArray[np.float32],
    ) -> Batch:
        frames, device = self.frames, self.frames.latents.device
        count = len(observation)
        index = torch.from_numpy(np.concatenate((observation, next_observation))).to(device)
        copy = torch.from_numpy(self.rng.integers(frames.copies, size=2 * count)).to(device)
        latent, next_latent = frames.latent(index, copy).split(count)
        proprio, next_proprio = frames.proprio.index_select(0, index).split(count)
        numbers = torch.from_numpy(np.ascontiguousarray(scalars.T)).to(device)
        reward, terminated, gripper_opening, demonstration = numbers.unbind(0)
        return Batch(
            latent,
            proprio,
            torch.from_numpy(action).to(device),
            reward,
            terminated,
            next_latent,
            next_proprio,
            gripper_opening,
            demonstration,
            intended=torch.from_numpy(intended).to(device),
            to_success=torch.from_numpy(to_success).to(device),
        )

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Contents as tensors and JSON-able counters, for a checkpoint."""
        frames = self.frames
        used = len(frames.references)
        tensors = {
            "frames.latents": frames.latents[:used],
            "frames.proprio": frames.proprio[:used],
            "frames.references": torch.from_numpy(frames.references.copy()),
            "frames.free": torch.tensor(frames.free, dtype=torch.int64),
        }
        for name, buffer in self._buffers.items():
            for kept in Buffer.FIELDS:
                tensors[f"{name}.{kept}"] = torch.from_numpy(
                    getattr(buffer, kept)[: max(buffer.size, 1)].copy()
                )
        return tensors, self.counters()

    @property
    def _buffers(self) -> dict[str, Buffer]:
        """By name in a checkpoint; one that was never used is not in it."""
        buffers = {"demonstrations": self.demonstrations, "online": self.online}
        return buffers | ({"successes": self.successes} if len(self.successes) else {})

    def counters(self) -> dict[str, Any]:
        """JSON-able: sequence numbers received, buffer positions, the generator's state."""
        return {
            "next_seq": self.seen.next_seq,
            "ahead": sorted(self.seen.ahead),
            "duplicates": self.seen.duplicates,
            "rng": self.rng.bit_generator.state,
            "open_episode": asdict(self.open_episode),
            **{name: [buffer.size, buffer.head] for name, buffer in self._buffers.items()},
        }

    def load_state(self, tensors: Mapping[str, Tensor], counters: Mapping[str, Any]) -> None:
        """The inverse of `state`."""
        frames = self.frames
        frames.latents = tensors["frames.latents"].to(frames.latents.device)
        frames.proprio = tensors["frames.proprio"].to(frames.proprio.device)
        frames.references = tensors["frames.references"].numpy().copy()
        frames.free = tensors["frames.free"].tolist()
        self.successes.size = self.successes.head = 0
        for name in ("demonstrations", "online", "successes"):
            if name not in counters:
                continue
            buffer: Buffer = getattr(self, name)
            buffer.size, buffer.head = counters[name]
            absent = {  # from a checkpoint of 0.1.0
                "intended": tensors[f"{name}.action"],
                "to_success": tensors[f"{name}.scalars"][:, 0] * 0.0,
            }
            for kept in Buffer.FIELDS:
                stored = tensors.get(f"{name}.{kept}", absent.get(kept))
                assert stored is not None
                setattr(buffer, kept, stored.numpy()[: buffer.size].copy())
        self.open_episode = OpenEpisode(**counters.get("open_episode", {}))
        self.seen.next_seq, self.seen.ahead = counters["next_seq"], set(counters["ahead"])
        self.seen.duplicates = counters["duplicates"]
        self.rng.bit_generator.state = counters["rng"]

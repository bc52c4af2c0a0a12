"""Real episodes as arrays, and the growing memory of them that the models train on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from worldsample_core.arm.command_law import Commanded, CommandLaw
from worldsample_core.observation import ACTION_DIM, PROPRIO_DIM, VIEWS, InvalidObservation
from worldsample_core.transition import Transition


@dataclass(frozen=True)
class Episode:
    """One real episode of T steps.

    Attributes:
        images: ``(T + 1, 2, H, W, 3) uint8``; proprio: ``(T + 1, 10) float32``; actions: ``(T, 7) float32``.
        success: it ended with success, at its last frame.
        number: of the episode in its run.
        demo: it is a demonstration.
        seed: of the reset, where a simulator can repeat it.
        policy_versions: ``(T,) int64``, of the weights that acted at each step; empty where nobody knows.
        interventions: ``(T,) bool``, a person acted at each step; empty where nobody knows.
        disturbed: ``(T,) bool``, a push was added to what the person intended; empty where nobody knows.
        commanded: the T + 1 poses that were commanded before each step and after the last one; None where
            nobody has worked them out (:meth:`traced`).
    """

    images: NDArray[np.uint8]
    proprio: NDArray[np.float32]
    actions: NDArray[np.float32]
    success: bool
    number: int = 0
    demo: bool = False
    seed: int = -1
    policy_versions: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    interventions: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    disturbed: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    commanded: Commanded | None = None

    def __len__(self) -> int:
        return len(self.actions)

    def policy_version(self, step: int) -> int:
        """Version of the weights that acted at ``step``; 0 if it is not known."""
        return int(self.policy_versions[step]) if step < len(self.policy_versions) else 0

    def takeovers(self) -> NDArray[np.int64]:
        """The steps at which a person took over from the policy."""
        if self.demo or not len(self.interventions):
            return np.zeros(0, np.int64)
        return np.flatnonzero(np.diff(self.interventions.astype(np.int8)) == 1) + 1

    def traced(self, law: CommandLaw) -> Episode:
        """The same episode with what was commanded in it."""
        if self.commanded is not None:
            return self
        return replace(self, commanded=law.trace(self.proprio[:, :3], self.actions))

    def validate(self) -> Episode:
        """Return self. Raises InvalidObservation where shapes, types or values cannot be used."""
        steps = len(self.actions)
        images, proprio = self.images, self.proprio
        if steps == 0:
            raise InvalidObservation(f"episode {self.number} has no steps")
        if images.dtype != np.uint8 or images.ndim != 5 or images.shape[:2] != (steps + 1, len(VIEWS)):
            raise InvalidObservation(f"episode {self.number}: images {images.shape} {images.dtype}")
        if proprio.shape != (steps + 1, PROPRIO_DIM) or self.actions.shape != (steps, ACTION_DIM):
            raise InvalidObservation(
                f"episode {self.number}: proprio {proprio.shape}, actions {self.actions.shape}"
            )
        if not (np.isfinite(proprio).all() and np.isfinite(self.actions).all()):
            raise InvalidObservation(f"episode {self.number} has values that are not finite")
        return self


def episode_from_transitions(transitions: Sequence[Transition]) -> Episode:
    """The transitions of one episode, in order of their steps and without a gap.

    Raises:
        InvalidObservation: no transitions, a gap, or several episodes.
    """
    if not transitions:
        raise InvalidObservation("an episode needs at least one transition")
    first, last = transitions[0], transitions[-1]
    steps = [(transition.episode, transition.step) for transition in transitions]
    if steps != [(first.episode, first.step + i) for i in range(len(steps))]:
        raise InvalidObservation(
            f"transitions of episode {first.episode} have gaps or are of several episodes"
        )
    observations = [transition.observation for transition in transitions] + [last.next_observation]
    return Episode(
        images=np.stack([observation.images for observation in observations]),
        proprio=np.stack([observation.proprio for observation in observations]).astype(np.float32),
        actions=np.stack([transition.action for transition in transitions]).astype(np.float32),
        success=last.success,
        number=first.episode,
        demo=first.source == "demo",
        policy_versions=np.array([transition.policy_version for transition in transitions], np.int64),
        interventions=np.array([transition.intervention for transition in transitions], np.bool_),
        disturbed=np.array([transition.intended is not None for transition in transitions], np.bool_),
    ).validate()


@dataclass(frozen=True)
class SegmentBatch:
    """B segments of H steps from anywhere in episodes.

    Attributes:
        first: ``(B, 2, S, S, 3) uint8``, the first frame of each segment's episode (sparse history, as in
            Ctrl-World): it shows what the arm hides later. current: the frame that the segment starts from.
        future: ``(B, H, 2, S, S, 3) uint8``; after an episode's end its last frame is repeated.
        first_proprio ``(B, 10)``; proprio ``(B, H + 1, 10)``, from the start on; actions ``(B, H, 7)``.
        valid: ``(B, H) bool``: the future frame exists.
        commanded: B poses, what was commanded at each segment's start. targets: ``(B, H + 1, 3)`` m, the
            positions, from there on. Both None where the episodes are not traced.
        episode, step: ``(B,) int``: where the segment starts (index in the memory, control step).
    """

    first: NDArray[np.uint8]
    current: NDArray[np.uint8]
    future: NDArray[np.uint8]
    first_proprio: NDArray[np.float32]
    proprio: NDArray[np.float32]
    actions: NDArray[np.float32]
    valid: NDArray[np.bool_]
    episode: NDArray[np.int64]
    step: NDArray[np.int64]
    commanded: Commanded | None = None
    targets: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.step)


class EpisodeMemory:
    """Episodes of a run, the oldest online ones forgotten beyond ``capacity`` steps; demonstrations stay.

    Every ``hold_out_every``-th online episode is kept for validation and never trained on.
    """

    def __init__(self, capacity: int = 20_000, hold_out_every: int = 8) -> None:
        self.capacity, self.hold_out_every = capacity, hold_out_every
        self.training: list[Episode] = []
        self.held_out: list[Episode] = []
        self.online = self.added = 0

    def add(self, episode: Episode) -> None:
        """Raises InvalidObservation where the episode cannot be used, or has another image size."""
        episode.validate()
        if self.training and self.training[0].images.shape[1:] != episode.images.shape[1:]:
            raise InvalidObservation(
                f"frames {episode.images.shape[1:]} among frames {self.training[0].images.shape[1:]}"
            )
        self.added += 1
        held_out = False
        if not episode.demo:
            self.online += 1
            held_out = self.hold_out_every > 0 and self.online % self.hold_out_every == 0
        (self.held_out if held_out else self.training).append(episode)
        while self.steps > self.capacity:
            oldest = next((i for i, kept in enumerate(self.training) if not kept.demo), None)
            if oldest is None:
                break
            del self.training[oldest]
        del self.held_out[:-64]

    @property
    def steps(self) -> int:
        """Control steps in the training episodes."""
        return sum(len(episode) for episode in self.training)


def segments(episodes: Sequence[Episode], where: Sequence[tuple[int, int]], horizon: int) -> SegmentBatch:
    """The segments that start at ``where`` = (index of the episode, step)."""
    parts: list[tuple[Episode, NDArray[np.int64], NDArray[np.int64]]] = []
    for index, step in where:
        episode = episodes[index]
        frames = np.minimum(np.arange(step, step + horizon + 1), len(episode))
        parts.append((episode, frames, np.minimum(np.arange(step, step + horizon), len(episode) - 1)))
    steps = np.array([step for _, step in where])
    lengths = np.array([len(episodes[index]) for index, _ in where])
    return SegmentBatch(
        first=np.stack([episode.images[0] for episode, _, _ in parts]),
        current=np.stack([episode.images[frames[0]] for episode, frames, _ in parts]),
        future=np.stack([episode.images[frames[1:]] for episode, frames, _ in parts]),
        first_proprio=np.stack([episode.proprio[0] for episode, _, _ in parts]),
        proprio=np.stack([episode.proprio[frames] for episode, frames, _ in parts]),
        actions=np.stack([episode.actions[acted] for episode, _, acted in parts]),
        valid=steps[:, None] + np.arange(1, horizon + 1) <= lengths[:, None],
        episode=np.array([index for index, _ in where]),
        step=steps,
        commanded=_starts([(episode, frames) for episode, frames, _ in parts]),
        targets=_targets([(episode, frames) for episode, frames, _ in parts]),
    )


def _starts(parts: Sequence[tuple[Episode, NDArray[np.int64]]]) -> Commanded | None:
    traces = [(episode.commanded, frames[0]) for episode, frames in parts]
    known = [(trace, at) for trace, at in traces if trace is not None]
    if len(known) < len(traces):
        return None
    return Commanded(
        np.stack([trace.position[at] for trace, at in known]),
        np.stack([trace.joints[at] for trace, at in known]),
    )


def _targets(parts: Sequence[tuple[Episode, NDArray[np.int64]]]) -> NDArray[np.float32] | None:
    """Commanded positions before and after each action."""
    traces = [(episode.commanded, frames) for episode, frames in parts]
    known = [trace.position[frames] for trace, frames in traces if trace is not None]
    return np.stack(known).astype(np.float32) if len(known) == len(traces) else None


def random_segments(
    episodes: Sequence[Episode], count: int, horizon: int, rng: np.random.Generator
) -> SegmentBatch:
    """``count`` segments: a step drawn uniformly over all steps of all episodes.

    Raises:
        ValueError: no episodes.
    """
    return segments(episodes, random_starts(episodes, count, rng), horizon)


def random_starts(episodes: Sequence[Episode], count: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Starting points of random segments, as :func:`segments` takes them.

    Raises:
        ValueError: there are no episodes.
    """
    if not episodes:
        raise ValueError("there are no episodes to draw segments from")
    lengths = np.array([len(episode) for episode in episodes])
    index = rng.choice(len(episodes), count, p=lengths / lengths.sum())
    return [(int(i), int(rng.integers(lengths[i]))) for i in index]


class Motions(NamedTuple):
    """B segments without their images; parts as of :class:`SegmentBatch`."""

    first_proprio: NDArray[np.float32]
    proprio: NDArray[np.float32]
    actions: NDArray[np.float32]
    valid: NDArray[np.bool_]
    targets: NDArray[np.float32] | None


def random_motions(
    episodes: Sequence[Episode], count: int, horizon: int, rng: np.random.Generator
) -> Motions:
    """``count`` segments drawn as by :func:`random_segments`, for what needs no images."""
    lengths = np.array([len(episode) for episode in episodes])
    index = rng.choice(len(episodes), count, p=lengths / lengths.sum())
    step = (rng.random(count) * lengths[index]).astype(np.int64)
    frames = np.minimum(step[:, None] + np.arange(horizon + 1), lengths[index, None])
    acted = np.minimum(frames[:, :-1], lengths[index, None] - 1)
    return Motions(
        np.stack([episodes[i].proprio[0] for i in index]),
        np.stack([episodes[i].proprio[f] for i, f in zip(index, frames, strict=True)]),
        np.stack([episodes[i].actions[f] for i, f in zip(index, acted, strict=True)]),
        step[:, None] + np.arange(1, horizon + 1) <= lengths[index, None],
        _targets([(episodes[i], f) for i, f in zip(index, frames, strict=True)]),
    )


def full_segments(
    episodes: Sequence[Episode], horizon: int, stride: int, batch: int = 64
) -> Iterator[SegmentBatch]:
    """All segments of full length, one every ``stride`` steps, for measuring; batch by batch."""
    where = [
        (index, step)
        for index, episode in enumerate(episodes)
        for step in range(0, len(episode) - horizon + 1, stride)
    ]
    for start in range(0, len(where), batch):
        yield segments(episodes, where[start : start + batch], horizon)

"""A real segment beside its imagined twin, for people to look at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worldsample_core.synthetic import MAX_LENGTH, SyntheticSegment
from worldsample_worldmodel.data.episodes import Episode, segments
from worldsample_worldmodel.imagination.counterfactual import counterfactual_actions
from worldsample_worldmodel.model.frame_bank import own_frames
from worldsample_worldmodel.training.adaptation import Adaptation
from worldsample_worldmodel.training.image_quality import psnr


class NothingToImagine(ValueError):
    """Why the segment that was asked for cannot be imagined."""


@dataclass(frozen=True)
class Twin:
    """A real segment and its imagined twin.

    Attributes:
        real: the segment as it was.
        imagined: from the same start.
        psnr: ``(T, 2)`` dB, of the imagined frames against the real ones, per step and view; under other
            actions they are not supposed to be alike.
    """

    real: SyntheticSegment
    imagined: SyntheticSegment
    psnr: NDArray[np.float64]


def imagined_twin(
    adaptation: Adaptation,
    number: int,
    step: int,
    length: int = 0,
    perturb: bool = False,
    seed: int = 0,
) -> Twin:
    """Imagine a segment of a real episode.

    Args:
        number: of the episode in its run. step: where the segment starts.
        length: steps; 0: the model's horizon. It ends with its episode at the latest.
        perturb: the actions, by ``seed``; otherwise the real ones.

    Raises:
        NothingToImagine: no model yet, no such episode (any more), or a start beyond its end.
        InvalidObservation: what was imagined has unusable values.
    """
    if not adaptation.version:
        raise NothingToImagine("the world model has not been adapted yet: ask again later")
    memory = adaptation.memory
    episode = next((e for e in (*memory.training, *memory.held_out) if e.number == number), None)
    if episode is None:
        raise NothingToImagine(f"episode {number} is not in the world model's memory")
    if step >= len(episode):
        raise NothingToImagine(f"episode {number} has {len(episode)} steps: there is no step {step}")
    steps = min(length or adaptation.config.horizon, len(episode) - step, MAX_LENGTH)
    batch = segments([episode], [(0, step)], steps)
    rng = np.random.default_rng(seed)
    actions = batch.actions
    if perturb:
        imagination = adaptation.imagination
        actions = counterfactual_actions(
            actions, adaptation.task.active_mask, rng, imagination.counterfactual
        )
    made = adaptation.generator.imagine(
        batch.first,
        batch.current,
        batch.first_proprio,
        batch.proprio[:, 0],
        actions,
        rng if perturb else None,
        own=own_frames([episode], batch.episode, batch.step),
        commanded=batch.commanded,
        evidence=adaptation.generator.abduce([episode], batch.episode, batch.step),
    )
    ended = episode.success and step + steps == len(episode)
    real = _segment(adaptation, episode, step, batch.future[0], batch.proprio[0, 1:], batch.actions[0], ended)
    imagined = _segment(
        adaptation, episode, step, made.images[0], made.proprio[0], actions[0], None, made.uncertainty[0]
    )
    return Twin(real, imagined, psnr(made.images[0], batch.future[0]))


def _segment(
    adaptation: Adaptation,
    episode: Episode,
    step: int,
    images: NDArray[np.uint8],
    proprio: NDArray[np.float32],
    actions: NDArray[np.float32],
    success: bool | None,
    uncertainty: NDArray[np.float32] | None = None,
) -> SyntheticSegment:
    """The frames after ``step`` as a segment; its label is the reward model's where ``success`` is None."""
    length = len(actions)
    images = np.concatenate([episode.images[step : step + 1], images])
    proprio = np.concatenate([episode.proprio[step : step + 1], proprio])
    reward_model = adaptation.reward_model
    probability = reward_model.probability(images, np.nan_to_num(proprio))
    if success is None:
        success = bool(reward_model.detect(probability)[1:].any())
    rewards = np.zeros(length, np.float32)
    rewards[-1] = float(success)
    return SyntheticSegment(
        images,
        proprio,
        actions,
        rewards,
        rewards > 0.0,
        np.zeros(length, np.float32) if uncertainty is None else uncertainty,
        probability[1:],
        success,
        episode.number,
        step,
        adaptation.version if uncertainty is not None else 0,
        episode.policy_version(step),
    ).validate()

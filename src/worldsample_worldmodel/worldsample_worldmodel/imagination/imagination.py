"""From real episodes to imagined, labelled counterfactual segments with their provenance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worldsample_core.config import TaskConfig
from worldsample_core.imagined_policy import ImaginedPolicy
from worldsample_core.node.cpu_account import cpu_piece
from worldsample_core.observation import InvalidObservation
from worldsample_core.synthetic import SyntheticSegment
from worldsample_worldmodel.data.episodes import Episode, SegmentBatch, segments
from worldsample_worldmodel.imagination.correction_config import CorrectionConfig
from worldsample_worldmodel.imagination.corrections import plan_correction, starts_of_corrections
from worldsample_worldmodel.imagination.counterfactual import CounterfactualConfig, counterfactual_actions
from worldsample_worldmodel.imagination.imagination_config import ImaginationConfig
from worldsample_worldmodel.model.frame_bank import ALL, own_frames
from worldsample_worldmodel.model.world_model import WorldModel
from worldsample_worldmodel.reward.reward_model import RewardModel


@dataclass(frozen=True)
class ActingPolicy:
    """A policy and the version of its weights."""

    policy: ImaginedPolicy
    version: int


class Imagination:
    """Generates segments from anywhere in real episodes.

    ``rejected`` counts the segments that the guards threw away, by reason.
    """

    def __init__(
        self,
        world_model: WorldModel,
        reward_model: RewardModel,
        task: TaskConfig,
        config: ImaginationConfig | None = None,
        counterfactual: CounterfactualConfig | None = None,
        seed: int = 0,
    ) -> None:
        self.world_model, self.reward_model, self.task = world_model, reward_model, task
        self.config = config or ImaginationConfig()
        self.counterfactual = counterfactual or CounterfactualConfig()
        self.world_model_version = 0
        self.rejected: Counter[str] = Counter()
        self._rng = np.random.default_rng(seed)

    def generate(
        self,
        episodes: Sequence[Episode],
        count: int,
        rng: np.random.Generator | None = None,
        acting: ActingPolicy | None = None,
        takeovers: bool = False,
    ) -> list[SyntheticSegment]:
        """Imagine ``count`` segments in one batch; returns those that pass the guards.

        Args:
            count: where the policy acts, a multiple of ``config.group``: as many segments share a start.
            acting: the policy acts from the real starting points; without it, real actions are perturbed.
            rng: draws everything; without it, a generator of its own that goes on from call to call.
            takeovers: start where a person took over, or shortly before: what if nobody had helped?

        Raises:
            ValueError: no episode is at least ``min_length`` steps long, or has a takeover.
        """
        rng = self._rng if rng is None else rng
        group = self.config.group if acting else 1
        if takeovers:
            known = [(i, int(step)) for i, episode in enumerate(episodes) for step in episode.takeovers()]
            if not known:
                raise ValueError("no person took over in these episodes")
            before = rng.integers(self.config.before_takeover + 1, size=count // group)
            drawn = [known[i] for i in rng.integers(len(known), size=count // group)]
            where = [(i, max(0, step - int(early))) for (i, step), early in zip(drawn, before, strict=True)]
            where = [start for start in where for _ in range(group)]
            return self.from_starts(episodes, where, rng=rng, acting=acting)
        needed = 1 if acting else self.config.min_length
        usable = [i for i, episode in enumerate(episodes) if len(episode) >= needed]
        if not usable:
            raise ValueError(f"no episode has {needed} steps to imagine from")
        starts = np.array([len(episodes[i]) - needed + 1 for i in usable])
        chosen = rng.choice(len(usable), count // group, p=starts / starts.sum())
        where = [(usable[i], int(rng.integers(starts[i]))) for i in chosen]
        where = [start for start in where for _ in range(group)]
        return self.from_starts(episodes, where, rng=rng, acting=acting)

    @cpu_piece("imagination")
    def from_starts(
        self,
        episodes: Sequence[Episode],
        where: Sequence[tuple[int, int]],
        perturb: bool = True,
        rng: np.random.Generator | None = None,
        acting: ActingPolicy | None = None,
    ) -> list[SyntheticSegment]:
        """Imagine from the given starting points (index of the episode, step).

        If there is a policy, it acts. Otherwise the real actions are used, perturbed if ``perturb``.
        """
        rng = self._rng if rng is None else rng
        horizon = self.world_model.config.horizon
        if acting and self.config.policy_horizon:
            horizon = self.config.policy_horizon
        batch = segments(episodes, where, horizon)

        def act(images: NDArray[np.uint8], proprio: NDArray[np.float32]) -> NDArray[np.float32]:
            assert acting is not None
            return acting.policy.act(images, proprio, rng)

        actions = batch.actions
        if perturb and acting is None:
            actions = counterfactual_actions(actions, self.task.active_mask, rng, self.counterfactual)
        lengths = [horizon] * len(where) if acting else batch.valid.sum(1).tolist()
        return self._imagine(episodes, batch, act if acting is not None else actions, lengths, rng, acting)

    @cpu_piece("imagination")
    def corrections(
        self, episodes: Sequence[Episode], count: int, rng: np.random.Generator, config: CorrectionConfig
    ) -> list[SyntheticSegment]:
        """Imagine ``count`` corrections in one batch; returns those that pass the guards.

        Raises:
            ValueError: no person has shown a path in these episodes that one could be pushed off.
        """
        known = [
            (i, step) for i, episode in enumerate(episodes) for step in starts_of_corrections(episode, config)
        ]
        if not known:
            raise ValueError("no person's path is long enough to be corrected to")
        where = [known[i] for i in rng.integers(len(known), size=count)]
        batch = segments(episodes, where, config.horizon)
        scale = np.asarray(self.task.action_scale[:3], np.float64) * self.task.active_mask[:3]
        planned = [
            plan_correction(episodes[i], step, scale, self.task.active_mask, rng, config) for i, step in where
        ]
        actions = np.zeros_like(batch.actions)
        for row, correction in zip(actions, planned, strict=True):
            row[: len(correction.executed)] = correction.executed
        lengths = [len(correction.executed) for correction in planned]
        intended = [correction.intended for correction in planned]
        return self._imagine(episodes, batch, actions, lengths, rng, None, intended)

    def _imagine(
        self,
        episodes: Sequence[Episode],
        batch: SegmentBatch,
        act: NDArray[np.float32] | Callable[..., NDArray[np.float32]],
        lengths: Sequence[int],
        rng: np.random.Generator,
        acting: ActingPolicy | None,
        intended: Sequence[NDArray[np.float32]] | None = None,
    ) -> list[SyntheticSegment]:
        """Imagine the batch's starts, label them, and keep what passes the guards.

        Args:
            act: actions ``(B, H, 7)``, or what chooses them. lengths: steps of each segment that count.
            intended: of corrections, what is to be imitated, ``(T, 7)`` each.
        """
        horizon = batch.actions.shape[1]
        imagined = self.world_model.imagine(
            batch.first,
            batch.current,
            batch.first_proprio,
            batch.proprio[:, 0],
            act,
            rng,
            own=own_frames(episodes, batch.episode, ALL),
            commanded=batch.commanded,
            evidence=self.world_model.abduce(episodes, batch.episode, ALL),
            horizon=horizon,
        )
        actions = imagined.actions
        images = np.concatenate([batch.current[:, None], imagined.images], 1)
        proprio = np.concatenate([batch.proprio[:, :1], imagined.proprio], 1)
        probability = self.reward_model.probability(
            images.reshape(-1, *images.shape[2:]), proprio.reshape(-1, 10)
        )
        probability = probability.reshape(len(batch), horizon + 1)
        succeeded = self.reward_model.detect(probability)[:, 1:]
        result = []
        for i, (index, step) in enumerate(zip(batch.episode.tolist(), batch.step.tolist(), strict=True)):
            length = int(lengths[i])
            success = bool(succeeded[i, :length].any())
            if success:
                length = int(succeeded[i].argmax()) + 1
            steps, frames = slice(0, length), slice(0, length + 1)
            reward = np.zeros(length, np.float32)
            reward[-1] = float(success)
            segment = SyntheticSegment(
                images[i, frames],
                proprio[i, frames],
                actions[i, steps],
                reward,
                reward > 0.0,
                imagined.uncertainty[i, steps],
                probability[i, 1 : length + 1],
                success,
                episodes[index].number,
                step,
                self.world_model_version,
                acting.version if acting else episodes[index].policy_version(step),
                acting is not None,
                None if intended is None else intended[i][steps],
            )
            reason = self.reason_to_reject(segment)
            if reason:
                self.rejected[reason] += 1
            else:
                result.append(segment)
        return result

    def reason_to_reject(self, segment: SyntheticSegment) -> str:
        """Return the guard that stops the segment, or an empty string if it passes.

        This is where a segment's shapes and values are validated; whoever takes it from here relies on it.
        """
        config = self.config
        if (np.abs(segment.actions) > 1.0).any() or segment.actions[:, ~self.task.active_mask].any():
            return "actions"
        if segment.leaves_workspace(self.task, config.box_margin):
            return "bounds"
        if (segment.uncertainty > config.uncertainty_limit).any():
            return "uncertainty"
        gap = abs(float(segment.success_probability[-1]) - float(self.reward_model.threshold))
        if not segment.success and gap < config.undecided:
            return "undecided"
        try:
            segment.validate()
        except InvalidObservation:
            return "unusable"
        return ""

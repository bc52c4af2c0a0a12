"""From real episodes to imagined, labelled counterfactual segments with their provenance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from worldsample_core.config import TaskConfig
from worldsample_core.synthetic import SyntheticSegment
from worldsample_worldmodel.counterfactual import CounterfactualConfig, counterfactual_actions
from worldsample_worldmodel.episodes import Episode, segments
from worldsample_worldmodel.frame_bank import identities
from worldsample_worldmodel.reward_model import RewardModel
from worldsample_worldmodel.world_model import WorldModel


@dataclass(frozen=True)
class ImaginationConfig:
    """Which segments are generated, and which are thrown away.

    Attributes:
        min_length: steps; a segment that starts nearer to its episode's end has no more real actions to
            perturb.
        uncertainty_limit: root mean square error of pixels (0..1) expected of a frame, above which the
            segment is rejected.
        box_margin: m, by which the imagined end effector may leave the task's workspace box.
        undecided: half width of the band around the reward model's threshold in which a segment's last frame
            must not end, unless it has already succeeded.
    """

    min_length: int = 3
    uncertainty_limit: float = 0.12
    box_margin: float = 0.03
    undecided: float = 0.05


class Imagination:
    """Generates segments from anywhere in real episodes. ``rejected`` counts what the guards threw away, by
    reason."""

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

    def generate(self, episodes: Sequence[Episode], count: int) -> list[SyntheticSegment]:
        """Imagine ``count`` segments in one batch; returns those that pass the guards.

        Raises:
            ValueError: no episode is at least ``min_length`` steps long.
        """
        usable = [i for i, episode in enumerate(episodes) if len(episode) >= self.config.min_length]
        if not usable:
            raise ValueError(f"no episode has {self.config.min_length} steps to imagine from")
        starts = np.array([len(episodes[i]) - self.config.min_length + 1 for i in usable])
        chosen = self._rng.choice(len(usable), count, p=starts / starts.sum())
        where = [(usable[i], int(self._rng.integers(starts[i]))) for i in chosen]
        return self.from_starts(episodes, where)

    def from_starts(
        self, episodes: Sequence[Episode], where: Sequence[tuple[int, int]], perturb: bool = True
    ) -> list[SyntheticSegment]:
        """Imagine from the given (index of the episode, step); with the real actions unless ``perturb``."""
        horizon = self.world_model.config.horizon
        batch = segments(episodes, where, horizon)
        actions = batch.actions
        if perturb:
            actions = counterfactual_actions(actions, self.task.active_mask, self._rng, self.counterfactual)
        imagined = self.world_model.imagine(
            batch.first,
            batch.current,
            batch.first_proprio,
            batch.proprio[:, 0],
            actions,
            self._rng,
            without=identities(episodes, batch.episode),
        )
        images = np.concatenate([batch.current[:, None], imagined.images], 1)
        proprio = np.concatenate([batch.proprio[:, :1], imagined.proprio], 1)
        finite = np.isfinite(proprio).all((1, 2)) & np.isfinite(imagined.uncertainty).all(1)
        proprio = np.nan_to_num(proprio)
        probability = self.reward_model.probability(
            images.reshape(-1, *images.shape[2:]), proprio.reshape(-1, 10)
        )
        probability = probability.reshape(len(where), horizon + 1)
        succeeded = self.reward_model.detect(probability)[:, 1:]
        result = []
        for i, (index, step) in enumerate(where):
            length = int(batch.valid[i].sum())
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
                episodes[index].policy_version(step),
            )
            reason = self.reason_to_reject(segment) if finite[i] else "not finite"
            if reason:
                self.rejected[reason] += 1
            else:
                result.append(segment)
        return result

    def reason_to_reject(self, segment: SyntheticSegment) -> str:
        """ "" where the guards let the segment pass."""
        config = self.config
        position = segment.proprio[1:, :3]
        low = np.asarray(self.task.box_low) - config.box_margin
        high = np.asarray(self.task.box_high) + config.box_margin
        if (np.abs(segment.actions) > 1.0).any() or segment.actions[:, ~self.task.active_mask].any():
            return "actions"
        if (position < low).any() or (position > high).any():
            return "bounds"
        if (segment.uncertainty > config.uncertainty_limit).any():
            return "uncertainty"
        gap = abs(float(segment.success_probability[-1]) - float(self.reward_model.threshold))
        if not segment.success and gap < config.undecided:
            return "undecided"
        return ""

"""WMPO: on-policy optimisation inside the world model (public code: WM-PO/WMPO).

Taken from it: the policy starts as an imitation of the demonstrations; then GRPO. From each real start state
the policy acts out a group of 8 imagined rollouts; r is the reward model's label of a rollout,

    A_i = (r_i - mean(r)) / (std(r) + eps)                              of all steps of rollout i of the group
    L = -mean_i mean_t min(w A_i, clip(w, 1 - 0.2, 1 + 0.28) A_i),  w = pi(a_t|s_t) / pi_old(a_t|s_t)

Groups of equal rewards say nothing and are dropped (dynamic sampling). No KL term, no value function.

Ours, simplified:
- The policy is that of the other methods (:mod:`networks`), not a vision-language-action model; w is that of
  a whole action. Every rollout counts alike, as in GRPO (Shao et al. 2024), however long it is: successes end
  early, and in a mean over all steps failures would outweigh them.
- Start states come from anywhere in real episodes (demonstrations, interventions, newest episodes), theirs
  are initial states: a rollout of ``worldmodel.imagination.policy_horizon`` steps then sees the end.
- Rollouts that the guards refuse (uncertain, out of the workspace, undecided) are missing from their group;
  one that is left alone is dropped.
- Imagining and learning run side by side. pi_old is the version of the weights that acted in the imagination
  (the newest ones are kept here, under the numbers under which they were published), evaluated on the very
  latents that the update sees: w is exact however late a segment arrives, 1 where nothing has changed, and
  the clip bounds what a late one can do. A group of a version that is gone is dropped.
- In the imagination the gripper's command is drawn from its logits; on the robot the likeliest is taken.
- Real rollouts go on for the same budget as in the other methods, with the operator's interventions. They
  are start states and train the world model, no more; ``learner.imitate_interventions`` adds interventions to
  the demonstrations, which matters to imitation only.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from worldsample_core.config import TaskConfig
from worldsample_core.synthetic import SyntheticSegment
from worldsample_policy.algorithms.algorithm import Algorithm
from worldsample_policy.algorithms.behaviour_cloning import (
    cloning_loss,
    entropy,
    log_likelihood,
    policy_parameters,
)
from worldsample_policy.pacing.synthetic_guards import reason_to_reject
from worldsample_policy.replay.frame_intake import FrameIntake, floating
from worldsample_policy.sac.flat_parameters import FlatParameters
from worldsample_policy.sac.optimiser_step import OptimiserStep
from worldsample_policy.sac.sac import Logs

EPSILON = 1e-6
KEPT = 32
"""Versions of the weights that may still act in the imagination; 1 MB each at 64x64."""
WAITING = 64
"""Groups that wait for an update; beyond it the oldest is dropped."""


def group_advantages(rewards: Tensor) -> Tensor | None:
    """Advantages (r - mean) / (std + eps) of a group's rewards (G,), std with G - 1 [WMPO].

    None if nothing can be learned from them: the rewards are equal, or there is only one.
    """
    if len(rewards) < 2 or bool((rewards == rewards[0]).all()):
        return None
    return (rewards - rewards.mean()) / (rewards.std() + EPSILON)


def clipped_objective(ratio: Tensor, advantage: Tensor, low: float, high: float) -> Tensor:
    """min(w A, clip(w, 1 - low, 1 + high) A), (B,)."""
    return torch.minimum(ratio * advantage, ratio.clamp(1.0 - low, 1.0 + high) * advantage)


@dataclass(frozen=True)
class Group:
    """The N control steps of a group's rollouts.

    Attributes:
        latent: (N, V, C, h, w) float16. proprio: (N, P) standardised. action: (N, 7).
        advantage: (N,), of each step's rollout. old_log_prob: (N,) nats, under the weights that acted.
        weight: (N,), of each step in the mean; a group's sum is 1.
    """

    latent: Tensor
    proprio: Tensor
    action: Tensor
    advantage: Tensor
    old_log_prob: Tensor
    weight: Tensor


class WMPO(Algorithm):
    """Imitation of the demonstrations, then GRPO on groups of imagined rollouts.

    Attributes:
        groups: that wait for an update.
        counts: of groups: "learned", "equal", "alone", "stale".
    """

    name = "wmpo"
    samples_gripper = True

    def __init__(self, intake: FrameIntake, task: TaskConfig) -> None:
        super().__init__(intake, task)
        self.parameters = FlatParameters(policy_parameters(self.sac))
        self.trained = {"imitation": [self.parameters], "grpo": [self.parameters]}
        self.rates = {"imitation": self.config.lr, "grpo": self.config.grpo_lr}
        self.groups: deque[Group] = deque(maxlen=WAITING)
        self.counts: Counter[str] = Counter()
        self._kept: dict[int, Tensor] = {}
        self._open: dict[str, list[SyntheticSegment]] = {}
        self._batch: list[Group] = []
        self._epochs_left = 0
        self._newest = 0

    @property
    def detail(self) -> str:
        """Groups so far, by what became of them."""
        counts = self.counts
        parts = [f"{counts['learned']} groups learned from", f"{counts['equal']} of equal rewards"]
        dropped = counts["alone"] + counts["stale"]
        return ", ".join([*parts, f"{dropped} dropped"] if dropped else parts)

    # --- imitation, before the loop ---

    def pretrain(self, step: OptimiserStep) -> Logs:
        """Imitate a batch of demonstrations."""
        replay = self.intake.replay
        batch = replay.draw([(replay.demonstrations, self.config.batch_size)])
        loss, logs = cloning_loss(self.sac, [self.intake.augment(batch)], self.generator)
        step.apply("imitation", loss, logs)
        return logs

    # --- what is imagined ---

    def published(self, version: int) -> None:
        """Keep the parameters, for the log-probabilities of what they will do in the imagination."""
        self._kept[version] = self.parameters.flat.detach().clone()
        for old in sorted(self._kept)[:-KEPT]:
            del self._kept[old]

    def admit(self, segment: SyntheticSegment) -> bool:
        """Take a rollout of the policy that the guards let in.

        A group is complete when a rollout of another start follows from the same world model.
        """
        if not segment.on_policy or reason_to_reject(segment, self.config, self.task, self._newest):
            return False
        self._newest = max(self._newest, segment.world_model_version)
        rollouts = self._open.setdefault(segment.publisher, [])
        if rollouts and _origin(rollouts[0]) != _origin(segment):
            self._close(rollouts)
            self._open[segment.publisher] = rollouts = []
        rollouts.append(segment)
        return True

    def _close(self, rollouts: list[SyntheticSegment]) -> None:
        rewards = torch.tensor([float(rollout.success) for rollout in rollouts])
        advantages = group_advantages(rewards)
        weights = self._kept.get(rollouts[0].policy_version)
        if advantages is None:
            self.counts["alone" if len(rollouts) < 2 else "equal"] += 1
        elif weights is None:
            self.counts["stale"] += 1
        else:
            self.groups.append(self._group(rollouts, advantages, weights))

    @torch.no_grad()
    def _group(self, rollouts: list[SyntheticSegment], advantages: Tensor, weights: Tensor) -> Group:
        device = self.intake.device
        encoded = [self.intake.encode(rollout.images[:-1], rollout.proprio[:-1]) for rollout in rollouts]
        latent = torch.cat([frames for frames, _ in encoded])
        proprio = torch.cat([state for _, state in encoded])
        action = torch.cat([torch.from_numpy(rollout.actions) for rollout in rollouts]).to(device)
        lengths = torch.tensor([len(rollout) for rollout in rollouts])
        advantage = advantages.repeat_interleave(lengths).to(device)
        weight = (1.0 / (len(rollouts) * lengths)).repeat_interleave(lengths).to(device)
        newest = self.parameters.flat.detach().clone()
        self.parameters.flat.data.copy_(weights)
        features = self.sac.projection(floating(latent), proprio)
        old_log_prob = log_likelihood(self.sac, features, action)
        self.parameters.flat.data.copy_(newest)
        return Group(latent, proprio, action, advantage, old_log_prob, weight)

    # --- updates ---

    def update(self, step: OptimiserStep, number: int, real_steps: int) -> Logs:
        """Learn from `grpo_groups` groups at a time, `grpo_epochs` updates each; {} before they are there."""
        config, sac = self.config, self.sac
        if not self._epochs_left and len(self.groups) >= config.grpo_groups:
            self._batch = [self.groups.popleft() for _ in range(config.grpo_groups)]
            self._epochs_left = config.grpo_epochs
            self.counts["learned"] += config.grpo_groups
        if not self._epochs_left:
            return {}
        self._epochs_left -= 1
        latent, proprio, action, advantage, old_log_prob, weight = (
            torch.cat([getattr(group, name) for group in self._batch])
            for name in ("latent", "proprio", "action", "advantage", "old_log_prob", "weight")
        )
        features = sac.projection(floating(latent), proprio)
        ratio = (log_likelihood(sac, features, action) - old_log_prob).clamp(-20.0, 20.0).exp()
        objective = clipped_objective(ratio, advantage, config.grpo_clip_low, config.grpo_clip_high)
        loss = -(weight * objective).sum() / len(self._batch)
        outside = (ratio < 1.0 - config.grpo_clip_low) | (ratio > 1.0 + config.grpo_clip_high)
        logs = {
            "actor_loss": loss.detach(),
            "ratio": ratio.detach().mean(),
            "outside_clip": outside.float().mean(),
            "entropy": entropy(sac, features.detach(), self.generator),
        }
        step.apply("grpo", loss, logs)
        return logs

    # --- checkpoints ---

    def counters(self) -> dict[str, Any]:
        """Counts of groups."""
        return {"algorithm": {"counts": dict(self.counts)}}

    def load_counters(self, counters: dict[str, Any], with_replay: bool) -> None:
        """Take the counts; what was imagined before is gone."""
        self.counts = Counter(counters["algorithm"]["counts"])
        self.groups.clear()
        self._kept.clear()
        self._open.clear()
        self._batch, self._epochs_left, self._newest = [], 0, 0


def _origin(segment: SyntheticSegment) -> tuple[object, ...]:
    """Properties that all rollouts of one group share."""
    return (
        segment.effective_step,
        segment.source_episode,
        segment.source_step,
        segment.policy_version,
        segment.world_model_version,
    )

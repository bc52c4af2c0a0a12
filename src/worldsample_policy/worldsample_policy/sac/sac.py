"""Soft actor-critic on prior data (RLPD) as HiL-SERL runs it. Each loss returns (loss, logs).

critic        y = r + gamma (1 - terminated) min_e Q'_e(s', a'),  a' ~ pi(s')    no entropy in the backup
              (the minimum cut to [0, 1], where targets are bounded; y at least the return that was reached)
              L = E_real[sum_e (Q_e(s, a) - y)^2] + rho E_syn[w sum_e (Q_e(s, a) - y)^2]
gripper       y = r + penalty [switch] + gamma (1 - terminated) G'(s', argmax_g G(s', g))    double DQN
              (+ a large margin on demonstrations)
actor         L = E[alpha log pi(a|s) - mean_e Q_e(s, a)],  a ~ pi(s)    (+ behaviour cloning)
              (+ E[-sum_g pi(g|s) G(s, g)], where the gripper's command is a class of the policy)
temperature   L = E[alpha (-log pi(a|s) - target entropy)]
target        theta' <- (1 - tau) theta' + tau theta
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from worldsample_policy.learner_config import LearnerConfig
from worldsample_policy.replay.replay import Batch
from worldsample_policy.sac.flat_parameters import FlatParameters
from worldsample_policy.sac.networks import Critic, GripperNetwork, PolicyNetwork, Projection

GRIPPER = 6
Logs = dict[str, Tensor]


class SAC(nn.Module):
    """Networks and losses. `active`: which of the 7 action dimensions the task uses."""

    active: Tensor
    averaged_updates: Tensor

    def __init__(
        self,
        config: LearnerConfig,
        latent_shape: tuple[int, ...],
        proprio: int,
        active: Sequence[bool],
        gamma: float,
    ) -> None:
        super().__init__()
        self.config = config
        self.gamma = gamma if config.gamma is None else config.gamma
        continuous = [i for i in range(GRIPPER) if active[i]]
        if not continuous:
            raise ValueError("the task has no active continuous action dimension: set task.active")
        self.register_buffer("active", torch.tensor(continuous), persistent=False)
        self.has_gripper = bool(active[GRIPPER])
        self.actions = len(continuous)
        self.target_entropy = -self.actions / 2 if config.target_entropy is None else config.target_entropy
        self.projection = Projection(config, latent_shape, proprio)
        features = self.projection.features
        self.actor = PolicyNetwork(config, features, self.actions)
        self.critic = Critic(config, features, self.actions)
        self.gripper = GripperNetwork(config, features) if self.has_gripper else None
        self.policy_projection: Projection | None = None
        self.gripper_policy: GripperNetwork | None = None
        if config.policy_head:
            self.policy_projection = Projection(config, latent_shape, proprio, config.policy_head_kind)
        if config.gripper_policy and self.has_gripper:
            self.gripper_policy = GripperNetwork(config, features)
        self.averaged: nn.ModuleDict | None = None
        if config.actor_average:
            self.averaged = copy.deepcopy(self._acting()).requires_grad_(False)
            self.register_buffer("averaged_updates", torch.zeros((), dtype=torch.int64))
        self.log_temperature = nn.Parameter(torch.tensor(math.log(config.temperature_init)))
        online: dict[str, nn.Module] = {"critic": self.critic}
        if self.gripper is not None:
            online["gripper"] = self.gripper
        if config.target_head:
            online["projection"] = self.projection
        self.target = nn.ModuleDict(copy.deepcopy(online)).requires_grad_(False)

    def _acting(self) -> nn.ModuleDict:
        """The networks that the actor's loss trains, by their names here."""
        found = {
            "actor": self.actor,
            "gripper_policy": self.gripper_policy,
            "policy_projection": self.policy_projection,
        }
        return nn.ModuleDict({name: module for name, module in found.items() if module is not None})

    def flatten(self) -> None:
        """Make the parameters contiguous, for the optimizers and the soft update.

        After this, never move the module to another device with `.to`.
        """
        modules = nn.ModuleDict(
            {"critic": self.critic, "gripper": self.gripper} if self.gripper else {"critic": self.critic}
        )
        self.flat_projection = FlatParameters(self.projection.parameters())
        self.flat_critics = FlatParameters(modules.parameters())
        self.flat_actor = FlatParameters(self._acting().parameters())
        if self.averaged is not None:
            self.flat_averaged = FlatParameters(self.averaged.parameters())
        self.flat_temperature = FlatParameters([self.log_temperature])
        critics = FlatParameters(p for name in modules for p in self.target[name].parameters())
        self.target_pairs = [(critics.flat.detach(), self.flat_critics.flat.detach())]
        if self.config.target_head:
            projection = FlatParameters(self.target["projection"].parameters())
            self.target_pairs.append((projection.flat.detach(), self.flat_projection.flat.detach()))

    @property
    def temperature(self) -> Tensor:
        """Temperature alpha, positive."""
        return self.log_temperature.exp()

    def continuous(self, action: Tensor) -> Tensor:
        """The active continuous dimensions (B, A) of actions (B, 7)."""
        return action.index_select(1, self.active)

    def noise(self, batch: int, generator: torch.Generator | None = None) -> Tensor:
        """Standard normal (B, A)."""
        return torch.randn(batch, self.actions, generator=generator, device=self.log_temperature.device)

    def features(self, batch: Batch, generator: torch.Generator | None = None) -> Tensor:
        """Features (B, F) of the observations of a training batch, with gradient into the heads.

        With `dropout` the generator draws which of them are lost.
        """
        return self._dropped(self.projection(batch.latent, batch.proprio), generator)

    def _dropped(self, features: Tensor, generator: torch.Generator | None) -> Tensor:
        if self.config.dropout == 0.0:
            return features
        drawn = torch.rand(features.shape, generator=generator, device=features.device)
        return features * ((drawn >= self.config.dropout) / (1.0 - self.config.dropout))

    def policy_features(self, latent: Tensor, proprio: Tensor) -> Tensor:
        """Features (B, F) that the actor and the gripper's policy see."""
        return (self.policy_projection or self.projection)(latent, proprio)

    def actor_states(self, batch: Batch, features: Tensor | None, generator: torch.Generator) -> Tensor:
        """Features (B, F) for the actor's loss, with gradient into the heads that it trains.

        features (B, F): those of the critics, which are used where the actor trains no heads.
        """
        if features is not None and self.policy_projection is None and not self.config.actor_trains_head:
            return features.detach()
        return self._dropped(self.policy_features(batch.latent, batch.proprio), generator)

    def gripper_values(self, latent: Tensor, proprio: Tensor, features: Tensor) -> Tensor:
        """Numbers (B, G) whose largest is the command that acts; features (B, F) of the policy."""
        if self.gripper_policy is not None:
            return self.gripper_policy(features)
        assert self.gripper is not None
        return self.gripper(self.projection(latent, proprio) if self.policy_projection else features)

    # --- targets --------------------------------------------------------------------------------------------

    @torch.no_grad()
    def next_features(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Features of the next observations, for the policy and for the target critics (B, F)."""
        policy = self.policy_features(batch.next_latent, batch.next_proprio)
        if self.config.target_head:
            return policy, self.target["projection"](batch.next_latent, batch.next_proprio)
        if self.policy_projection is None:
            return policy, policy
        return policy, self.projection(batch.next_latent, batch.next_proprio)

    @torch.no_grad()
    def critic_target(self, batch: Batch, next_features: tuple[Tensor, Tensor], noise: Tensor) -> Tensor:
        """Target of the critics, y (B,) = r + gamma (1 - terminated) min_e Q'_e(s', a').

        A truncated episode bootstraps. noise: (B, A).
        """
        for_actor, for_target = next_features
        action, log_prob = self.actor.sample(for_actor, noise)
        value = self.target["critic"](for_target, action).amin(0)
        if self.config.entropy_backup:
            value = value - self.temperature * log_prob
        value = self._bounded(value)
        return batch.reward + self.discount(batch) * (1.0 - batch.terminated) * value

    def discount(self, batch: Batch) -> Tensor | float:
        """Discount gamma ** steps, (B,) or a number."""
        return self.gamma if batch.steps is None else self.gamma**batch.steps

    @torch.no_grad()
    def gripper_target(self, batch: Batch, next_features: tuple[Tensor, Tensor]) -> Tensor:
        """Target y (B,) of the gripper critic, by double Q-learning.

        The command that would act chooses (the online critic's, or the policy's), the target network gives
        its value.
        """
        for_policy, for_target = next_features
        values = self.gripper_values(batch.next_latent, batch.next_proprio, for_policy)
        choice = values.argmax(1, keepdim=True)
        value = self._bounded(self.target["gripper"](for_target).gather(1, choice).squeeze(1))
        reward = batch.reward + self.config.gripper_penalty * self.switches(batch)
        return reward + self.discount(batch) * (1.0 - batch.terminated) * value

    def _bounded(self, value: Tensor) -> Tensor:
        """A value (B,) of next states, cut to what an episode can return where the configuration says so."""
        return value.clamp(0.0, 1.0) if self.config.bounded_targets else value

    def at_least_reached(self, batch: Batch, target: Tensor, paid: Tensor | float = 0.0) -> Tensor:
        """max(y, gamma^(n - 1) + paid) (B,) on rows n steps before a success, y on the others.

        y (B,): the targets; paid: what is added to the step's reward. Only with `return_targets`.
        """
        if not self.config.return_targets or batch.to_success is None:
            return target
        reached = self.gamma ** (batch.to_success - 1.0) + paid
        return torch.where(batch.to_success > 0.0, torch.maximum(target, reached), target)

    def switches(self, batch: Batch) -> Tensor:
        """(B,) 1 where the command changes the gripper: closes an open one or opens a closed one."""
        command = gripper_index(batch.action[:, GRIPPER])
        is_open = batch.gripper_opening > self.config.gripper_open_threshold
        return ((command == 0) & is_open | (command == 2) & ~is_open).float()

    # --- losses ---------------------------------------------------------------------------------------------

    def critic_loss(
        self, batch: Batch, features: Tensor, noise: Tensor, weight: Tensor | None = None
    ) -> tuple[Tensor, Logs]:
        """Critic loss E[w sum_e (Q_e - y)^2] plus the gripper critic's E[w (G - y)^2].

        On real data (no weight), the missing margin of the gripper critic on demonstrations is added.

        features (B, F) of the observations; noise (B, A) standard normal, of the next actions; weight (B,), 1
        if None.
        """
        next_features = self.next_features(batch)
        target = self.at_least_reached(batch, self.critic_target(batch, next_features, noise))
        values = self.critic(features, self.continuous(batch.action))  # (E, B)
        error = (values - target).square().sum(0)
        logs = {
            "critic_loss": error.detach().mean(),
            "q_mean": values.detach().mean(),
            "q_target": target.mean(),
        }
        if self.gripper is not None:
            commands = self.gripper(features)
            command = gripper_index(batch.action[:, GRIPPER]).unsqueeze(1)
            chosen = commands.gather(1, command).squeeze(1)
            paid = self.config.gripper_penalty * self.switches(batch)
            gripper_target = self.at_least_reached(batch, self.gripper_target(batch, next_features), paid)
            gripper_error = (chosen - gripper_target).square()
            logs["gripper_loss"] = gripper_error.detach().mean()
            error = error + gripper_error
            if self.config.gripper_margin > 0.0 and weight is None:
                missing = self.missing_margin(commands, command, batch.demonstration)
                logs["gripper_margin"] = missing.detach()
                return error.mean() + missing, logs
        return (error if weight is None else error * weight).mean(), logs

    def missing_margin(self, commands: Tensor, command: Tensor, demonstration: Tensor) -> Tensor:
        """Missing margin E_demo[max_c (G(s, c) + m [c != c_demo]) - G(s, c_demo)], a scalar (DQfD).

        It is 0 once the demonstrated command is worth m more than any other.

        commands (B, 3), the gripper critic's values; command (B, 1) int64, what was commanded; demonstration
        (B,), 1 where a person did.
        """
        margin = torch.full_like(commands, self.config.gripper_margin).scatter(1, command, 0.0)
        missing = (commands + margin).amax(1) - commands.gather(1, command).squeeze(1)
        return (demonstration * missing).sum() / demonstration.sum().clamp_min(1.0)

    def actor_loss(
        self,
        batch: Batch,
        features: Tensor,
        noise: Tensor,
        bc_weight: float = 0.0,
        critic_features: Tensor | None = None,
    ) -> tuple[Tensor, Logs]:
        """Actor loss E[alpha log pi(a|s) - mean_e Q_e(s, a)] (+ bc_weight E_demo[-log pi(a_demo|s)]).

        The critics and alpha are fixed.

        features (B, F) of the observations; noise (B, A) standard normal, of the actions; critic_features
        (B, F), where the critics' heads are others than the policy's.
        """
        action, log_prob = self.actor.sample(features, noise)
        if critic_features is None:
            critic_features = features if self.config.value_trains_head else features.detach()
        value = self.critic(critic_features, action).mean(0)
        loss = (self.temperature.detach() * log_prob - value).mean()
        logs = {
            "actor_loss": loss.detach(),
            "entropy": -log_prob.detach().mean(),
            "q_policy": value.detach().mean(),
        }
        if self.gripper_policy is not None and self.gripper is not None:
            chances = self.gripper_policy(features).softmax(1)
            loss = loss - (chances * self.gripper(critic_features).detach()).sum(1).mean()
        if bc_weight > 0.0:
            bc = self.cloning_loss(batch, features)
            loss = loss + bc_weight * bc
            logs["bc_loss"] = bc.detach()
        return loss, logs

    def cloning_loss(self, batch: Batch, features: Tensor) -> Tensor:
        """Cloning loss E_demo[-log pi(a_demo|s)], nats: with the gripper's command where it is a class.

        features (B, F) of the observations, as the policy sees them.
        """
        log_likelihood = self.actor.log_prob(features, self.continuous(batch.label))
        if self.gripper_policy is not None:
            commands = self.gripper_policy(features).log_softmax(1)
            shown = gripper_index(batch.label[:, GRIPPER]).unsqueeze(1)
            log_likelihood = log_likelihood + commands.gather(1, shown).squeeze(1)
        return -(batch.demonstration * log_likelihood).sum() / batch.demonstration.sum().clamp_min(1.0)

    def temperature_loss(self, entropy: Tensor) -> tuple[Tensor, Logs]:
        """Temperature loss alpha (H - target entropy); entropy H in nats, a scalar.

        Alpha falls while the policy is more random than the target asks.
        """
        temperature = self.temperature
        return temperature * (entropy.detach() - self.target_entropy), {"temperature": temperature.detach()}

    @torch.no_grad()
    def soft_update(self) -> None:
        """Soft update of the target networks: theta' <- (1 - tau) theta' + tau theta."""
        for target, online in self.target_pairs:
            target.lerp_(online, self.config.tau)

    def average_actor(self) -> None:
        """Move the averaged actor towards the newest one; it starts as a plain mean, which does not lag."""
        if self.averaged is None:
            return
        done = int(self.averaged_updates.add_(1))
        keep = min(self.config.actor_average, done / (done + 10.0))
        self.flat_averaged.flat.data.lerp_(self.flat_actor.flat.detach(), 1.0 - keep)


def gripper_index(command: Tensor) -> Tensor:
    """Commands in [-1, 1] -> index of {close, hold, open}: below -1/2, between, above 1/2."""
    return (command > -0.5).long() + (command > 0.5).long()

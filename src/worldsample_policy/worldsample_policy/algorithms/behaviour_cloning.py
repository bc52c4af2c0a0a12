"""Imitation: the start of WMPO and the whole of VLAW's learning.

    L = -E[log pi(a|s)],   log pi(a|s) = log N(atanh a; mean(s), std(s)) - log |d tanh| + log softmax(G(s))[g]

over whatever pairs (s, a) are to be imitated. The policy's own network, no other: the tanh-Gaussian for the
continuous dimensions, and the three outputs of the gripper's network as logits of close, hold, open (their
largest is the command, so acting is that of SAC). The projection learns with both; the critics are not used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from worldsample_policy.replay.replay import Batch
from worldsample_policy.sac.sac import GRIPPER, SAC, Logs, gripper_index


def policy_parameters(sac: SAC) -> Iterator[nn.Parameter]:
    """Parameters that act: projection, actor and, if the task has one, the gripper's network."""
    yield from sac.projection.parameters()
    yield from sac.actor.parameters()
    if sac.gripper is not None:
        yield from sac.gripper.parameters()


def log_likelihood(sac: SAC, features: Tensor, action: Tensor) -> Tensor:
    """Log-likelihood log pi(a|s), (B,) nats, gripper included; features (B, F), action (B, 7)."""
    result = sac.actor.log_prob(features, sac.continuous(action))
    if sac.gripper is not None:
        commands = sac.gripper(features).log_softmax(1)
        result = result + commands.gather(1, gripper_index(action[:, GRIPPER]).unsqueeze(1)).squeeze(1)
    return result


def cloning_loss(sac: SAC, batches: Sequence[Batch], generator: torch.Generator) -> tuple[Tensor, Logs]:
    """L over all pairs of the batches together; the generator draws what the entropy is measured on."""
    features = torch.cat([sac.features(batch, generator) for batch in batches])
    loss = -log_likelihood(sac, features, torch.cat([batch.label for batch in batches])).mean()
    return loss, {
        "bc_loss": loss.detach(),
        "actor_loss": loss.detach(),
        "entropy": entropy(sac, features.detach(), generator),
    }


@torch.no_grad()
def entropy(sac: SAC, features: Tensor, generator: torch.Generator) -> Tensor:
    """Entropy of the continuous action, nats, by one sample per state (B, F)."""
    return -sac.actor.sample(features, sac.noise(len(features), generator)).log_prob.mean()

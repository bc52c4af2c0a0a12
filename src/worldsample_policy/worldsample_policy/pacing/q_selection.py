"""Which imagined data enter training: the Q-aware selection of Policy-Paced Learning.

Imagined successes and failures wait in separate queues. They are mixed so that the synthetic batch's mean Q
stays near the real batch's: with too many successes the critic grows optimistic about what the world model
invents, with too many failures the policy loses heart.

    p+ = clip((Q_real - Q-) / (Q+ - Q-), p_min, p_max)             share of imagined successes
    w_i = exp(lambda Q_i) / mean_j exp(lambda Q_j)                 where |mean Q_syn - Q_real| > delta_Q still

lambda is the smallest tilt that brings the weighted mean within delta_Q, i.e. the weights nearest to 1 in
Kullback-Leibler divergence (exponential tilting); they are bounded by ``weight_max``. Source of the idea:
WorldSample (arXiv 2607.02431), as noted by a reader; the solution is ours.
"""

from __future__ import annotations

import torch
from torch import Tensor


def success_share(q_real: float, q_success: float, q_failure: float, low: float, high: float) -> float:
    """p+ from the mean Q of real data and of both queues; 1/2, bounded, where the queues do not differ."""
    difference = q_success - q_failure
    share = 0.5 if abs(difference) < 1e-6 else (q_real - q_failure) / difference
    return min(high, max(low, share))


@torch.no_grad()
def importance_weights(q: Tensor, q_real: float, gap: float, weight_max: float = 4.0) -> Tensor:
    """Weights w (B,) of mean 1 for synthetic samples, so that E[w q] is within ``gap`` of q_real.

    Where even the bounded weights cannot reach it (all q lie on one side), they go as far as they may.
    """
    off = float(q.mean()) - q_real
    if abs(off) <= gap or len(q) < 2:
        return torch.ones_like(q)
    goal = q_real + gap if off > 0.0 else q_real - gap
    centred = q - q.mean()
    scale = float(centred.std()) + 1e-8
    low, high = (-8.0 / scale, 0.0) if off > 0.0 else (0.0, 8.0 / scale)
    weight = torch.ones_like(q)
    for _ in range(20):  # the tilted mean rises with lambda
        middle = 0.5 * (low + high)
        weight = torch.softmax(middle * centred, 0) * len(q)
        too_high = float((weight * q).mean()) > goal
        low, high = (low, middle) if too_high else (middle, high)
    weight = weight.clamp_max(weight_max)
    return weight / weight.mean()

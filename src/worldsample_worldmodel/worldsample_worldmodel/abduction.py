"""What an episode itself showed about its unseen causes, kept when something else is imagined in it.

A counterfactual is answered in three steps (Pearl: abduction, action, prediction): what is not known in
general (where exactly the slice is, what holds the arm) is inferred from what really happened, and kept while
the actions change. Here: in every real step i of the episode the arm went r_i further than the linear law of
the arm says. A step that is imagined at nearly the same place, asked to go nearly the same way, takes the
mean residual of such steps, as far as there are any; elsewhere the networks decide:

    x' = x + linear(k) + (1 - kappa) network(k) + kappa sum_i w_i r_i / sum_i w_i,
    w_i = exp(-|k - k_i|^2 / 2 s^2),   kappa = sum w_i / (sum w_i + 1/2)

with k the place, the motion that is asked for, and the one that was asked for and not done (3-D each). An arm
that pushes against something goes on being held: no network knows that from a few episodes, and a policy soon
finds the walls that an imagination lets it pass through.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from worldsample_core.observation import ACTION_DIM, PROPRIO_DIM

REACH = 0.008
"""m, s in the formula: how far from a real step its residual still counts."""

DOUBT = 0.5
"""A single real step at the very place counts two thirds."""

_PLACE = slice(0, 3)
_ASKED = slice(PROPRIO_DIM + ACTION_DIM, PROPRIO_DIM + ACTION_DIM + 6)


class Evidence(NamedTuple):
    """Real steps of B segments' own episodes, at most K each.

    Attributes:
        known: ``(B, K, 23)``, inputs of the linear law. residual: ``(B, K, 10)``, what it left, standardised.
        usable: ``(B, K) bool``. unit: ``(3,)`` m, of standardised positions.
    """

    known: Tensor
    residual: Tensor
    usable: Tensor
    unit: Tensor

    def weigh(self, known: Tensor) -> tuple[Tensor, Tensor]:
        """kappa ``(B, 1)`` and the mean residual ``(B, 10)`` for inputs ``(B, 23)``."""
        scale = (self.unit / REACH).repeat(3)
        difference = (_compared(known)[:, None] - _compared(self.known)) * scale
        weight = torch.exp(-0.5 * difference.square().sum(-1)) * self.usable
        total = weight.sum(1, keepdim=True)
        mean = (weight[..., None] * self.residual).sum(1) / total.clamp_min(1e-9)
        return total / (total + DOUBT), mean


def _compared(known: Tensor) -> Tensor:
    return torch.cat([known[..., _PLACE], known[..., _ASKED]], -1)

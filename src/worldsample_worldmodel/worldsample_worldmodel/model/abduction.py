"""Abduction: the episode's own evidence about its unseen causes, kept in its counterfactuals.

A counterfactual is answered in three steps (Pearl: abduction, action, prediction): what is not known in
general (where exactly the slice is, what holds the arm) is inferred from what really happened, and kept while
the actions change. Here: in every real step i of the episode the arm went e_i further than the dynamics say
when they follow the episode. A step that is imagined at nearly the same place, asked to go nearly the same
way, adds the mean error of such steps, as far as there are any:

    x' = x + f(k) + kappa sum_i w_i e_i / sum_i w_i,
    w_i = exp(-|k - k_i|^2 / 2 s^2),   kappa = sum w_i / (sum w_i + 1/4)

with k the place, the motion that is asked for, and the one that was asked for and not done (3-D each). An arm
that pushes against something goes on being held: no network knows that from a few episodes, and a policy soon
finds the walls that an imagination lets it pass through. Where the dynamics were right, nothing is added.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from worldsample_core.observation import ACTION_DIM, PROPRIO_DIM

REACH = 0.004
"""m, s in the formula: how far from a real step its error still counts."""

DOUBT = 0.25
"""A single real step at the very place counts four fifths."""

_PLACE = slice(0, 3)
_ASKED = slice(PROPRIO_DIM + ACTION_DIM, PROPRIO_DIM + ACTION_DIM + 6)


class Evidence(NamedTuple):
    """Real steps of B segments' own episodes, at most K each.

    Attributes:
        known: ``(B, K, 23)``, inputs of the dynamics. errors: ``(B, K, M, 10)``, of each member,
            standardised. usable: ``(B, K) bool``. unit: ``(3,)`` m, of standardised positions.
    """

    known: Tensor
    errors: Tensor
    usable: Tensor
    unit: Tensor

    def correction(self, known: Tensor) -> Tensor:
        """Return what is added to the step of each member with inputs ``(M, B, 23)``: ``(M, B, 10)``."""
        scale = (self.unit / REACH).repeat(3)
        difference = (_compared(known)[:, :, None] - _compared(self.known)) * scale
        weight = torch.exp(-0.5 * difference.square().sum(-1)) * self.usable
        total = weight.sum(2, keepdim=True)
        # kappa times the weighted mean: the sum of the weights cancels
        return torch.einsum("mbk,bkmd->mbd", weight, self.errors) / (total + DOUBT)


def _compared(known: Tensor) -> Tensor:
    return torch.cat([known[..., _PLACE], known[..., _ASKED]], -1)

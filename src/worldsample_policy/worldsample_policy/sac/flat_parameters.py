"""Many parameters as one contiguous tensor: one optimizer kernel, one gradient norm, one soft update."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class FlatParameters:
    """Moves `parameters` into `flat` (N,); they become views of it.

    Move them to their device first: `.to` afterwards would part them from `flat`.
    """

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self.parameters = list(parameters)
        self.flat = nn.Parameter(torch.cat([p.detach().flatten() for p in self.parameters]))
        self.flat.requires_grad_(all(p.requires_grad for p in self.parameters))
        for p, part in zip(
            self.parameters, self.flat.detach().split([p.numel() for p in self.parameters]), strict=True
        ):
            p.data = part.view_as(p)

    def flatten(self, gradients: Iterable[Tensor]) -> Tensor:
        """Gradients of `parameters`, in their order, as one tensor like `flat`."""
        return torch.cat([g.flatten() for g in gradients])

"""One optimizer step on one loss, or none where the loss or its gradient is not finite."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import islice

import torch
from torch import Tensor

from worldsample_policy.learner_config import LearnerConfig
from worldsample_policy.sac.adam import Adam
from worldsample_policy.sac.flat_parameters import FlatParameters
from worldsample_policy.sac.sac import Logs

Trained = Mapping[str, Sequence[FlatParameters]]
"""Parameters that each optimizer trains, by the optimizer's name."""


class NotFinite(ArithmeticError):
    """A loss or its gradient is not finite; no parameter has changed."""


class OptimiserStep:
    """Adam optimizers by name, each over contiguous parameters, with one gradient norm and one kernel a step.

    Args:
        rates: step size of each optimizer where it is not `config.lr`.
    """

    def __init__(self, trained: Trained, rates: Mapping[str, float], config: LearnerConfig) -> None:
        self.trained, self.config = trained, config
        self.optimizers = {
            name: Adam([part.flat for part in parts], rates.get(name, config.lr))
            for name, parts in trained.items()
        }

    def apply(self, name: str, loss: Tensor, logs: Logs) -> None:
        """Step the parameters `name` (only) on `loss`, and log the gradient's norm.

        Raises NotFinite, changing nothing, where the loss or its gradient is not finite.
        """
        parts = self.trained[name]
        gradients = iter(torch.autograd.grad(loss, [p for part in parts for p in part.parameters]))
        flat = [part.flatten(islice(gradients, len(part.parameters))) for part in parts]
        norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in flat]))
        if not math.isfinite(float(norm) + float(loss.detach())):
            raise NotFinite(f"the {name} loss or its gradient is not finite")
        if self.config.max_grad_norm > 0.0:
            torch._foreach_mul_(flat, (self.config.max_grad_norm / (norm + 1e-6)).clamp_max(1.0))
        self.optimizers[name].step(flat)
        logs[f"{name}_grad_norm"] = norm

    def state(self) -> dict[str, Tensor]:
        """Moments and counts of all optimizers, as `NAME.INDEX.FIELD`, for a checkpoint."""
        return {
            f"{name}.{key}": value
            for name, optimizer in self.optimizers.items()
            for key, value in optimizer.state().items()
        }

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Take what `state` gave, from any device. Raises ValueError where it is of other parameters."""
        for key, value in tensors.items():
            owner, _, name = key.partition(".")
            if owner not in self.optimizers or self.optimizers[owner].shape_of(name) != value.shape:
                raise ValueError(f"the optimizer has no {key} of shape {tuple(value.shape)}")
        for name, optimizer in self.optimizers.items():
            own = f"{name}."
            optimizer.load_state(
                {key.removeprefix(own): value for key, value in tensors.items() if key.startswith(own)}
            )

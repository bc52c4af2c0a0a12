"""Adam (Kingma & Ba, 2015) over some parameters in one fused call.

State and results are those of ``torch.optim.Adam``. ``torch.optim`` itself is not used: its first optimizer
imports the compiler, 1.4 s of CPU time in each process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

BETAS = (0.9, 0.999)
EPSILON = 1e-8


class Adam:
    """Parameters and their running moments, on the parameters' device whatever is loaded into them."""

    def __init__(self, parameters: Sequence[Tensor], learning_rate: float) -> None:
        self.parameters, self.learning_rate = list(parameters), learning_rate
        self._clear()

    def _clear(self) -> None:
        self._averages = [torch.zeros_like(value) for value in self.parameters]
        self._squares = [torch.zeros_like(value) for value in self.parameters]
        self._steps = [torch.zeros((), device=value.device) for value in self.parameters]

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor]) -> None:
        """Follow the gradients, one of each parameter, in their order."""
        torch._foreach_add_(self._steps, 1.0)
        torch._fused_adam_(
            self.parameters,
            list(gradients),
            self._averages,
            self._squares,
            [],
            self._steps,
            lr=self.learning_rate,
            beta1=BETAS[0],
            beta2=BETAS[1],
            weight_decay=0.0,
            eps=EPSILON,
            amsgrad=False,
            maximize=False,
        )

    def state(self) -> dict[str, Tensor]:
        """Counts and moments, as ``INDEX.FIELD``; nothing before the first step."""
        return self._named() if any(float(step) for step in self._steps) else {}

    def shape_of(self, name: str) -> torch.Size | None:
        """The shape of an entry of :meth:`state`; None where there is none of that name."""
        own = self._named().get(name)
        return None if own is None else own.shape

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take what :meth:`state` gave, from any device; names and shapes must be right."""
        self._clear()
        own = self._named()
        for name, value in state.items():
            own[name].copy_(value)

    def _named(self) -> dict[str, Tensor]:
        fields = {"step": self._steps, "exp_avg": self._averages, "exp_avg_sq": self._squares}
        return {
            f"{i}.{field}": values[i] for i in range(len(self.parameters)) for field, values in fields.items()
        }

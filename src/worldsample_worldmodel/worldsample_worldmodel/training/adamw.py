"""AdamW (Loshchilov & Hutter, 2019) over all parameters in one fused call, or in separate ones.

The state is that of ``torch.optim.AdamW`` and has the same names, so that checkpoints can be exchanged.
``torch.optim`` itself is not used: its first optimizer imports the compiler, several seconds of CPU time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

BETAS = (0.9, 0.999)
EPSILON = 1e-8
Tensors = list[Tensor]


class AdamW:
    """Parameters and their running moments, on the parameters' device whatever is loaded into them.

    Args:
        fused: faster; without it the last bits are those of torch's default.
    """

    def __init__(
        self, parameters: Iterable[Tensor], learning_rate: float, weight_decay: float, fused: bool = True
    ) -> None:
        self.parameters = list(parameters)
        self.learning_rate, self.weight_decay, self.fused = learning_rate, weight_decay, fused
        self.clear()

    def clear(self) -> None:
        """Forget the moments."""
        self.averages = [torch.zeros_like(value) for value in self.parameters]
        self.squares = [torch.zeros_like(value) for value in self.parameters]
        self.steps = [torch.zeros((), device=value.device) for value in self.parameters]

    def zero_grad(self) -> None:
        """Drop the gradients."""
        for value in self.parameters:
            value.grad = None

    def clip(self, limit: float) -> Tensor:
        """Scale the gradients down to a joint norm of ``limit``; return their norm, () on their device."""
        gradients = [value.grad for value in self.parameters if value.grad is not None]
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        torch._foreach_mul_(gradients, (limit / (norm + 1e-6)).clamp_max(1.0))
        return norm

    @torch.no_grad()
    def step(self) -> None:
        """Follow the gradients once; parameters without one stay."""
        learned = [i for i, value in enumerate(self.parameters) if value.grad is not None]
        if not learned:
            return
        steps = [self.steps[i] for i in learned]
        torch._foreach_add_(steps, 1.0)
        (self._follow if self.fused else self._follow_separately)(
            [self.parameters[i] for i in learned],
            [value.grad for i in learned if (value := self.parameters[i]).grad is not None],
            [self.averages[i] for i in learned],
            [self.squares[i] for i in learned],
            steps,
        )

    def _follow(
        self, values: Tensors, gradients: Tensors, averages: Tensors, squares: Tensors, steps: Tensors
    ) -> None:
        torch._fused_adamw_(
            values,
            gradients,
            averages,
            squares,
            [],
            steps,
            lr=self.learning_rate,
            beta1=BETAS[0],
            beta2=BETAS[1],
            weight_decay=self.weight_decay,
            eps=EPSILON,
            amsgrad=False,
            maximize=False,
        )

    def _follow_separately(
        self, values: Tensors, gradients: Tensors, averages: Tensors, squares: Tensors, steps: Tensors
    ) -> None:
        torch._foreach_mul_(values, 1.0 - self.learning_rate * self.weight_decay)
        torch._foreach_lerp_(averages, gradients, 1.0 - BETAS[0])
        torch._foreach_mul_(squares, BETAS[1])
        torch._foreach_addcmul_(squares, gradients, gradients, 1.0 - BETAS[1])
        counts = [float(step) for step in steps]
        roots = torch._foreach_sqrt(squares)
        torch._foreach_div_(roots, [(1.0 - BETAS[1] ** count) ** 0.5 for count in counts])
        torch._foreach_add_(roots, EPSILON)
        sizes = [-self.learning_rate / (1.0 - BETAS[0] ** count) for count in counts]
        torch._foreach_addcdiv_(values, averages, roots, sizes)

    def state(self) -> dict[str, Tensor]:
        """Name every moment ``<index of the parameter>.<moment>``; nothing before the first step."""
        if not any(float(step) for step in self.steps):
            return {}
        named: dict[str, Tensor] = {}
        for i in range(len(self.parameters)):
            moments = (("step", self.steps), ("exp_avg", self.averages), ("exp_avg_sq", self.squares))
            named |= {f"{i}.{name}": values[i] for name, values in moments}
        return named

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take what :meth:`state` gave, from any device.

        Raises:
            ValueError: a moment has another shape than its parameter; nothing has changed.
        """
        for name, value in state.items():
            own = self._moment(name)
            if own is None or own.shape != value.shape:
                raise ValueError(f"the optimizer has no {name} of shape {tuple(value.shape)}")
        self.clear()
        for name, value in state.items():
            own = self._moment(name)
            assert own is not None
            own.copy_(value)

    def _moment(self, name: str) -> Tensor | None:
        index, _, moment = name.partition(".")
        values = {"step": self.steps, "exp_avg": self.averages, "exp_avg_sq": self.squares}.get(moment)
        if values is None or not index.isdigit() or int(index) >= len(values):
            return None
        return values[int(index)]

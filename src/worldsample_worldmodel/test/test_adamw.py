"""The optimizer of the world model: bit for bit that of torch, whose import costs more than it does."""

import pytest
import torch
from torch.optim.adam import adam

from worldsample_worldmodel.training.adamw import AdamW

SHAPES = [(3,), (8, 3, 3, 3), (1000,), (64, 100)]


@pytest.mark.parametrize("fused", [False, True])
def test_it_is_torchs_adamw_bit_for_bit(fused: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    theirs = [torch.randn(shape, generator=generator) for shape in SHAPES]
    averages, squares = ([torch.zeros_like(value) for value in theirs] for _ in range(2))
    steps = [torch.zeros(()) for _ in theirs]
    ours = [value.clone().requires_grad_() for value in theirs]
    optimizer = AdamW(ours, 1e-3, weight_decay=1e-4, fused=fused)
    for step in range(60):
        optimizer.learning_rate = 1e-3 * (1.0 - step / 60)
        for value in ours:
            value.grad = torch.randn(value.shape, generator=generator)
        adam(
            theirs, [value.grad for value in ours if value.grad is not None], averages, squares, [], steps,
            foreach=False, fused=fused, decoupled_weight_decay=True, amsgrad=False, beta1=0.9, beta2=0.999,
            lr=optimizer.learning_rate, weight_decay=1e-4, eps=1e-8, maximize=False,
        )  # fmt: skip
        optimizer.step()
    assert all(map(torch.equal, ours, theirs))

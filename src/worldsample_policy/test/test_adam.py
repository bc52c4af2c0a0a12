"""The optimizer of the policy: bit for bit that of torch, whose import costs more than it does."""

import torch
from torch.optim.adam import adam

from worldsample_policy.sac.adam import Adam

SHAPES = [(3,), (8, 3, 3, 3), (1000,)]


def test_it_is_torchs_adam_bit_for_bit_also_after_a_checkpoint() -> None:
    generator = torch.Generator().manual_seed(0)
    theirs = [torch.randn(shape, generator=generator) for shape in SHAPES]
    averages, squares = ([torch.zeros_like(value) for value in theirs] for _ in range(2))
    steps = [torch.zeros(()) for _ in theirs]
    ours = [value.clone() for value in theirs]
    optimizer = Adam(ours, 1e-3)
    assert optimizer.state() == {}
    for step in range(20):
        gradients = [torch.randn(shape, generator=generator) for shape in SHAPES]
        optimizer.step(gradients)
        adam(
            theirs, gradients, averages, squares, [], steps, fused=True, amsgrad=False, maximize=False,
            beta1=0.9, beta2=0.999, lr=1e-3, weight_decay=0.0, eps=1e-8,
        )  # fmt: skip
        if step == 10:
            kept = {name: value.clone() for name, value in optimizer.state().items()}
            optimizer = Adam(ours, 1e-3)
            optimizer.load_state(kept)
    assert all(map(torch.equal, ours, theirs))
    assert torch.equal(optimizer.state()["1.exp_avg"], averages[1]) and float(steps[0]) == 20.0

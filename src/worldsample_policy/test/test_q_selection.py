"""The synthetic batch stays where the real one is."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from worldsample_policy.pacing.q_selection import importance_weights, success_share


def test_the_share_solves_the_mixture() -> None:
    share = success_share(0.5, 0.9, 0.3, 0.05, 0.95)
    assert share * 0.9 + (1.0 - share) * 0.3 == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("q_real", "expected"), [(0.1, 0.05), (2.0, 0.95)], ids=["below both queues", "above both queues"]
)
def test_the_share_is_bounded(q_real: float, expected: float) -> None:
    assert success_share(q_real, 0.9, 0.3, 0.05, 0.95) == expected


def test_queues_that_do_not_differ_are_mixed_evenly() -> None:
    assert success_share(0.7, 0.4, 0.4, 0.05, 0.95) == 0.5


def test_weights_are_one_where_the_mean_is_near_enough() -> None:
    q = torch.tensor([0.1, 0.5, 0.6])
    assert torch.equal(importance_weights(q, 0.42, 0.05), torch.ones(3))


@given(
    st.lists(st.floats(-1.0, 1.0), min_size=8, max_size=64),
    st.floats(-0.5, 0.5),
    st.floats(0.01, 0.2),
)
def test_weights_bring_the_mean_nearer_and_keep_their_sum(
    values: list[float], q_real: float, gap: float
) -> None:
    q = torch.tensor(values)
    weight = importance_weights(q, q_real, gap)
    assert weight.mean().item() == pytest.approx(1.0, abs=1e-4)
    assert bool((weight >= 0.0).all())
    before, after = abs(q.mean().item() - q_real), abs((weight * q).mean().item() - q_real)
    assert after <= max(before, gap) + 1e-3


def test_a_reachable_gap_is_reached() -> None:
    q = torch.linspace(0.0, 1.0, 128)
    weight = importance_weights(q, 0.30, 0.05)
    assert (weight * q).mean().item() == pytest.approx(0.35, abs=0.01)
    assert weight.max() <= 5.0

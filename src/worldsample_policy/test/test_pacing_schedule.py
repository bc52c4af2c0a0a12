"""rho follows the policy's readiness."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldsample_policy.pacing.pacing_schedule import PacingSchedule


def test_a_policy_that_knows_nothing_gets_the_least() -> None:
    schedule = PacingSchedule(rho_max=0.3, kappa=9.0, target=-1.5)
    assert schedule.rho == pytest.approx(0.03)
    schedule.observe(2.0)
    assert schedule.normalised == 1.0
    assert schedule.rho == pytest.approx(0.3 / 10.0)


def test_a_policy_at_its_target_entropy_gets_rho_max() -> None:
    schedule = PacingSchedule(rho_max=0.3, target=-1.5, smoothing=0.0)
    schedule.observe(2.0)
    schedule.observe(-1.5)
    assert schedule.rho == pytest.approx(0.3)
    schedule.observe(-9.0)
    assert schedule.rho == pytest.approx(0.3), "more certain than asked is not more than ready"


def test_the_formula() -> None:
    schedule = PacingSchedule(rho_max=0.2, kappa=3.0, power=2.0, target=-1.0, smoothing=0.0)
    schedule.observe(3.0)
    schedule.observe(1.0)
    assert schedule.normalised == pytest.approx(0.5)
    assert schedule.rho == pytest.approx(0.2 / (1.0 + 3.0 * 0.25))


@given(st.lists(st.floats(-20.0, 20.0), min_size=1, max_size=40))
def test_rho_stays_within_its_bounds_whatever_the_entropy_does(entropies: list[float]) -> None:
    schedule = PacingSchedule(rho_max=0.3, kappa=9.0)
    for entropy in entropies:
        schedule.observe(entropy)
        assert 0.03 - 1e-9 <= schedule.rho <= 0.3


def test_one_odd_batch_does_not_open_the_gate() -> None:
    schedule = PacingSchedule(rho_max=0.3, kappa=9.0, smoothing=0.99, target=-1.5)
    for _ in range(50):
        schedule.observe(2.0)
    before = schedule.rho
    schedule.observe(-30.0)
    assert schedule.rho < before + 0.02

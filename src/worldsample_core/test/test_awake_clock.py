"""After a suspension, no process is given up that had no time to answer."""

from __future__ import annotations

import pytest

from worldsample_core.node.awake_clock import AwakeClock


def test_time_counts_while_it_is_looked_at_and_a_suspension_hardly_does() -> None:
    at = [100.0]
    now = AwakeClock(0.25, lambda: at[0])
    assert now() == 100.0
    for _ in range(40):
        at[0] += 0.1
        now()
    assert now() == pytest.approx(104.0)
    at[0] += 3600.0
    assert now() == pytest.approx(104.25) and now() == pytest.approx(104.25)
    at[0] += 0.2
    assert now() == pytest.approx(104.45)


def test_it_never_goes_back() -> None:
    at = [5.0]
    now = AwakeClock(1.0, lambda: at[0])
    at[0] = 4.0
    assert now() == 5.0
    at[0] = 4.5
    assert now() == 5.5


def test_a_clock_that_would_stand_still_is_refused() -> None:
    with pytest.raises(ValueError, match="longest"):
        AwakeClock(0.0)

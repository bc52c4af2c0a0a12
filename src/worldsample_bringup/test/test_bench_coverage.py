"""``bench coverage``: its figures for policies whose corrections are known."""

from __future__ import annotations

import numpy as np
import pytest

from worldsample_bringup.bench import bench_coverage
from worldsample_bringup.bench.bench_coverage import Judged, figures, published_policy, table
from worldsample_core.config import ConfigError


def steps(share: float, tip: float = 0.02, gripper: float = 1.0) -> Judged:
    """An expert that moves everywhere, and a policy that does ``share`` of it."""
    expert = np.random.default_rng(0).uniform(-1.0, 1.0, (200, 7))
    expert[:, 6] = 1.0
    actions = share * expert
    actions[:, 6] = gripper
    return Judged(actions, expert, np.full(200, tip))


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_gain_is_the_share_of_the_correction(share: float) -> None:
    found = figures(steps(share))
    assert found["all"]["gain"] == found["low"]["gain"] == pytest.approx(share)
    assert found["all"]["still"] == pytest.approx(1.0 if share == 0.0 else 0.0, abs=0.1)


def test_motion_across_the_correction_is_no_gain() -> None:
    straight = steps(1.0)
    across = straight.expert.copy()
    across[:, 0], across[:, 1] = straight.expert[:, 1], -straight.expert[:, 0]
    assert figures(Judged(across, straight.expert, straight.tip))["all"]["gain"] == pytest.approx(
        0.0, abs=1e-9
    )


def test_regions() -> None:
    found = figures(steps(1.0, tip=0.10, gripper=-1.0))
    assert found["low"] == {"n": 0, "gain": None, "still": None, "gripper": None}
    assert found["all"]["gripper"] == 0.0 and 0 < int(found["near"]["n"] or 0) < 200


@pytest.mark.slow
def test_a_published_policy_is_measured() -> None:
    result = bench_coverage.measure(published_policy("pushing"), scenes=2)
    assert result["task"] == "pushing" and result["all"]["n"] > 10
    assert -1.0 < result["all"]["gain"] < 2.0
    assert "gain" in table(result) and "pushing, worldsample" in table(result)


def test_a_task_without_a_published_policy_is_named() -> None:
    with pytest.raises(ConfigError, match=r"juggling.*pushing"):
        published_policy("juggling")

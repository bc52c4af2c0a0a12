"""The counterfactual actions are exactly the formula's."""

from __future__ import annotations

import numpy as np
import pytest

from worldsample_worldmodel.imagination.counterfactual import CounterfactualConfig, counterfactual_actions

ACTIVE = np.array([True, True, True, False, False, False, True])


def test_shared_scale_and_no_noise_keep_the_ratio_over_a_segment() -> None:
    actions = np.full((50, 6, 7), 0.5, np.float32)
    actions[:, 3:] *= 0.5
    out = counterfactual_actions(actions, ACTIVE, np.random.default_rng(0), CounterfactualConfig(0.2, 0.0))
    ratio = (out / actions)[..., ACTIVE]
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:, :1], ratio.shape), rtol=1e-5)
    assert ratio.min() >= 0.8 - 1e-6 and ratio.max() <= 1.2 + 1e-6
    assert ratio.std() > 0.1  # and drawn per segment and dimension


def test_noise_is_per_step_with_the_given_deviation() -> None:
    out = counterfactual_actions(
        np.zeros((200, 10, 7), np.float32), ACTIVE, np.random.default_rng(0), CounterfactualConfig(0.0, 0.05)
    )
    assert out[..., ACTIVE].std() == pytest.approx(0.05, rel=0.05)
    assert abs(np.corrcoef(out[:, 0, 0], out[:, 1, 0])[0, 1]) < 0.2


def test_clipped_and_inactive_dimensions_stay_zero() -> None:
    out = counterfactual_actions(np.ones((100, 5, 7), np.float32), ACTIVE, np.random.default_rng(0))
    assert out.max() == 1.0 and out.dtype == np.float32
    assert not out[..., ~ACTIVE].any()


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="scale"):
        CounterfactualConfig(1.5)

"""Imagined corrections: off a person's path and back to it, with the person's own gripper."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from worldsample_core.arm.command_law import Commanded
from worldsample_worldmodel.data.episodes import Episode
from worldsample_worldmodel.imagination.correction_config import CorrectionConfig
from worldsample_worldmodel.imagination.corrections import (
    plan_correction,
    starts_of_corrections,
    undisturbed_path,
)

SCALE = np.array([0.02, 0.02, 0.02])
ACTIVE = np.array([True, True, True, False, False, False, True])
CONFIG = CorrectionConfig()


def grasp(closing: int = 4) -> Episode:
    """Along x for ten steps, then down for five, then closing without moving, then up."""
    moves = (
        [[0.8, 0.0, 0.0]] * 10 + [[0.0, 0.0, -0.6]] * 5 + [[0.0, 0.0, 0.0]] * closing + [[0.0, 0.0, 0.7]] * 6
    )
    actions = np.zeros((len(moves), 7), np.float32)
    actions[:, :3] = moves
    actions[:15, 6], actions[15:, 6] = 1.0, -1.0
    steps = len(actions)
    path = np.concatenate([np.zeros((1, 3)), np.cumsum(actions[:, :3] * SCALE, 0)]).astype(np.float64)
    return Episode(
        np.zeros((steps + 1, 2, 16, 16, 3), np.uint8),
        np.zeros((steps + 1, 10), np.float32),
        actions,
        True,
        demo=True,
        commanded=Commanded(path, np.zeros((steps + 1, 6))),
    )


def ends(episode: Episode, start: int, executed: np.ndarray) -> np.ndarray:
    """The commanded positions (T + 1, 3) of a correction."""
    assert episode.commanded is not None
    first = episode.commanded.position[start]
    return np.concatenate([first[None], first + np.cumsum(executed[:, :3] * SCALE, 0)])


@pytest.mark.parametrize("seed", range(20))
def test_a_correction_leaves_the_path_and_comes_back_to_it(seed: int) -> None:
    episode, rng = grasp(), np.random.default_rng(seed)
    assert episode.commanded is not None
    start = int(rng.integers(0, 8))
    made = plan_correction(episode, start, SCALE, ACTIVE, rng, CONFIG)
    assert len(made.executed) == len(made.intended) == CONFIG.horizon
    assert np.abs(made.executed).max() <= 1.0 and np.abs(made.intended).max() <= 1.0
    assert not made.executed[:, 3:6].any() and not made.intended[:, 3:6].any()
    pushed = np.abs(made.executed - made.intended).max(1) > 1e-6
    assert 1 <= pushed.sum() <= CONFIG.longest and pushed[: pushed.sum()].all(), "first pushed, then not"
    path = episode.commanded.position[start:]
    off = np.linalg.norm(path[:, None] - ends(episode, start, made.executed), axis=-1).min(0)
    assert off.max() > 0.004, "it was pushed"
    assert off[-1] < 0.35 * off.max() + 0.003, "and came back"


def test_without_a_push_the_path_is_followed() -> None:
    config = CorrectionConfig(weakest=0.0, strongest=0.0)
    episode = grasp()
    made = plan_correction(episode, 0, SCALE, ACTIVE, np.random.default_rng(0), config)
    np.testing.assert_array_equal(made.executed, made.intended)
    assert (made.executed[:, 0] > 0.0).sum() >= 9 and np.abs(made.executed[:8, 1:3]).max() < 0.3
    np.testing.assert_array_equal(made.executed[:10, 6], 1.0)


@pytest.mark.parametrize("seed", range(20))
def test_the_gripper_closes_at_its_key_pose_only_and_waits_as_long_as_it_was_shown(seed: int) -> None:
    episode, rng = grasp(), np.random.default_rng(seed)
    assert episode.commanded is not None
    config = CorrectionConfig(horizon=20)
    start = 8
    made = plan_correction(episode, start, SCALE, ACTIVE, rng, config)
    closing = np.flatnonzero(made.executed[:, 6] < 0.0)
    at = ends(episode, start, made.executed)
    assert len(closing), "it gets there"
    off = np.abs(at[closing[0]] - episode.commanded.position[15]) / SCALE
    assert off.max() <= 0.3 + 1e-6, "closed where it was shown"
    rising = np.flatnonzero(made.executed[:, 2] > 0.3)
    rising = rising[rising > closing[0]]
    assert not len(rising) or rising[0] - closing[0] >= 4, "the fingers have time to close"


def test_corrections_start_on_a_persons_own_path_of_a_success() -> None:
    episode = grasp()
    steps = len(episode)
    assert starts_of_corrections(episode, CONFIG) == list(range(steps - CONFIG.path + 1))
    assert starts_of_corrections(replace(episode, success=False), CONFIG) == []
    assert starts_of_corrections(replace(episode, commanded=None), CONFIG) == []
    disturbed = np.zeros(steps, bool)
    disturbed[10] = True
    pushed = replace(episode, disturbed=disturbed)
    assert undisturbed_path(pushed, 0) == 10 and undisturbed_path(pushed, 10) == 0
    assert starts_of_corrections(pushed, CONFIG) == [0, 1, 2, 3, 4, *range(11, steps - CONFIG.path + 1)]
    helped = np.zeros(steps, bool)
    helped[5:15] = True
    by_policy = replace(episode, demo=False, interventions=helped)
    assert starts_of_corrections(by_policy, CONFIG) == [5, 6, 7, 8, 9]
    assert starts_of_corrections(replace(by_policy, interventions=np.zeros(0, bool)), CONFIG) == []


@pytest.mark.parametrize("wrong", [{"shortest": 0}, {"longest": 12}, {"weakest": 2.0}, {"path": 1}])
def test_impossible_settings_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"need|path"):
        CorrectionConfig(**wrong)  # type: ignore[arg-type]

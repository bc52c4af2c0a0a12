"""Imagined data: apart from real ones, with their provenance, old ones dropped."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from worldsample_policy.replay.replay import FrameStore
from worldsample_policy.replay.synthetic_replay import Provenance, SyntheticReplay

SHAPE = (2, 1, 2, 2)


def make_replay(capacity: int = 100, versions: int = 2) -> SyntheticReplay:
    frames = FrameStore(1, SHAPE, torch.float32, 3, torch.device("cpu"))
    return SyntheticReplay(capacity, frames, versions, seed=0)


def add(
    replay: SyntheticReplay, version: int, success: bool = False, steps: int = 4, gamma: float | None = None
) -> None:
    """A segment whose latents count its frames from 100 * version on."""
    latents = torch.arange(steps + 1.0).view(-1, 1, 1, 1, 1, 1).expand(-1, 1, *SHAPE) + 100.0 * version
    rewards = np.zeros(steps, np.float32)
    rewards[-1] = success
    replay.add(
        latents,
        torch.zeros(steps + 1, 3),
        np.full((steps, 7), 0.5, np.float32),
        rewards,
        rewards > 0,
        np.zeros(steps, np.float32),
        success,
        Provenance(3, 10, version),
        gamma,
    )


def test_successes_and_failures_wait_apart() -> None:
    replay = make_replay()
    add(replay, 1, success=True)
    add(replay, 1, success=False, steps=3)
    assert (len(replay.success), len(replay.failure)) == (4, 3)
    batch = replay.sample(2, 1)
    assert bool((batch.demonstration == 0.0).all()), "nothing imagined counts as a demonstration"
    with pytest.raises(LookupError):
        make_replay().sample(1, 0)


def test_a_transition_joins_neighbouring_frames() -> None:
    replay = make_replay()
    add(replay, 1)
    batch = replay.sample(0, 32)
    torch.testing.assert_close(batch.next_latent - batch.latent, torch.ones_like(batch.latent))
    assert bool((batch.steps == 1.0).all())


def test_multi_step_returns_reach_the_end_of_the_segment() -> None:
    replay = make_replay()
    add(replay, 1, success=True, gamma=0.5)
    batch = replay.sample(64, 0)
    first = batch.latent.flatten(1)[:, 0] - 100.0
    assert batch.steps is not None
    torch.testing.assert_close(batch.steps, 4.0 - first)
    torch.testing.assert_close(batch.reward, 0.5 ** (batch.steps - 1.0))
    assert bool((batch.terminated == 1.0).all())


def test_old_versions_are_dropped_and_their_frames_freed() -> None:
    replay = make_replay(versions=2)
    for version in (1, 2, 3):
        add(replay, version)
    assert {row.provenance.version for row in replay.failure.rows} == {2, 3}
    assert replay.evicted == 4
    assert len(replay.frames) == 2 * 5


def test_a_full_queue_drops_its_oldest() -> None:
    replay = make_replay(capacity=6)
    for _ in range(5):
        add(replay, 1)
    assert len(replay.failure) == 6
    assert len(replay.frames) <= 8
    assert [row.provenance.step for row in replay.failure.rows] == [12, 13, 10, 11, 12, 13]

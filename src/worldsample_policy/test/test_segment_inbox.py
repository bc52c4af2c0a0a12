"""Imagined segments on their way in: bounded in number and size, and what is wrong is counted."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("worldsample_msgs")
from worldsample_core.messages.conversions import synthetic_to_message, to_time
from worldsample_core.messages.reception import Reception
from worldsample_core.messages.run_bounds import RunBounds
from worldsample_policy.learning.segment_inbox import MAX_SEGMENTS, SegmentInbox

from .test_world_model_following import segment


def inbox() -> tuple[SegmentInbox, Reception]:
    reception = Reception(str)
    return SegmentInbox(reception, RunBounds(counts=1000, image_size=8)), reception


def test_attack_06_segments_with_an_impossible_reward_or_version_never_reach_the_learner() -> None:
    made, reception = inbox()
    good = segment(0, 1)
    for bad in (
        dataclasses.replace(good, rewards=np.array([0.0, 1e30], np.float32)),
        dataclasses.replace(good, world_model_version=2**62),
        good,
    ):
        assert made.put(synthetic_to_message(bad, to_time(0.0)))
    assert [each.seq for each in made.take_all()] == [1]
    assert made.malformed == reception.total == 2 and len(reception.dropped) == 2


def test_attack_07_large_segments_do_not_wait_and_many_are_lost_with_a_word() -> None:
    made, reception = inbox()
    large = dataclasses.replace(segment(0, 1), images=np.zeros((3, 2, 64, 64, 3), np.uint8))
    assert not made.put(synthetic_to_message(large, to_time(0.0))) and made.malformed == 1
    message = synthetic_to_message(segment(0, 1), to_time(0.0))
    assert all(made.put(message) for _ in range(MAX_SEGMENTS)) and not made.put(message)
    assert "came too fast" in reception.words()

"""Imagined segments on the wire: they arrive exactly, and what is malformed never gets in."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldsample_core.observation import InvalidObservation
from worldsample_core.synthetic import SyntheticSegment

pytest.importorskip("rclpy")
conversions = pytest.importorskip("worldsample_core.messages.conversions")
from builtin_interfaces.msg import Time  # noqa: E402
from rclpy.serialization import deserialize_message, serialize_message  # noqa: E402

from worldsample_msgs.msg import SyntheticBatch  # noqa: E402


def segment(seed: int = 0, length: int = 5, size: int = 16, success: bool = True) -> SyntheticSegment:
    rng = np.random.default_rng(seed)
    rewards = np.zeros(length, np.float32)
    rewards[-1] = float(success)
    return SyntheticSegment(
        rng.integers(0, 256, (length + 1, 2, size, size, 3), dtype=np.uint8),
        rng.normal(size=(length + 1, 10)).astype(np.float32),
        rng.uniform(-1, 1, (length, 7)).astype(np.float32),
        rewards,
        rewards > 0,
        rng.uniform(0, 1, length).astype(np.float32),
        rng.uniform(0, 1, length).astype(np.float32),
        success,
        source_episode=int(rng.integers(2**32)),
        source_step=int(rng.integers(2**32)),
        world_model_version=int(rng.integers(2**60)),
        policy_version=int(rng.integers(2**60)),
        seq=int(rng.integers(2**60)),
        effective_step=int(rng.integers(2**60)),
        publisher="worldmodel",
        run="r" * 64,
    )


def sent(made: SyntheticSegment) -> SyntheticBatch:
    wire = serialize_message(conversions.synthetic_to_message(made, Time()))
    return deserialize_message(wire, SyntheticBatch)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 20), st.sampled_from([8, 16, 24]), st.booleans())
def test_a_segment_survives_the_wire_exactly(seed: int, length: int, size: int, success: bool) -> None:
    made = segment(seed, length, size, success)
    got = conversions.synthetic_from_message(sent(made))
    for field in dataclasses.fields(SyntheticSegment):
        ours, theirs = getattr(made, field.name), getattr(got, field.name)
        if isinstance(ours, np.ndarray):
            assert theirs.dtype == ours.dtype
            np.testing.assert_array_equal(ours, theirs)
        else:
            assert ours == theirs, field.name


ARRAYS = ("side", "wrist", "proprio", "action", "reward", "terminated", "uncertainty", "success_probability")


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(ARRAYS), st.integers(0, 3), st.booleans())
def test_an_array_of_the_wrong_size_is_refused(name: str, count: int, longer: bool) -> None:
    message = sent(segment())
    values = getattr(message, name)
    changed = values + values[: count + 1] if longer else values[:count]
    setattr(message, name, changed)
    with pytest.raises(InvalidObservation, match=f"synthetic {name} has"):
        conversions.synthetic_from_message(message)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**16 - 1), st.integers(0, 2**16 - 1), st.integers(0, 2**16 - 1))
def test_sizes_that_lie_are_refused_whatever_they_claim(length: int, height: int, width: int) -> None:
    message = sent(segment())
    message.length, message.height, message.width = length, height, width
    if (length, height, width) != (5, 16, 16):
        with pytest.raises(InvalidObservation):
            conversions.synthetic_from_message(message)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["proprio", "action", "reward", "uncertainty", "success_probability"]),
    st.sampled_from([np.nan, np.inf, -np.inf]),
    st.integers(0, 4),
)
def test_values_that_are_not_finite_are_refused(name: str, value: float, where: int) -> None:
    message = sent(segment())
    getattr(message, name)[where] = value
    with pytest.raises(InvalidObservation, match="not finite"):
        conversions.synthetic_from_message(message)


def _too_far(message: SyntheticBatch) -> None:
    message.action[3] = 1.5


def _success_without_an_end(message: SyntheticBatch) -> None:
    message.terminated = [False] * 5


def _goes_on_after_its_end(message: SyntheticBatch) -> None:
    message.terminated = [False, True, False, False, True]


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [(_too_far, "leave"), (_success_without_an_end, "ends with"), (_goes_on_after_its_end, "ends with")],
)
def test_a_segment_that_contradicts_itself_is_refused(
    spoil: Callable[[SyntheticBatch], None], expected: str
) -> None:
    message = sent(segment())
    spoil(message)
    with pytest.raises(InvalidObservation, match=expected):
        conversions.synthetic_from_message(message)


@pytest.mark.parametrize(
    "changes",
    [
        {"proprio": np.full((6, 10), np.nan, np.float32)},
        {"images": np.zeros((6, 2, 16, 8, 3), np.uint8)},
        {"publisher": "p" * 65},
    ],
)
def test_an_unusable_segment_is_never_published(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidObservation):
        conversions.synthetic_to_message(dataclasses.replace(segment(), **changes), Time())


def test_a_segment_beyond_the_limit_is_refused_before_anything_is_allocated() -> None:
    message = SyntheticBatch(length=256, height=1024, width=1024)
    with pytest.raises(InvalidObservation, match="is the limit"):
        conversions.synthetic_from_message(message)

"""Messages come from a wire: every size and value is checked before it is used."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldsample_core.observation import InvalidObservation, Observation
from worldsample_core.transition import EpisodeSummary, Transition

pytest.importorskip("rclpy")
conversions = pytest.importorskip("worldsample_core.messages.conversions")
episode_bag = pytest.importorskip("worldsample_core.episodes.episode_bag")
from builtin_interfaces.msg import Time  # noqa: E402
from rclpy.serialization import deserialize_message, serialize_message  # noqa: E402
from sensor_msgs.msg import Image  # noqa: E402

from worldsample_msgs.msg import Transition as TransitionMsg  # noqa: E402


def transition(seed: int = 0, size: int = 16, **changes: object) -> Transition:
    rng = np.random.default_rng(seed)

    def observe(stamp: float) -> Observation:
        return Observation(
            rng.integers(0, 256, (2, size, size, 3), dtype=np.uint8),
            rng.normal(size=10).astype(np.float32),
            stamp,
        )

    values: dict[str, object] = {
        "observation": observe(1.5),
        "action": rng.uniform(-1, 1, 7).astype(np.float32),
        "reward": 1.0,
        "next_observation": observe(1.6),
        "terminated": True,
        "truncated": False,
        "success": True,
        "intervention": False,
        "seq": 7,
        "episode": 2,
        "step": 3,
        "source": "demo",
        "policy_version": 9,
        "run": "r",
    }
    return Transition(**{**values, **changes})  # type: ignore[arg-type]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([8, 16, 24]))
def test_a_transition_survives_the_wire_exactly(seed: int, size: int) -> None:
    sent = transition(seed, size)
    wire = serialize_message(conversions.transition_to_message(sent))
    got = conversions.transition_from_message(deserialize_message(wire, TransitionMsg))
    for name in (
        "reward",
        "terminated",
        "truncated",
        "success",
        "intervention",
        "seq",
        "episode",
        "step",
        "source",
        "run",
    ):
        assert getattr(got, name) == getattr(sent, name)
    np.testing.assert_array_equal(got.action, sent.action)
    for ours, theirs in ((got.observation, sent.observation), (got.next_observation, sent.next_observation)):
        np.testing.assert_array_equal(ours.images, theirs.images)
        np.testing.assert_array_equal(ours.proprio, theirs.proprio)
        assert ours.stamp == pytest.approx(theirs.stamp, abs=1e-9)


def test_malformed_transitions_are_refused() -> None:
    message = conversions.transition_to_message(transition())
    message.observation.side = message.observation.side[:-1]
    with pytest.raises(InvalidObservation, match="image bytes"):
        conversions.transition_from_message(message)

    message = conversions.transition_to_message(transition())
    message.action = np.full(7, np.nan, np.float32)
    with pytest.raises(InvalidObservation, match="finite"):
        conversions.transition_from_message(message)

    message = conversions.transition_to_message(transition())
    message.observation.height = 60000
    with pytest.raises(InvalidObservation, match="out of range"):
        conversions.transition_from_message(message)

    message = conversions.transition_to_message(transition())
    message.source = 17
    with pytest.raises(InvalidObservation, match="source 17"):
        conversions.transition_from_message(message)


def test_camera_images_of_both_encodings_and_with_padding() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    message = conversions.image_to_message(rgb, "side", Time())
    np.testing.assert_array_equal(conversions.image_to_numpy(message), rgb)

    padded = np.zeros((4, 17), np.uint8)
    padded[:, :15] = rgb[:, :, ::-1].reshape(4, 15)
    bgr = Image(height=4, width=5, step=17, encoding="bgr8", data=conversions.byte_array(padded))
    np.testing.assert_array_equal(conversions.image_to_numpy(bgr), rgb)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"encoding": "16UC1"}, "encoding"),
        ({"height": 5}, "bytes"),
        ({"width": 0}, "unusable size"),
        ({"step": 3}, "unusable size"),
        ({"height": 2**31, "width": 2**20}, "unusable size"),
    ],
)
def test_a_camera_image_that_lies_about_its_size_is_refused(fields: dict[str, object], message: str) -> None:
    image = conversions.image_to_message(np.zeros((4, 5, 3), np.uint8), "side", Time())
    for name, value in fields.items():
        setattr(image, name, value)
    with pytest.raises(InvalidObservation, match=message):
        conversions.image_to_numpy(image)


def test_an_episode_summary_round_trip() -> None:
    summary = EpisodeSummary(
        "eval", 3, 20, 1.0, True, False, seed=2**40, path="episodes/episode_000003", run="r"
    )
    assert conversions.summary_from_message(conversions.summary_to_message(summary, Time())) == summary


@given(st.floats(0, 1e9))
def test_times_are_exact_to_the_nanosecond(seconds: float) -> None:
    time = conversions.to_time(seconds)
    assert 0 <= time.nanosec < 1_000_000_000
    assert conversions.from_time(time) == pytest.approx(seconds, abs=2e-7)


def test_a_pushed_step_keeps_what_was_intended_and_old_records_are_read() -> None:
    pushed = transition(intended=np.linspace(-1.0, 1.0, 7).astype(np.float32))
    again = episode_bag.decode_transition(episode_bag.encode_transition(pushed))
    assert again.intended is not None
    np.testing.assert_array_equal(again.intended, pushed.intended)
    plain = episode_bag.encode_transition(transition())
    assert episode_bag.decode_transition(plain).intended is None
    of_0_1_0 = plain[: len(plain) - 32]  # before `disturbed` (1 byte, 3 of padding) and `intended` (28)
    old = episode_bag.decode_transition(of_0_1_0)
    assert old.intended is None
    np.testing.assert_array_equal(old.next_observation.images, transition().next_observation.images)


def test_an_intended_action_is_checked_like_an_executed_one() -> None:
    for wrong in (np.full(7, 2.0, np.float32), np.zeros(6, np.float32), np.full(7, np.nan, np.float32)):
        with pytest.raises(InvalidObservation):
            transition(intended=wrong).validate()

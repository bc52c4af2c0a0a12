"""A NaN never becomes a motion, and a wrong image size never trains silently."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from worldsample_core.messages.images import to_training_size
from worldsample_core.observation import ACTION_DIM, InvalidObservation, Observation, clean_action


def observation(size: int = 16) -> Observation:
    return Observation(np.zeros((2, size, size, 3), np.uint8), np.zeros(10, np.float32))


@given(hnp.arrays(np.float32, (ACTION_DIM,), elements=st.floats(width=32)))
def test_clean_action_is_bounded_or_refused(action: np.ndarray) -> None:
    if np.isfinite(action).all():
        cleaned = clean_action(action)
        assert cleaned.dtype == np.float32
        assert np.all(np.abs(cleaned) <= 1.0)
        inside = np.abs(action) <= 1.0
        np.testing.assert_array_equal(cleaned[inside], action[inside])
    else:
        with pytest.raises(InvalidObservation, match="non-finite"):
            clean_action(action)


def test_clean_action_keeps_inactive_dimensions_at_zero() -> None:
    active = np.array([True, True, True, False, False, False, False])
    cleaned = clean_action(np.full(7, 0.5, np.float32), active)
    np.testing.assert_array_equal(cleaned, [0.5, 0.5, 0.5, 0, 0, 0, 0])


@pytest.mark.parametrize("shape", [(6,), (8,), (1, 7), ()])
def test_clean_action_refuses_other_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidObservation, match="an action is"):
        clean_action(np.zeros(shape, np.float32))


def test_observation_validation_names_the_fault() -> None:
    good = observation()
    assert good.validate() is good
    with pytest.raises(InvalidObservation, match="images"):
        Observation(good.images.astype(np.float32), good.proprio).validate()  # type: ignore[arg-type]
    with pytest.raises(InvalidObservation, match="images"):
        Observation(good.images[:1], good.proprio).validate()
    with pytest.raises(InvalidObservation, match="non-finite"):
        Observation(good.images, np.full(10, np.nan, np.float32)).validate()


@given(
    height=st.integers(8, 60),
    width=st.integers(8, 60),
    size=st.integers(1, 8),
    colour=st.tuples(*[st.integers(0, 255)] * 3),
)
def test_resizing_keeps_a_uniform_colour(
    height: int, width: int, size: int, colour: tuple[int, int, int]
) -> None:
    image = np.broadcast_to(np.array(colour, np.uint8), (height, width, 3))
    resized = to_training_size(np.ascontiguousarray(image), size)
    assert resized.shape == (size, size, 3)
    assert (resized == np.array(colour, np.uint8)).all()


def test_resizing_averages_the_centre_crop() -> None:
    image = np.zeros((4, 8, 3), np.uint8)
    image[:, :2] = 255  # outside the centre crop
    image[:2, 2:4] = 100
    resized = to_training_size(image, 2)
    np.testing.assert_array_equal(resized[..., 0], [[100, 0], [0, 0]])


def test_a_camera_smaller_than_the_training_size_is_an_error() -> None:
    with pytest.raises(InvalidObservation, match="smaller than"):
        to_training_size(np.zeros((8, 8, 3), np.uint8), 16)

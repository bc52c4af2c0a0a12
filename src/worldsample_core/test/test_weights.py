"""Damaged or foreign weights must never reach the arm."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import save

from worldsample_core.messages.weights import InvalidWeights, pack, unpack

ARCHITECTURE = {"hidden": [256, 256], "views": 2}


@given(
    st.dictionaries(
        st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=8),
        hnp.arrays(
            np.float32, hnp.array_shapes(max_dims=3, max_side=5), elements=st.floats(-1e6, 1e6, width=32)
        ),
        min_size=1,
        max_size=4,
    )
)
def test_round_trip_is_exact(tensors: dict[str, np.ndarray]) -> None:
    loaded = unpack(pack(tensors, ARCHITECTURE, 3), ARCHITECTURE)
    assert loaded.keys() == tensors.keys()
    for name, value in tensors.items():
        np.testing.assert_array_equal(loaded[name], value)
        assert loaded[name].dtype == value.dtype


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_any_changed_byte_is_noticed(position: int, flip: int) -> None:
    packed = pack({"w": np.arange(12, dtype=np.float32)}, ARCHITECTURE, 1)
    data = bytearray(packed.data)
    data[position % len(data)] ^= flip
    with pytest.raises(InvalidWeights, match="sha256"):
        unpack(dataclasses.replace(packed, data=bytes(data)), ARCHITECTURE)


def test_the_bytes_are_those_of_safetensors_own_writer() -> None:
    tensors = {
        "b": np.ones((3, 2), np.float32),
        "a": np.arange(4, dtype=np.float32),
        "c": np.float32(1)[None],
    }
    assert bytes(pack(tensors, ARCHITECTURE, 1).data) == save(tensors)


def test_tensors_of_every_type_shape_and_layout_return() -> None:
    tensors = {
        "columns": np.arange(12, dtype=np.float64).reshape(3, 4).T,
        "flag": np.array([True, False, True]),
        "scalar": np.array(2.5, np.float32),
        "empty": np.zeros((0, 3), np.float32),
        "count": np.arange(3, dtype=np.int64),
        "half": np.arange(3, dtype=np.float16),
    }
    loaded = unpack(pack(tensors, ARCHITECTURE, 1))
    for name, value in tensors.items():
        np.testing.assert_array_equal(loaded[name], value)
        assert loaded[name].dtype == value.dtype
    with pytest.raises(InvalidWeights, match="complex128"):
        pack({"w": np.zeros(2, np.complex128)}, ARCHITECTURE, 1)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_weights_are_neither_packed_nor_loaded(bad: float) -> None:
    with pytest.raises(InvalidWeights, match="'w' has values that are not finite"):
        pack({"w": np.array([0.0, bad], np.float32)}, ARCHITECTURE, 1)


def test_weights_of_another_network_are_refused() -> None:
    packed = pack({"w": np.zeros(2, np.float32)}, ARCHITECTURE, 1)
    with pytest.raises(InvalidWeights, match="another network"):
        unpack(packed, {**ARCHITECTURE, "hidden": [64]})


@pytest.mark.parametrize("architecture", ["", "{", '{"a": 1', "[" * 100_000, "9" * 5000, "\x00"])
def test_weights_that_do_not_say_of_which_network_they_are_are_refused(architecture: str) -> None:
    packed = pack({"w": np.zeros(2, np.float32)}, ARCHITECTURE, 1)
    with pytest.raises(InvalidWeights, match=r"of which network|another network"):
        unpack(dataclasses.replace(packed, architecture=architecture), ARCHITECTURE)

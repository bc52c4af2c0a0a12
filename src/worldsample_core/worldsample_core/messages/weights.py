"""Weights on a wire or a disk: safetensors with a version, a sha256 and a description, never pickle."""

from __future__ import annotations

import array
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load

Tensors = dict[str, NDArray[Any]]

DTYPES = {
    np.dtype(np.float64): "F64",
    np.dtype(np.float32): "F32",
    np.dtype(np.float16): "F16",
    np.dtype(np.int64): "I64",
    np.dtype(np.int32): "I32",
    np.dtype(np.uint8): "U8",
    np.dtype(np.bool_): "BOOL",
}
"""safetensors' words for the types of tensors that networks have."""


class InvalidWeights(ValueError):
    """Weights that must not be loaded: damaged, of another network, or with values that are not finite."""


@dataclass(frozen=True, slots=True)
class PackedWeights:
    """Weights ready to be published.

    Attributes:
        data: safetensors bytes, in the form in which a message carries them.
        sha256: hex digest of ``data``.
        architecture: JSON of what the receiver must build to load them.
        version: increases by one per publication, also across restarts.
        updates: learner updates done; real_steps: real steps the learner had seen.
        effective_step: in lockstep, the number of real steps at which to switch (0: at once).
    """

    data: array.array[int] | bytes
    sha256: str
    architecture: str
    version: int
    updates: int = 0
    real_steps: int = 0
    effective_step: int = 0
    run: str = ""


def require_finite(tensors: Mapping[str, NDArray[Any]]) -> None:
    """Raises :class:`InvalidWeights` naming the first tensor with a NaN or an infinity."""
    for name, value in tensors.items():
        if np.issubdtype(value.dtype, np.floating) and not np.isfinite(value).all():
            raise InvalidWeights(f"tensor {name!r} has values that are not finite")


def safetensors_bytes(tensors: Mapping[str, NDArray[Any]]) -> array.array[int]:
    """The tensors in the layout of safetensors, each copied once, into what becomes a message's field.

    Layout: length of the header as uint64, header (JSON, padded with spaces to 8 bytes), the tensors' bytes.
    Raises :class:`InvalidWeights` for a type of values that no network has.
    """
    header: dict[str, Any] = {}
    end = 0
    for name in sorted(tensors, key=lambda name: (-tensors[name].itemsize, name)):
        value = tensors[name]
        if value.dtype not in DTYPES:
            raise InvalidWeights(f"tensor {name!r} has values of the type {value.dtype}")
        begin, end = end, end + value.nbytes
        header[name] = {
            "dtype": DTYPES[value.dtype],
            "shape": list(value.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    data = array.array("B", (0,)) * (8 + len(text) + end)
    view = np.frombuffer(data, dtype=np.uint8)
    view[:8] = np.frombuffer(len(text).to_bytes(8, "little"), dtype=np.uint8)
    view[8 : 8 + len(text)] = np.frombuffer(text, dtype=np.uint8)
    body = view[8 + len(text) :]
    for name, entry in header.items():
        begin, finish = entry["data_offsets"]
        np.copyto(body[begin:finish].view(tensors[name].dtype).reshape(entry["shape"]), tensors[name])
    return data


def pack(
    tensors: Mapping[str, NDArray[Any]],
    architecture: Mapping[str, Any],
    version: int,
    *,
    updates: int = 0,
    real_steps: int = 0,
    effective_step: int = 0,
    run: str = "",
) -> PackedWeights:
    """Encode; the receiver gets exactly these arrays. Raises :class:`InvalidWeights` on non-finite values."""
    require_finite(tensors)
    data = safetensors_bytes(tensors)
    return PackedWeights(
        data=data,
        sha256=hashlib.sha256(data).hexdigest(),
        architecture=json.dumps(architecture, sort_keys=True),
        version=version,
        updates=updates,
        real_steps=real_steps,
        effective_step=effective_step,
        run=run,
    )


def unpack(packed: PackedWeights, architecture: Mapping[str, Any] | None = None) -> Tensors:
    """Decode and check: digest, format, architecture (where given), finiteness.

    Raises:
        InvalidWeights: with what is wrong; the caller keeps acting on the weights it has.
    """
    if hashlib.sha256(packed.data).hexdigest() != packed.sha256:
        raise InvalidWeights(f"weights version {packed.version} are damaged: sha256 differs")
    if architecture is not None and _described(packed) != json.loads(json.dumps(architecture)):
        raise InvalidWeights(
            f"weights version {packed.version} are of another network: {packed.architecture[:400]} instead "
            f"of {json.dumps(architecture, sort_keys=True)}; give every node the same configuration"
        )
    try:
        tensors = load(bytes(packed.data))
    except Exception as error:  # safetensors raises KeyError, TypeError and others beside its own
        raise InvalidWeights(f"weights version {packed.version} are not safetensors: {error}") from error
    require_finite(tensors)
    return tensors


def _described(packed: PackedWeights) -> Any:
    """The network that weights are said to be of. Raises :class:`InvalidWeights` where it is no JSON."""
    try:
        return json.loads(packed.architecture)
    except (ValueError, RecursionError) as error:
        problem = f"weights version {packed.version} do not say of which network they are"
        raise InvalidWeights(f"{problem}: {error}") from error

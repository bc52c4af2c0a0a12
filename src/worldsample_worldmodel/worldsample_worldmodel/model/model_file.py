"""Files of models: one safetensors file, written whole or not at all, with counters and digest in its header.

Files of version 0.1.0 have the counters only; they are read as they are.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from worldsample_core.checkpoint_error import CheckpointError
from worldsample_core.episodes.durability import disk_errors

COUNTERS, DIGEST, FORMAT = "counters", "sha256", "format"
"""Entries of the file's header. ``format`` stands beside the digest, so that one which got lost is missed."""


def write(path: Path, tensors: Mapping[str, Tensor], counters: Mapping[str, Any]) -> None:
    """Write to a temporary sibling, flush, rename. Raises OSError; the old file then stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    kept = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    told = json.dumps(counters)
    try:
        with disk_errors(path):
            save_file(kept, temporary, {COUNTERS: told, FORMAT: "2", DIGEST: _digest(kept, told)})
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The inverse of :func:`write`.

    Raises:
        CheckpointError: the file is missing, damaged, or has values that are not finite.
    """
    remedy = "remove it: the models are then trained again from the recorded episodes"
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            header = file.metadata() or {}
        counters = json.loads(header[COUNTERS])
        expected = {COUNTERS: header[COUNTERS], FORMAT: "2", DIGEST: _digest(tensors, header[COUNTERS])}
        if header.keys() != {COUNTERS} and header != expected:
            raise ValueError("it has changed since it was written")
    except Exception as error:  # safetensors raises many kinds on a damaged file
        raise CheckpointError(f"checkpoint {path} cannot be read ({error}); {remedy}") from error
    for name, value in tensors.items():
        if (
            value.is_floating_point()
            and not name.endswith(("gate_low", "gate_high"))
            and not torch.isfinite(value).all()
        ):
            raise CheckpointError(f"checkpoint {path}: {name} has values that are not finite; {remedy}")
    return tensors, counters


def _digest(tensors: Mapping[str, Tensor], counters: str) -> str:
    """SHA-256 of the names, types, shapes and values of all tensors, and of the counters, as hex."""
    digest = hashlib.sha256(counters.encode())
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(json.dumps([name, str(value.dtype), list(value.shape)]).encode())
        digest.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()

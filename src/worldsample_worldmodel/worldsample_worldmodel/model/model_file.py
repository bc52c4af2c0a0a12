"""Files of models: one safetensors file, written whole or not at all, with counters in its header."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from worldsample_core.checkpoint_error import CheckpointError


def write(path: Path, tensors: Mapping[str, Tensor], counters: Mapping[str, Any]) -> None:
    """Write to a temporary sibling, flush, rename. Raises OSError; the old file then stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        save_file(
            {name: value.detach().cpu().contiguous() for name, value in tensors.items()},
            temporary,
            {"counters": json.dumps(counters)},
        )
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
            counters = json.loads((file.metadata() or {})["counters"])
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(f"checkpoint {path} cannot be read ({error}); {remedy}") from error
    for name, value in tensors.items():
        if (
            value.is_floating_point()
            and not name.endswith(("gate_low", "gate_high"))
            and not torch.isfinite(value).all()
        ):
            raise CheckpointError(f"checkpoint {path}: {name} has values that are not finite; {remedy}")
    return tensors, counters

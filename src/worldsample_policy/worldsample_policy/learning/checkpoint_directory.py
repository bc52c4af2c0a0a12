"""A checkpoint on disk: a directory of safetensors and one JSON of counters, whole or not there at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from worldsample_core.checkpoint_error import CheckpointError
from worldsample_core.episodes.durability import flush

FORMAT = 1


def write(directory: Path, files: Mapping[str, Mapping[str, Tensor]], counters: Mapping[str, Any]) -> None:
    """Write `<name>.safetensors` for each of `files`, and `checkpoint.json`, into `directory`.

    All goes to a temporary sibling first, is flushed to disk and then renamed: after a crash the directory is
    the old one, the new one or absent. An existing checkpoint is replaced. Raises OSError (a full disk),
    leaving the old one.
    """
    directory = Path(directory)
    temporary = directory.with_name(f".{directory.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        digests = {}
        for name, tensors in files.items():
            path = temporary / f"{name}.safetensors"
            save_file({key: value.detach().contiguous() for key, value in tensors.items()}, path)
            digests[name] = _sha256(path)
            flush(path)
        path = temporary / "checkpoint.json"
        path.write_text(json.dumps({"format": FORMAT, "sha256": digests, **counters}, indent=1))
        flush(path)
        replaced = directory.with_name(f".{directory.name}.{os.getpid()}.old")
        if directory.exists():
            os.rename(directory, replaced)
        os.rename(temporary, directory)
        flush(directory.parent)
        shutil.rmtree(replaced, ignore_errors=True)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def read(directory: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """The inverse of `write`.

    Raises:
        CheckpointError: a file is missing, damaged or of another format.
    """
    directory = Path(directory)
    remedy = "remove the directory and resume: an older checkpoint is used and nothing of the robot is lost"
    try:
        counters: dict[str, Any] = json.loads((directory / "checkpoint.json").read_text())
        digests = counters["sha256"]
        if counters["format"] != FORMAT:
            raise CheckpointError(
                f"checkpoint {directory} has format {counters['format']}, this version reads {FORMAT}"
            )
        files = {}
        for name, digest in digests.items():
            path = directory / f"{name}.safetensors"
            if _sha256(path) != digest:
                raise CheckpointError(f"checkpoint {path} is damaged (its sha256 differs): {remedy}")
            files[name] = load_file(path)
    except FileNotFoundError as error:
        raise CheckpointError(
            f"checkpoint {directory} is incomplete ({error.filename} is missing): {remedy}"
        ) from error
    except (ValueError, KeyError, TypeError, SafetensorError) as error:
        raise CheckpointError(f"checkpoint {directory} is damaged ({error}): {remedy}") from error
    return files, counters


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()

"""A checkpoint on disk: a directory of safetensors and one JSON of counters, whole or not there at all."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from worldsample_core.checkpoint_error import CheckpointError
from worldsample_core.episodes.durability import disk_errors, flush

FORMAT = 2
UNSEALED = 1
"""Format of version 0.1.0: its counters have no digest; it is still read."""
SEAL = "counters_sha256"
"""Name of the digest of the other counters, of their JSON with sorted keys."""
_NAME = re.compile(r"[a-z_]+")
_LEFT = re.compile(r"\.(step_\d+)\.\d+\.(tmp|old)")


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
            with disk_errors(path):
                save_file({key: value.detach().contiguous() for key, value in tensors.items()}, path)
            digests[name] = _sha256(path)
            flush(path)
        path = temporary / "checkpoint.json"
        path.write_text(_sealed({"format": FORMAT, "sha256": digests, **counters}))
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


def clear_leftovers(folder: Path) -> None:
    """Remove what writers that were killed have left in a folder of checkpoints.

    Call it where no other process writes. A checkpoint that was about to be replaced takes its place again.
    """
    for path in folder.glob(".*"):
        match = _LEFT.fullmatch(path.name)
        if match is None:
            continue
        if match[2] == "old" and not (folder / match[1]).exists():
            os.rename(path, folder / match[1])
        else:
            shutil.rmtree(path, ignore_errors=True)


def read(directory: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """The inverse of `write`.

    Raises:
        CheckpointError: a file is missing, damaged or of another format.
    """
    directory = Path(directory)
    remedy = "remove the directory and resume: an older checkpoint is used and nothing of the robot is lost"
    try:
        counters = _opened((directory / "checkpoint.json").read_bytes())
        digests = counters["sha256"]
        if counters["format"] not in (UNSEALED, FORMAT):
            raise CheckpointError(
                f"checkpoint {directory} has format {counters['format']}, this version reads {FORMAT}"
            )
        files = {}
        for name, digest in digests.items():
            path = directory / f"{name}.safetensors"
            if _NAME.fullmatch(name) is None:
                raise ValueError(f"a file is called {name!r}")
            if _sha256(path) != digest:
                raise CheckpointError(f"checkpoint {path} is damaged (its sha256 differs): {remedy}")
            files[name] = load_file(path)
    except FileNotFoundError as error:
        raise CheckpointError(
            f"checkpoint {directory} is incomplete ({error.filename} is missing): {remedy}"
        ) from error
    except CheckpointError:
        raise
    except Exception as error:  # safetensors raises many kinds on a damaged file
        problem = str(error) or type(error).__name__
        raise CheckpointError(f"checkpoint {directory} is damaged ({problem}): {remedy}") from error
    return files, counters


def _sealed(values: Mapping[str, Any]) -> str:
    """JSON of the counters, with the digest of their canonical text as the last of them."""
    return json.dumps({**values, SEAL: hashlib.sha256(_canonical(values)).hexdigest()}, indent=1)


def _opened(text: bytes) -> dict[str, Any]:
    """The counters in ``checkpoint.json``, compared with their digest where they have one.

    Raises:
        ValueError: they are no mapping, or have changed since they were written.
    """
    values = json.loads(text)
    if not isinstance(values, dict) or not isinstance(values.get("sha256"), dict):
        raise ValueError("its counters are no mapping")
    seal = values.pop(SEAL, None)
    if values.get("format") != UNSEALED and seal != hashlib.sha256(_canonical(values)).hexdigest():
        raise ValueError("its counters have changed since they were written")
    return values


def _canonical(values: Mapping[str, Any]) -> bytes:
    return json.dumps(values, sort_keys=True, separators=(",", ":")).encode()


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()

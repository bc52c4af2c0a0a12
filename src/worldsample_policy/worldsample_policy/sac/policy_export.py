"""A trained policy by itself: the networks of a checkpoint that acting needs.

They are a quarter of all, and nothing of their training. `worldsample eval` and the policy node act on an
exported policy; a learner cannot go on from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt
from torch import Tensor

from worldsample_core.checkpoint_error import CheckpointError
from worldsample_policy.learning import checkpoint_directory
from worldsample_policy.sac.agent import actor_tensors

POLICY = "policy"
"""Name of the one safetensors file of an exported policy."""


def acting_weights_of(files: Mapping[str, Mapping[str, Tensor]]) -> dict[str, npt.NDArray[Any]]:
    """Weights for `Actor.load` out of a checkpoint's files, those of a learner or of an exported policy.

    Raises KeyError where there is no policy among them.
    """
    tensors = files[POLICY] if POLICY in files else actor_tensors(files["model"])
    return {name: value.numpy() for name, value in tensors.items()}


def export_policy(trained: Path, exported: Path) -> None:
    """Write the policy of the checkpoint `trained` as the checkpoint `exported`, whole or not at all.

    An exported policy is exported as it is. Raises CheckpointError where `trained` is damaged or no
    checkpoint of a policy, OSError on a full disk.
    """
    files, counters = checkpoint_directory.read(trained)
    model = files.get("model") or files.get(POLICY)
    if model is None or "architecture" not in counters:
        raise CheckpointError(f"checkpoint {trained} holds no policy: name one of a training run")
    kept = {name: counters[name] for name in ("architecture", "updates", "real_steps")}
    checkpoint_directory.write(exported, {POLICY: actor_tensors(model)}, kept)

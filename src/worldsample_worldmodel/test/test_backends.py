"""A large backend that is not there says what it needs."""

from __future__ import annotations

import pytest
import torch

from worldsample_core.config import ConfigError
from worldsample_worldmodel.backends import BackendUnavailable, load_backend
from worldsample_worldmodel.backends.cosmos import ActionAdapter


def test_missing_parts_are_named() -> None:
    with pytest.raises(BackendUnavailable, match=r"CUDA|diffusers|model_index"):
        load_backend("cosmos")
    with pytest.raises(BackendUnavailable, match=r"diffusers|model_index"):
        load_backend("cosmos", device="cpu")
    with pytest.raises(BackendUnavailable, match="Adaptation"):
        load_backend("native")
    with pytest.raises(ConfigError, match="did you mean"):
        load_backend("cosmo")


def test_the_adapter_turns_actions_into_embeddings() -> None:
    embeddings, proprio = ActionAdapter(24, 16)(torch.zeros(2, 10), torch.zeros(2, 5, 7))
    assert embeddings.shape == (2, 5, 24) and proprio.shape == (2, 5, 10)

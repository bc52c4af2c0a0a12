"""All networks of the policy: the frozen encoder, the statistics of proprioception, and SAC's networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from worldsample_core.observation import PROPRIO_FLOOR
from worldsample_policy.encoders.make_encoder import make_encoder
from worldsample_policy.learner_config import PROPRIO_PARTS, LearnerConfig
from worldsample_policy.sac.sac import SAC

_ACTS = (
    *("encoder.", "proprio_", "sac.projection.", "sac.actor.", "sac.gripper."),
    *("sac.policy_projection.", "sac.gripper_policy."),
)


_AVERAGED = "sac.averaged."


def actor_tensors(model: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors that acting needs, out of those of all networks of a learner (`Agent.state_dict`).

    Where the learner averages its actor, the average's, under the names of the actor.
    """
    averages = {
        "sac." + name.removeprefix(_AVERAGED): value
        for name, value in model.items()
        if name.startswith(_AVERAGED)
    }
    model = {**model, **averages}
    critic_closes = _has(model, "sac.gripper.") and not _has(model, "sac.gripper_policy.")
    unused = ["encoder.decoders."]
    if not critic_closes:
        unused.append("sac.gripper.")
    if _has(model, "sac.policy_projection.") and not critic_closes:
        unused.append("sac.projection.")  # nothing that acts sees through the critics' heads
    return {
        name: value
        for name, value in model.items()
        if name.startswith(_ACTS) and not name.startswith(tuple(unused))
    }


def _has(model: Mapping[str, Tensor], prefix: str) -> bool:
    return any(name.startswith(prefix) for name in model)


class Agent(nn.Module):
    """encoder (frozen) -> sac (projection, actor, critics). `active`: (7,) the task's action dimensions."""

    proprio_mean: Tensor
    proprio_scale: Tensor

    def __init__(
        self, config: LearnerConfig, active: Sequence[bool], gamma: float, views: int, proprio: int
    ) -> None:
        super().__init__()
        self.config, self.active = config, tuple(bool(a) for a in active)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.encoder = make_encoder(config, views)
            self.sac = SAC(config, self.encoder.latent_shape, proprio, active, gamma)
        self.register_buffer("proprio_mean", torch.zeros(proprio))
        self.register_buffer("proprio_scale", torch.ones(proprio))

    def architecture(self) -> dict[str, Any]:
        """JSON-able description of the networks: equal for a learner and an actor that fit."""
        names = (
            "image_size",
            "encoder",
            "latent_channels",
            "latent_size",
            "separate_views",
            "encoder_width",
            "head",
            "spatial_embeddings",
            "bottleneck",
            "proprio_features",
            "hidden",
            "std_min",
            "std_max",
        )
        points = ("keypoints",) if "keypoints" in (self.config.head, self.config.policy_head_kind) else ()
        choices = ("policy_head", "policy_head_kind", "gripper_policy")
        chosen = [name for name in choices if getattr(self.config, name)]
        return {
            "active": list(self.active),
            **{name: getattr(self.config, name) for name in (*names, *points, *chosen)},
        }

    def fit_proprio(self, proprio: npt.NDArray[np.float32]) -> None:
        """Statistics of the demonstrations' proprioception (N, P)."""
        scale = 1.0 / np.maximum(proprio.std(0), PROPRIO_FLOOR)
        if self.config.proprio_use != "all":
            seen = [index for letter in self.config.proprio_use for index in PROPRIO_PARTS[letter]]
            scale *= np.isin(np.arange(len(scale)), seen)
        self.proprio_mean.copy_(torch.from_numpy(proprio.mean(0)))
        self.proprio_scale.copy_(torch.from_numpy(scale))

    def standardise(self, proprio: Tensor) -> Tensor:
        """(B, P) in physical units -> about unit size, within +-10."""
        return ((proprio - self.proprio_mean) * self.proprio_scale).clamp(-10.0, 10.0)

    def _actor_tensors(self) -> dict[str, Tensor]:
        return actor_tensors(self.state_dict())

    def actor_state(self) -> dict[str, npt.NDArray[Any]]:
        """Copies of all tensors that acting needs, as arrays.

        Raises:
            FloatingPointError: a value is not finite.
        """
        state = {}
        for name, value in self._actor_tensors().items():
            state[name] = value.detach().cpu().contiguous().numpy().copy()
            if not np.isfinite(state[name]).all():
                raise FloatingPointError(
                    f"weights {name} are not finite and are not published; resume from a checkpoint"
                )
        return state

    @torch.no_grad()
    def load_actor_state(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take the arrays of `actor_state`.

        Raises:
            ValueError: names, shapes or values do not fit; nothing has changed.
        """
        self.check_actor_state(state)
        for name, value in self._actor_tensors().items():
            value.copy_(torch.from_numpy(np.require(state[name], requirements=("C", "W"))))

    def check_actor_state(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Raises ValueError where `load_actor_state` could not take these arrays; changes nothing."""
        own = self._actor_tensors()
        if own.keys() != state.keys():
            different = sorted(own.keys() ^ state.keys())
            raise ValueError(
                f"the weights are of another network (they differ in {', '.join(different[:4])}); give every "
                "node the same configuration"
            )
        for name, value in own.items():
            if tuple(value.shape) != state[name].shape:
                raise ValueError(
                    f"weights {name} have shape {state[name].shape}, expected {tuple(value.shape)}; "
                    "give every node the same configuration"
                )
            if not np.isfinite(state[name]).all():
                raise ValueError(f"weights {name} are not finite; the old weights stay")

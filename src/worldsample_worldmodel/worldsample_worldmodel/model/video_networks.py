"""All networks of the world model, and the units in which they see proprioception.

Real frames and proprioception -> :mod:`context_encoder`, once per segment; actions -> :mod:`dynamics`, step
by step in a small latent; each step -> :mod:`frame_decoder`, both views, all steps of all segments in one
batch. The views meet in the dynamics, which start from both.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from worldsample_core.arm.command_law import CommandLaw
from worldsample_core.observation import PROPRIO_DIM, PROPRIO_FLOOR, VIEWS
from worldsample_worldmodel.model.context_encoder import SUMMARY, ViewContext, ViewEncoder
from worldsample_worldmodel.model.dynamics import POSITION, Dynamics
from worldsample_worldmodel.model.frame_bank import FrameBank, OwnFrames
from worldsample_worldmodel.model.frame_decoder import Frames, ViewDecoder
from worldsample_worldmodel.model.pixels import to_float
from worldsample_worldmodel.model.world_model_config import WorldModelConfig


@cache
def computes_in_bfloat16() -> bool:
    """True if the CPU multiplies bfloat16 matrices itself; otherwise they are seven times slower."""
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))


class Exemplars(NamedTuple):
    """Sources that N frames may copy from, beside the current and the first frame of their episode.

    Attributes:
        images: ``(N, 2, S, S, 3) uint8``. pose: ``(N, 10)``, standardised.
        own: ``(N,)``, 1 where the exemplar is of the same episode, else 0.
    """

    images: Tensor
    pose: Tensor
    own: Tensor


class VideoNetworks(nn.Module):
    """Encoders and decoders of both views, and the dynamics between them."""

    proprio_mean: Tensor
    proprio_scale: Tensor

    def __init__(self, config: WorldModelConfig, law: CommandLaw | None = None) -> None:
        """Build the model.

        Args:
            config: sizes and training.
            law: from actions to commanded positions, if it is known; then all episodes must be traced by it.
        """
        super().__init__()
        self.config, self.law = config, law
        self.bank: FrameBank | None = None
        self.register_buffer("proprio_mean", torch.zeros(PROPRIO_DIM))
        self.register_buffer("proprio_scale", torch.ones(PROPRIO_DIM))
        self.encoders = nn.ModuleList(ViewEncoder(config) for _ in VIEWS)
        self.dynamics = Dynamics(config.latent, SUMMARY, config.members)
        self.decoders = nn.ModuleList(ViewDecoder(config) for _ in VIEWS)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def standardise(self, proprio: Tensor) -> Tensor:
        """Proprioception in units of its deviation over the demonstrations."""
        return (proprio - self.proprio_mean) / self.proprio_scale

    def targets(self, positions: NDArray[np.float32] | None) -> Tensor | None:
        """Commanded positions ``(..., 3)`` m, standardised.

        Raises:
            ValueError: there are none although the model has a law: the episodes were not traced.
        """
        if self.law is None:
            return None
        if positions is None:
            raise ValueError("the episodes lack what was commanded in them: see Episode.traced")
        given = torch.from_numpy(positions).to(self.proprio_mean)
        return (given - self.proprio_mean[:POSITION]) / self.proprio_scale[:POSITION]

    @torch.no_grad()
    def fit_statistics(self, proprio: Tensor) -> Tensor:
        """Remember mean and deviation of proprioception ``(N, 10)``; returns what varied, ``(10,) bool``.

        The deviation is at least :data:`PROPRIO_FLOOR <worldsample_core.observation.PROPRIO_FLOOR>`. A value
        varied if it deviates more than that.
        """
        deviation, floor = proprio.std(0), torch.tensor(PROPRIO_FLOOR, device=proprio.device)
        self.proprio_mean.copy_(proprio.mean(0))
        self.proprio_scale.copy_(torch.maximum(deviation, floor))
        return deviation >= floor

    def autocast(self) -> AbstractContextManager[None]:
        """Compute in bfloat16 where the configuration wants it and the hardware has it."""
        device = self.proprio_mean.device.type
        wanted = self.config.autocast and (device != "cpu" or computes_in_bfloat16())
        return torch.autocast(device, torch.bfloat16, enabled=wanted)

    def encode(self, first: Tensor, current: Tensor) -> list[ViewContext]:
        """Contexts of both views; first and current ``(B, 2, 3, S, S)``."""
        frames = torch.stack([current, first], 2)
        return [encoder(frames[:, view]) for view, encoder in enumerate(self.encoders)]

    @staticmethod
    def summarise(context: list[ViewContext]) -> Tensor:
        """Summary of both views for the dynamics, (B, 2 * 256)."""
        return torch.cat([view.summary for view in context], 1).float()

    def exemplars(
        self, at: Tensor, start: Tensor, current: Tensor, own: OwnFrames | None = None
    ) -> Exemplars:
        """Find the exemplars of N frames.

        Args:
            at, start: proprioception of the frame and of its segment's start, standardised, ``(N, 10)``.
            current: ``(N, 2, S, S, 3) uint8``, which are the exemplars where there is no bank.
            own: which frames of their own episode may be exemplars; without, all are as good.
        """
        if self.bank is None:
            return Exemplars(current, start, torch.ones(len(at), device=at.device))
        found = self.bank.nearest(at * self.proprio_scale + self.proprio_mean, own)
        return Exemplars(found.images, self.standardise(found.pose), found.own.float())

    def decode(
        self,
        context: list[ViewContext],
        index: Tensor,
        hidden: Tensor,
        at: Tensor,
        start: Tensor,
        first: Tensor,
        exemplars: Exemplars,
    ) -> list[Frames]:
        """Decode N frames of each view.

        Args:
            index: (N,), of their segments. hidden: (N, L). at, start, first: proprioception, standardised, of
                the frame, of the segment's start and of the episode's first frame, (N, 10).
        """
        images = to_float(exemplars.images)
        moved = torch.stack([at - start, at - first, at - exemplars.pose], 1)
        return [
            decoder(view.repeat(index), images[:, i], hidden, at, moved, exemplars.own)
            for i, (decoder, view) in enumerate(zip(self.decoders, context, strict=True))
        ]

"""From what happens to what is seen: a future frame as a blend of three warped real frames and new pixels.

    frame_h = sum_j m_j * warp(frame_j, f_j) + m_new * new,   sum_j m_j + m_new = 1

with j over the segment's current frame, the episode's first one (which shows what the arm hides now) and the
exemplar of :mod:`frame_bank` (which shows the arm where it will be). Pixels are copied from *real* frames
over the whole horizon instead of from the last generated one (skip-connection neural advection, Ebert et al.,
2017): no blur adds up, and all steps decode in one batch. The first guess of the flow is bilinear,

    f_j(x, h) = sum_k L_jk(x) u_jk(h),   u_j(h) = A_j (p_h - p_j) + a network's correction,

with p the arm's proprioception: for a moving camera L is the interaction matrix of visual servoing (Chaumette
& Hutchinson, 2006). It is seen from the source's pixels; two finer levels correct it, linear in the motion
again, with an L seen from the pixels of the frame to generate. An exemplar has the finer levels only.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldsample_core.observation import PROPRIO_DIM
from worldsample_worldmodel.model.context_encoder import CARRIED, FRAMES, ViewContext, coordinates
from worldsample_worldmodel.model.warping import double, enlarge, warp
from worldsample_worldmodel.model.world_model_config import WorldModelConfig


class Frames(NamedTuple):
    """N decoded frames of one view.

    Attributes:
        image: ``(N, 3, S, S)`` in [-0.5, 0.5].
        error_logit: logit of the square error that is expected of each pixel, ``(N, 1, S, S)``.
    """

    image: Tensor
    error_logit: Tensor

    @property
    def variance(self) -> Tensor:
        """The square error that is expected of each pixel, ``(N, 1, S, S)`` in [0, 1] whatever the logit."""
        return self.error_logit.float().sigmoid()


SOURCES = FRAMES + 1
DIRECTIONS = 3

FLOW_GAIN = 5.0
"""Flows are large beside what an update changes of a weight: without a gain they would take most of the
training."""


class Modulation(nn.Module):
    """FiLM (Perez et al., 2018): a condition scales and shifts channels."""

    def __init__(self, condition: int, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(condition, 2 * channels)
        nn.init.normal_(self.linear.weight, std=0.02)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        scale, shift = self.linear(condition)[:, :, None, None].chunk(2, 1)
        return x * (1.0 + scale) + shift


class Flow(nn.Module):
    """Flow of every source that is linear in how far the arm has moved since: none where it has not moved.

    f_j(x) = sum_d L_jd(x) (W_j dp_j)_d, with d over DIRECTIONS (x, y, z to begin with).
    """

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.field = nn.Conv2d(channels, SOURCES * 2 * DIRECTIONS, kernel, padding=kernel // 2)
        nn.init.zeros_(self.field.weight)
        nn.init.zeros_(self.field.bias)  # type: ignore[arg-type]
        self.directions = nn.Parameter(torch.eye(DIRECTIONS, PROPRIO_DIM).repeat(SOURCES, 1, 1))

    def forward(self, x: Tensor, moved: Tensor) -> Tensor:
        """Flows ``(N, SOURCES * 2, h, w)`` from x ``(N, C, h, w)`` and moved ``(N, SOURCES, 10)``."""
        field = FLOW_GAIN * self.field(x).float().unflatten(1, (SOURCES * 2, DIRECTIONS))
        along = torch.einsum("njp,jdp->njd", moved, self.directions).float().repeat_interleave(2, 1)
        return torch.einsum("njdyx,njd->njyx", field, along)


class ViewDecoder(nn.Module):
    """Frames of one view from its context and a condition per frame."""

    def __init__(self, config: WorldModelConfig) -> None:
        super().__init__()
        width, condition = config.width, 128
        middle, coarse = width * 3 // 2, width * 2
        self.patch = config.image_size // 32
        self.modes, self.keypoints = config.flow_modes, config.keypoints
        self.condition = nn.Sequential(
            nn.Linear(config.latent + 4 * PROPRIO_DIM + 1, condition), nn.SiLU(),
            nn.Linear(condition, condition), nn.SiLU(),
        )  # fmt: skip
        self.motion = nn.Linear(condition, FRAMES * self.modes)
        self.direct = nn.ModuleList(nn.Linear(PROPRIO_DIM, self.modes, bias=False) for _ in range(FRAMES))
        self.light = nn.Sequential(nn.Linear(2 * 3 * 16, 32), nn.SiLU(), nn.Linear(32, 6))
        nn.init.zeros_(self.light[2].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.light[2].bias)  # type: ignore[arg-type]
        self.places = nn.Linear(condition, 3 * self.keypoints)
        self.film8, self.film16 = Modulation(condition, coarse), Modulation(condition, middle)
        self.film32 = Modulation(condition, width)
        self.conv8, self.conv8b = (nn.Conv2d(coarse, coarse, 3, padding=1) for _ in range(2))
        self.up8 = nn.Conv2d(coarse, middle, 1)
        self.conv16 = nn.Conv2d(middle + FRAMES * CARRIED + 3 + 2 + self.keypoints, middle, 3, padding=1)
        self.conv16b = nn.Conv2d(middle, middle, 3, padding=1)
        self.flow16 = Flow(middle, 3)
        self.up16 = nn.Conv2d(middle, width, 1)
        self.conv32 = nn.Conv2d(width + FRAMES * 3 + 3 * self.patch**2 + self.keypoints, width, 3, padding=1)
        self.conv32b = nn.Conv2d(width, width, 3, padding=1)
        self.flow32 = Flow(width, 1)
        self.out = nn.Conv2d(width, (SOURCES + 1 + 3 + 1) * self.patch**2, 3, padding=1)
        with torch.no_grad():  # the first guess is the current frame
            self.out.weight.mul_(0.1)
            self.out.bias.view(-1, self.patch**2).zero_()[0] = 2.0  # type: ignore[union-attr]

    def forward(
        self,
        context: ViewContext,
        exemplar: Tensor,
        hidden: Tensor,
        at: Tensor,
        moved: Tensor,
        own: Tensor,
    ) -> Frames:
        """Decode N frames.

        Args:
            context: of each frame.
            exemplar: ``(N, 3, S, S)``.
            hidden: ``(N, latent)``, of the dynamics.
            at: ``(N, 10)``, proprioception.
            moved: ``(N, 3, 10)``, since the current frame, the first one, the exemplar.
            own: ``(N,)``, 1 if the exemplar is of the same episode.
        """
        exemplar = self._lit_alike(exemplar, context.frames[:, 0])
        c = self.condition(torch.cat([hidden, at, moved.flatten(1), own[:, None]], 1))
        motion = self.motion(c).float().unflatten(1, (FRAMES, self.modes))
        motion = motion + torch.stack([layer(moved[:, j]) for j, layer in enumerate(self.direct)], 1).float()
        flow = FLOW_GAIN * torch.einsum("njkyx,njk->njyx", context.basis, motion.repeat_interleave(2, 1))
        spots = self._keypoints(c)

        x = F.relu(self.film8(self.conv8(context.coarse), c))
        x = x + F.relu(self.conv8b(x))
        carried = self._warped(context.carried, flow).flatten(1, 2)
        small = F.avg_pool2d(exemplar, 2 * self.patch)
        where = coordinates(16, small).expand(len(small), -1, -1, -1)
        x = torch.cat(
            [double(self.up8(x)), *(part.to(x.dtype) for part in (carried, small, where, spots(16)))], 1
        )
        x = F.relu(self.film16(self.conv16(x), c))
        x = x + F.relu(self.conv16b(x))
        flow = torch.cat([flow, torch.zeros_like(flow[:, :2])], 1)
        flow = enlarge(flow + self.flow16(x, moved), 2)

        carried = self._warped(context.small, flow[:, : 2 * FRAMES]).flatten(1, 2)
        detail = F.pixel_unshuffle(exemplar, self.patch)
        x = torch.cat([double(self.up16(x)), *(part.to(x.dtype) for part in (carried, detail, spots(32)))], 1)
        x = F.relu(self.film32(self.conv32(x), c))
        x = F.relu(self.conv32b(x))
        flow = enlarge(flow + self.flow32(x, moved), self.patch)

        sources = self._warped(torch.cat([context.frames, exemplar[:, None]], 1), flow)
        pixels = F.pixel_shuffle(self.out(x), self.patch).float()
        masks, new, error_logit = pixels.split([SOURCES + 1, 3, 1], 1)
        masks = masks.softmax(1)[:, :, None]
        image = (masks[:, :SOURCES] * sources).sum(1) + masks[:, SOURCES] * new
        return Frames(image, error_logit - 5.0)

    def _lit_alike(self, exemplar: Tensor, current: Tensor) -> Tensor:
        """The exemplar in the light of the current frame, by gain and offset per colour.

        They come from coarse pictures of both, because every episode has its own light.
        """
        side = exemplar.shape[-1] // 4
        coarse = torch.cat([F.avg_pool2d(exemplar, side), F.avg_pool2d(current, side)], 1)
        gain, offset = self.light(coarse.flatten(1)).float()[..., None, None].chunk(2, 1)
        return exemplar * (1.0 + gain) + offset

    def _warped(self, frames: Tensor, flow: Tensor) -> Tensor:
        """Warp the frames (N, J, C, S, S) by the flow (N, J * 2, S, S)."""
        return warp(frames.flatten(0, 1), flow.unflatten(1, (-1, 2)).flatten(0, 1)).view_as(frames)

    def _keypoints(self, condition: Tensor) -> _Spots:
        x, y, size = self.places(condition).float().chunk(3, 1)
        return _Spots(x, y, size)


class _Spots:
    """Gaussian bumps at learned places: where in the image the arm is, for the decoder."""

    def __init__(self, x: Tensor, y: Tensor, size: Tensor) -> None:
        self.x, self.y, self.size = x[..., None, None], y[..., None, None], size[..., None, None]

    def __call__(self, side: int) -> Tensor:
        """``(N, K, side, side)``."""
        at = coordinates(side, self.x)
        distance = (at[:, :1] - self.x).square() + (at[:, 1:] - self.y).square()
        return torch.exp(-distance * (8.0 * torch.exp(self.size.clamp(-3.0, 3.0))))

"""The dual-view, action-conditioned video world model.

Real frames and proprioception -> :mod:`context_encoder`, once per segment; actions -> :mod:`dynamics`, step
by step in a small latent; each step -> :mod:`frame_decoder`, both views, all steps of all segments in one
batch. The views meet in the dynamics, which start from both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from worldsample_core.arm.command_law import Commanded, CommandLaw
from worldsample_core.observation import ACTION_DIM, PROPRIO_DIM, PROPRIO_FLOOR, VIEWS
from worldsample_worldmodel.data.episodes import Episode
from worldsample_worldmodel.model.abduction import Evidence
from worldsample_worldmodel.model.context_encoder import SUMMARY, ViewContext, ViewEncoder
from worldsample_worldmodel.model.dynamics import INPUTS, POSITION, Dynamics, Rollout, Step, known_inputs
from worldsample_worldmodel.model.frame_bank import FrameBank, OwnFrames
from worldsample_worldmodel.model.frame_decoder import Frames, ViewDecoder
from worldsample_worldmodel.model.world_model_config import WorldModelConfig


def to_float(images: Tensor) -> Tensor:
    """``(..., H, W, 3) uint8`` to ``(..., 3, H, W)`` in [-0.5, 0.5]."""
    return images.movedim(-1, -3).float().mul_(1.0 / 255.0).sub_(0.5)


def to_uint8(images: Tensor) -> NDArray[np.uint8]:
    """The inverse of :func:`to_float`, rounded."""
    pixels = images.float().add(0.5).mul_(255.0).round_().clamp_(0, 255).to(torch.uint8)
    return pixels.movedim(-3, -1).cpu().numpy()


@cache
def computes_in_bfloat16() -> bool:
    """True if the CPU multiplies bfloat16 matrices itself; otherwise they are seven times slower."""
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))


Act = Callable[[NDArray[np.uint8], NDArray[np.float32]], NDArray[np.float32]]
"""Images ``(B, 2, S, S, 3) uint8`` and proprioception ``(B, 10)`` to actions ``(B, 7)`` in [-1, 1]."""


class Imagined(NamedTuple):
    """B generated segments of H steps.

    Attributes:
        images: ``(B, H, 2, S, S, 3) uint8``. proprio: ``(B, H, 10) float32``.
        actions: ``(B, H, 7) float32``, that led there.
        uncertainty: ``(B, H) float32``: the root mean square error that the model expects of a frame's pixels
            (0..1), from the predicted variance and the disagreement of the members about the arm.
    """

    images: NDArray[np.uint8]
    proprio: NDArray[np.float32]
    actions: NDArray[np.float32]
    uncertainty: NDArray[np.float32]


class WorldModel(nn.Module):
    """See the module."""

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
    def abduce(
        self, episodes: Sequence[Episode], index: NDArray[np.int64], until: NDArray[np.int64] | int
    ) -> Evidence | None:
        """Evidence of segments from their own episodes; None without a law.

        See :mod:`worldsample_worldmodel.model.abduction`.

        Args:
            index: ``(B,)``, of each segment's episode. until: the step before which the episode is known: the
                segment's start where the future is predicted, :data:`ALL
                <worldsample_worldmodel.model.frame_bank.ALL>` where a counterfactual is imagined.
        """
        if self.law is None:
            return None
        device = self.proprio_mean.device
        limit = torch.from_numpy(np.broadcast_to(np.asarray(until), index.shape).copy()).to(device)
        chosen, row = np.unique(index, return_inverse=True)
        shown = self._shown([episodes[int(i)] for i in chosen])
        known, errors = (pad_sequence(list(part), batch_first=True) for part in zip(*shown, strict=True))
        lengths = torch.tensor([len(part) for part, _ in shown], device=device)[row]
        usable = torch.arange(known.shape[1], device=device) < torch.minimum(lengths, limit)[:, None]
        return Evidence(known[row], errors[row], usable, self.proprio_scale[:POSITION])

    def _shown(self, episodes: Sequence[Episode]) -> list[tuple[Tensor, Tensor]]:
        """Inputs of the dynamics (T, 23) and errors of the members (T, M, 10), for each episode of T steps.

        An error is how much further a real step went than the member says. The members follow the episode for
        a horizon at a time, as they were trained.
        """
        device, horizon = self.proprio_mean.device, self.config.horizon
        taken, images, proprio, origin, parts = [], [], [], [], []
        for episode in episodes:
            trace = None if episode.commanded is None else episode.commanded.position.astype(np.float32)
            asked = self.targets(trace)
            assert asked is not None
            felt = self.standardise(torch.from_numpy(episode.proprio).to(device))
            actions = torch.from_numpy(episode.actions).to(device)
            taken.append(known_inputs(felt[:-1], actions, asked[:-1], asked[1:]))
            starts = np.arange(0, len(episode), horizon)
            images.append(np.stack([episode.images[np.zeros_like(starts)], episode.images[starts]]))
            proprio.append(felt[starts])
            origin.append(felt[:1].expand(len(starts), -1))
            parts.extend(torch.cat([taken[-1], felt[1:]], 1).split(horizon))
        first, current = to_float(torch.from_numpy(np.concatenate(images, 1)).to(device))
        steps = pad_sequence(parts, batch_first=True)
        with self.autocast():
            summary = self.summarise(self.encode(first, current))
        with torch.autocast(device.type, enabled=False):
            errors = self.dynamics.errors(
                summary, torch.cat(proprio), torch.cat(origin), steps[..., :INPUTS], steps[..., INPUTS:]
            )
        by_episode = errors.split([len(part) for part in origin])
        return [
            (known, part.flatten(0, 1)[: len(known)]) for known, part in zip(taken, by_episode, strict=True)
        ]

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

    def roll_out(
        self,
        context: list[ViewContext],
        proprio: Tensor,
        first_proprio: Tensor,
        actions: Tensor,
        noise: Tensor | None,
        targets: Tensor | None,
        evidence: Evidence | None = None,
    ) -> Rollout:
        """Roll the dynamics out over the actions ``(B, H, 7)``.

        ``targets`` (B, H + 1, 3) are commanded before and after the actions; proprioception is ``(B, 10)``;
        both are standardised.
        """
        summary = self.summarise(context)
        with torch.autocast(summary.device.type, enabled=False):  # small matrices: casting them costs more
            return self.dynamics(summary, proprio, first_proprio, actions, noise, targets, evidence)

    def decode(
        self,
        context: list[ViewContext],
        index: Tensor,
        hidden: Tensor,
        at: Tensor,
        start: Tensor,
        first: Tensor,
        current: Tensor,
        own: OwnFrames | None = None,
    ) -> list[Frames]:
        """N frames of each view.

        Args:
            index: (N,), of their segments. hidden: (N, L). at, start, first: proprioception, standardised, of
                the frame, of the segment's start and of the episode's first frame, (N, 10).
            current: (B, 2, 3, S, S), the exemplars where there is no bank.
            own: which frames of their own episode may be exemplars; without, all are as good.
        """
        if self.bank is None:
            exemplar, pose, same = current[index], start, torch.ones(len(at), device=at.device)
        else:
            found = self.bank.nearest(at.detach() * self.proprio_scale + self.proprio_mean, own)
            exemplar = to_float(torch.from_numpy(found.images).to(at.device))
            pose, same = self.standardise(found.pose), found.own.float()
        moved = torch.stack([at - start, at - first, at - pose], 1)
        return [
            decoder(view.repeat(index), exemplar[:, i], hidden, at, moved, same)
            for i, (decoder, view) in enumerate(zip(self.decoders, context, strict=True))
        ]

    @torch.no_grad()
    def imagine(
        self,
        first: NDArray[np.uint8],
        current: NDArray[np.uint8],
        first_proprio: NDArray[np.float32],
        proprio: NDArray[np.float32],
        actions: NDArray[np.float32] | Act,
        rng: np.random.Generator | None = None,
        batch: int = 64,
        own: OwnFrames | None = None,
        commanded: Commanded | None = None,
        evidence: Evidence | None = None,
        horizon: int = 0,
    ) -> Imagined:
        """Generate segments.

        Args:
            first, current: ``(B, 2, S, S, 3) uint8``, the episode's first frame and the one to start from.
            first_proprio, proprio: ``(B, 10)``, of these frames.
            actions: ``(B, H, 7)``, all steps are then decoded together; or a policy, which acts on what has
                been imagined so far, for ``horizon`` steps.
            rng: draws the member of each segment, and its noise where there is any; without it, the first
                member, without noise.
            batch: frames decoded at once.
            own: of the B segments, which frames of their own episodes may be copied.
            commanded: what was commanded at each start; None: where the arm is.
            evidence: of :meth:`abduce`.
            horizon: control steps for which a policy acts; 0: the model's own, for which it was trained.
        """
        device = self.proprio_mean.device
        policy = actions if callable(actions) else None
        if callable(actions):
            acted = np.zeros((len(proprio), horizon or self.config.horizon, ACTION_DIM), np.float32)
        else:
            acted = np.ascontiguousarray(actions, np.float32)
        count, horizon = acted.shape[:2]

        def tensor(array: NDArray[np.generic]) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(array)).to(device)

        start = self.standardise(tensor(proprio))
        origin = self.standardise(tensor(first_proprio))
        noise, member = None, torch.zeros(count, dtype=torch.long, device=device)
        if rng is not None:
            if self.config.noise:
                drawn = rng.standard_normal((count, PROPRIO_DIM), np.float32).clip(-2.0, 2.0)
                noise = tensor(self.config.noise * drawn)
            member = tensor(rng.integers(self.config.members, size=(count,)))
        images = np.empty((count, horizon, *current.shape[1:]), np.uint8)
        variance = torch.empty((count, horizon), device=device)
        rows = torch.arange(count, device=device)
        with self.autocast():
            now = to_float(tensor(current))
            context = self.encode(to_float(tensor(first)), now)
            summary = self.summarise(context)

        def decode(steps: Sequence[Step], at: int) -> None:
            """Decode these steps of all segments, the first of which is step ``at``.

            The results go into `images` and `variance`.
            """
            hidden = torch.stack([step.hidden[member, rows] for step in steps], 1).flatten(0, 1)
            poses = torch.stack([step.sample[member, rows] for step in steps], 1).float().flatten(0, 1)
            segment = rows.repeat_interleave(len(steps))
            step = torch.arange(at, at + len(steps), device=device).repeat(count)
            for part in torch.arange(len(step), device=device).split(batch):
                where, when = segment[part], step[part]
                index = where.cpu().numpy(), when.cpu().numpy()
                with self.autocast():
                    views = self.decode(
                        context,
                        where,
                        hidden[part],
                        poses[part],
                        start[where],
                        origin[where],
                        now,
                        None if own is None else own.of(index[0]),
                    )
                images[index] = to_uint8(torch.stack([view.image for view in views], 1))
                errors = [view.variance.mean((1, 2, 3)) for view in views]
                variance[where, when] = torch.stack(errors).mean(0)

        # in float32: the policy acts as on the robot, and casting small matrices costs more than it saves
        seen, felt, at = current, proprio, proprio
        if self.law is not None and commanded is None:
            commanded = self.law.anchor(at[:, :POSITION])
        asked = None if commanded is None else self.targets(commanded.position.astype(np.float32))
        steps: list[Step] = []
        state = self.dynamics.begin(summary, start, origin)
        for step in range(horizon):
            if policy is not None:
                acted[:, step] = policy(seen, felt)
            before = asked
            if self.law is not None:
                assert commanded is not None
                commanded = self.law.next(commanded, at[:, :POSITION], acted[:, step])
                asked = self.targets(commanded.position.astype(np.float32))
            steps.append(self.dynamics.follow(state, tensor(acted[:, step]), noise, before, asked, evidence))
            state = steps[-1].state
            if self.law is not None:
                at = self._physical(steps[-1].mean[member, rows])
            if policy is not None:
                decode(steps[-1:], step)
                seen, felt = images[:, step], self._physical(steps[-1].sample[member, rows])
        if policy is None:
            decode(steps, 0)
        mean = torch.stack([step.mean for step in steps], 2)
        sample = torch.stack([step.sample[member, rows] for step in steps], 1)
        disagreement = mean.float().std(0, unbiased=False)[..., :3].square().mean(-1)  # (B, H)
        return Imagined(
            images,
            self._physical(sample),
            acted,
            (variance * (1.0 + disagreement)).sqrt().cpu().numpy(),
        )

    def _physical(self, proprio: Tensor) -> NDArray[np.float32]:
        """Standardised proprioception in its units."""
        return (proprio.float() * self.proprio_scale + self.proprio_mean).cpu().numpy()

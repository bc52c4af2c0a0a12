"""The dual-view, action-conditioned video world model: generates segments from real frames and actions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from worldsample_core.arm.command_law import Commanded, CommandLaw
from worldsample_core.observation import ACTION_DIM, PROPRIO_DIM
from worldsample_worldmodel.data.episodes import Episode
from worldsample_worldmodel.model.abduction import Evidence
from worldsample_worldmodel.model.context_encoder import ViewContext
from worldsample_worldmodel.model.dynamics import INPUTS, POSITION, Step, known_inputs
from worldsample_worldmodel.model.frame_bank import OwnFrames
from worldsample_worldmodel.model.pixels import on_device, to_float, to_uint8
from worldsample_worldmodel.model.video_networks import VideoNetworks
from worldsample_worldmodel.model.world_model_config import WorldModelConfig

REMEMBERED = 512
"""Episodes whose real steps stay followed, so that they are not followed again for every segment."""

DECODED_AT_ONCE = {"cpu": 64, "cuda": 512}
"""Frames per call of the decoders, by kind of device."""

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


class WorldModel(VideoNetworks):
    """The networks as a generator: what an episode showed (abduction), and segments imagined from it."""

    def __init__(self, config: WorldModelConfig, law: CommandLaw | None = None) -> None:
        super().__init__(config, law)
        self._shown_before: dict[int, tuple[Episode, Tensor, Tensor]] = {}
        self._shown_with = -1

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
        shown = self._remembered([episodes[int(i)] for i in chosen])
        known, errors = (pad_sequence(list(part), batch_first=True) for part in zip(*shown, strict=True))
        lengths = torch.tensor([len(part) for part, _ in shown], device=device)[row]
        usable = torch.arange(known.shape[1], device=device) < torch.minimum(lengths, limit)[:, None]
        return Evidence(known[row], errors[row], usable, self.proprio_scale[:POSITION])

    def _remembered(self, episodes: Sequence[Episode]) -> list[tuple[Tensor, Tensor]]:
        """:meth:`_shown`, worked out once per episode as long as the weights stay the same."""
        weights = sum(value._version for value in self.state_dict().values())
        if weights != self._shown_with or len(self._shown_before) > REMEMBERED:
            self._shown_before.clear()
            self._shown_with = weights
        new = [episode for episode in episodes if id(episode) not in self._shown_before]
        if new:
            for episode, (known, errors) in zip(new, self._shown(new), strict=True):
                self._shown_before[id(episode)] = (episode, known, errors)
        return [self._shown_before[id(episode)][1:] for episode in episodes]

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
    def imagine(
        self,
        first: NDArray[np.uint8],
        current: NDArray[np.uint8],
        first_proprio: NDArray[np.float32],
        proprio: NDArray[np.float32],
        actions: NDArray[np.float32] | Act,
        rng: np.random.Generator | None = None,
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
        noise, member = None, torch.zeros(count, dtype=torch.long, device=device)
        if rng is not None:
            if self.config.noise:
                drawn = rng.standard_normal((count, PROPRIO_DIM), np.float32).clip(-2.0, 2.0)
                noise = on_device(self.config.noise * drawn, device)
            member = on_device(rng.integers(self.config.members, size=(count,)), device)
        rows = torch.arange(count, device=device)
        start = self.standardise(on_device(proprio, device))
        origin = self.standardise(on_device(first_proprio, device))
        now = on_device(current, device)
        with self.autocast():
            context = self.encode(to_float(on_device(first, device)), to_float(now))
            summary = self.summarise(context)
        segments = _Segments(self, context, now, start, origin, own, horizon)

        # in float32: the policy acts as on the robot, and casting small matrices costs more than it saves
        seen, felt, at = current, proprio, proprio
        if self.law is not None and commanded is None:
            commanded = self.law.anchor(at[:, :POSITION])
        asked = None if commanded is None else self.targets(commanded.position.astype(np.float32))
        steps: list[Step] = []
        ensemble = self.dynamics.ensemble()
        state = ensemble.begin(summary, start, origin)
        for step in range(horizon):
            if policy is not None:
                acted[:, step] = policy(seen, felt)
            before = asked
            if self.law is not None:
                assert commanded is not None
                commanded = self.law.next(commanded, at[:, :POSITION], acted[:, step])
                asked = self.targets(commanded.position.astype(np.float32))
            action = on_device(acted[:, step], device)
            steps.append(ensemble.follow(state, action, noise, before, asked, evidence))
            state = steps[-1].state
            if self.law is not None:
                at = self._physical(steps[-1].mean[member, rows])
            if policy is not None:
                hidden, pose = steps[-1].hidden[member, rows], steps[-1].sample[member, rows]
                segments.decode(hidden[:, None], pose[:, None], step)
                seen, felt = segments.images[:, step].cpu().numpy(), self._physical(pose)
        sample = torch.stack([step.sample[member, rows] for step in steps], 1)
        if policy is None:
            segments.decode(torch.stack([step.hidden[member, rows] for step in steps], 1), sample, 0)
        mean = torch.stack([step.mean for step in steps], 2)
        disagreement = mean.float().std(0, unbiased=False)[..., :3].square().mean(-1)  # (B, H)
        return Imagined(
            segments.images.cpu().numpy(),
            self._physical(sample),
            acted,
            (segments.variance * (1.0 + disagreement)).sqrt().cpu().numpy(),
        )

    def _physical(self, proprio: Tensor) -> NDArray[np.float32]:
        """Standardised proprioception in its units."""
        return (proprio.float() * self.proprio_scale + self.proprio_mean).cpu().numpy()


class _Segments:
    """B segments of H steps while they are imagined: what their frames are decoded from, and the frames.

    Attributes:
        images: ``(B, H, 2, S, S, 3) uint8``. variance: ``(B, H)``, expected mean square error of a frame.
    """

    def __init__(
        self,
        model: VideoNetworks,
        context: list[ViewContext],
        current: Tensor,
        start: Tensor,
        origin: Tensor,
        own: OwnFrames | None,
        horizon: int,
    ) -> None:
        self.model, self.context, self.current = model, context, current
        self.start, self.origin, self.own = start, origin, own
        self.images = current.new_empty((len(current), horizon, *current.shape[1:]))
        self.variance = torch.empty((len(current), horizon), device=current.device)

    def decode(self, hidden: Tensor, pose: Tensor, at: int) -> None:
        """Decode steps ``at``, ``at`` + 1, ... of all segments: hidden ``(B, T, L)``, pose ``(B, T, 10)``."""
        count, steps = hidden.shape[:2]
        device = hidden.device
        segment = torch.arange(count, device=device).repeat_interleave(steps)
        step = torch.arange(at, at + steps, device=device).repeat(count)
        hidden, pose = hidden.flatten(0, 1), pose.float().flatten(0, 1)
        for part in torch.arange(len(step), device=device).split(DECODED_AT_ONCE.get(device.type, 64)):
            where, when = segment[part], step[part]
            own = None if self.own is None else self.own.of(where.cpu().numpy())
            start, origin, at_pose = self.start[where], self.origin[where], pose[part]
            exemplars = self.model.exemplars(at_pose, start, self.current[where], own)
            with self.model.autocast():
                views = self.model.decode(
                    self.context, where, hidden[part], at_pose, start, origin, exemplars
                )
            self.images[where, when] = to_uint8(torch.stack([view.image for view in views], 1))
            errors = [view.variance.mean((1, 2, 3)) for view in views]
            self.variance[where, when] = torch.stack(errors).mean(0)

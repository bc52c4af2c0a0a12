"""Training of the world model: the loss of one batch of segments, and the trainer that applies it."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from worldsample_core.arm.command_law import CommandLaw
from worldsample_core.node.cpu_account import cpu_piece
from worldsample_worldmodel.data.episodes import (
    Episode,
    Motions,
    SegmentBatch,
    random_motions,
    random_segments,
)
from worldsample_worldmodel.model.dynamics import Rollout
from worldsample_worldmodel.model.frame_bank import ALL, FrameBank, OwnFrames, own_frames
from worldsample_worldmodel.model.pixels import on_device, to_float
from worldsample_worldmodel.model.video_networks import Exemplars
from worldsample_worldmodel.model.world_model import WorldModel
from worldsample_worldmodel.model.world_model_config import WorldModelConfig
from worldsample_worldmodel.training.adamw import AdamW
from worldsample_worldmodel.training.image_quality import MOVING

Logs = dict[str, float]


class DivergedTraining(RuntimeError):
    """The loss stayed non-finite; the averaged weights are still the last good ones."""


class TrainingBatch(NamedTuple):
    """Data of one update, drawn and on the model's device: B segments with images, K without.

    Attributes:
        first, current: ``(B, 2, S, S, 3) uint8``, of the segments with images.
        proprio ``(B + K, H + 1, 10)``, origin ``(B + K, 10)``, actions ``(B + K, H, 7)``, valid
        ``(B + K, H)``, targets ``(B + K, H + 1, 3)`` or None: of all segments, those with images first;
        proprioception and targets are standardised.
        rows, steps, member: ``(N,)``, of each frame to decode: its segment, step, and member of the ensemble.
        frames: ``(N, 2, S, S, 3) uint8``, these frames. exemplars: what they may copy from.
    """

    first: Tensor
    current: Tensor
    proprio: Tensor
    origin: Tensor
    actions: Tensor
    valid: Tensor
    targets: Tensor | None
    rows: Tensor
    steps: Tensor
    member: Tensor
    frames: Tensor
    exemplars: Exemplars


def draw_batch(model: WorldModel, episodes: Sequence[Episode], rng: np.random.Generator) -> TrainingBatch:
    """Draw the segments of one update, the frames of them to decode, and their exemplars."""
    config, device = model.config, model.proprio_mean.device
    batch = random_segments(episodes, config.batch, config.horizon, rng)
    index, step = _drawn_steps(batch, min(config.frames_per_segment, config.horizon), rng)
    member = rng.integers(config.members, size=len(batch))[index]
    own = own_frames(episodes, batch.episode, batch.step)
    own = _exemplars_in_training(own.of(index), batch.step[index] + 1 + step, rng)
    parts: list[SegmentBatch | Motions] = [batch]
    if config.motions:
        parts.append(random_motions(episodes, config.motions, config.horizon, rng))

    def joined(name: str) -> Tensor:
        return on_device(np.concatenate([getattr(part, name) for part in parts]), device)

    proprio, origin = model.standardise(joined("proprio")), model.standardise(joined("first_proprio"))
    targets = None
    if model.law is not None:
        positions = [part.targets for part in parts if part.targets is not None]
        targets = model.targets(np.concatenate(positions) if len(positions) == len(parts) else None)
    rows, steps = on_device(index, device), on_device(step, device)
    current = on_device(batch.current, device)
    exemplars = model.exemplars(proprio[rows, steps + 1], proprio[rows, 0], current[rows], own)
    return TrainingBatch(
        on_device(batch.first, device), current, proprio, origin, joined("actions"), joined("valid"), targets,
        rows, steps, on_device(member, device), on_device(batch.future[index, step], device), exemplars,
    )  # fmt: skip


def world_model_loss(model: WorldModel, batch: TrainingBatch) -> tuple[Tensor, Logs]:
    """Compute the multi-step loss over the whole rollout, from real frames only.

    All members predict the proprioception of every step (Gaussian likelihood), of the segments with images
    and of those without (:func:`dynamics_loss`). Of each segment with images, some steps are decoded, with
    the hidden state of one member drawn at random:

        L = E[w |x - x^|] + sum_s E|P_s x - P_s x^| + BCE(v; (x - x^)^2) + 0.1 (D(segments) + D(motions)),
        w = 1 + moving_weight [x moves]

    P_s averages over s x s pixels, s = 4, 8: what lies a few pixels off pulls the flow, too. v is the
    square error that the model expects (:func:`variance_loss`). The segments without images have an empty
    summary of the scene: they teach how the arm moves where nothing is in its way, and cost a fraction.
    """
    segments, rows = len(batch.first), batch.rows
    with model.autocast():
        current = to_float(batch.current)
        context = model.encode(to_float(batch.first), current)
        summary = model.summarise(context)
    motions = len(batch.proprio) - segments
    if motions:
        summary = torch.cat([summary, summary.new_zeros(motions, summary.shape[1])])
    rollout = model.dynamics(summary, batch.proprio[:, 0], batch.origin, batch.actions, targets=batch.targets)
    proprio_loss = dynamics_loss(model, rollout, batch.proprio, batch.valid, slice(0, segments))
    hidden = rollout.hidden[batch.member, rows, batch.steps]
    at = batch.proprio[rows, batch.steps + 1]  # the true pose: a wrong one would teach blur
    start, origin = batch.proprio[rows, 0], batch.origin[rows]
    with model.autocast():
        views = model.decode(context, rows, hidden, at, start, origin, batch.exemplars)
    target = to_float(batch.frames)
    moving = (target - current[rows]).abs().amax(2, keepdim=True) > MOVING / 255.0
    weight = 1.0 + model.config.moving_weight * moving
    image = torch.stack([view.image for view in views], 1)
    error_logit = torch.stack([view.error_logit for view in views], 1)
    error = (image - target).abs()
    image_loss = (weight * error).mean() + coarse_error(image.flatten(0, 1), target.flatten(0, 1))
    expected = error.detach().square().mean(2, keepdim=True)
    loss = image_loss + variance_loss(error_logit, expected) + 0.1 * proprio_loss
    mse = expected.mean((2, 3, 4)).clamp_min(1e-6)
    names = ("loss", "image_loss", "proprio_loss", "psnr")
    values = torch.stack([loss, image_loss, proprio_loss, (-10.0 * mse.log10()).mean()]).detach().tolist()
    if motions:
        loss = loss + 0.1 * dynamics_loss(
            model, rollout, batch.proprio, batch.valid, slice(segments, segments + motions)
        )
    return loss, dict(zip(names, values, strict=True))


def dynamics_loss(model: WorldModel, rollout: Rollout, proprio: Tensor, valid: Tensor, part: slice) -> Tensor:
    """E|p - p^| + 0.1 NLL(p; p^, sigma^2) over members and steps, in units of one step's motion.

    The likelihood alone follows what is already certain; the plain error keeps the rest learning. proprio
    ``(B, H + 1, 10)`` standardised, valid ``(B, H)``; of the segments ``part``.
    """
    unit, held = model.dynamics.step, valid[part]
    off = (rollout.mean[:, part] - proprio[part, 1:]) / unit
    log_deviation = rollout.log_deviation[:, part] - unit.log()
    likelihood = 0.5 * off.square() * (-2.0 * log_deviation).exp() + log_deviation
    return ((off.abs() + 0.1 * likelihood).mean(-1) * held).sum() / (held.sum() * len(off))


def variance_loss(error_logit: Tensor, error: Tensor) -> Tensor:
    """Binary cross-entropy BCE(v; e) of the expected and the made square error.

    The model expects v = sigmoid(error_logit) and makes the error e; both have the same shape.

    A proper score of the mean (Gneiting & Raftery, 2007), with the gradient v - e. A Gaussian likelihood's is
    (v - e) / v: one wrong pixel among very sure ones then outweighs all else in an update.
    """
    return F.binary_cross_entropy_with_logits(error_logit, error.clamp_max(1.0))


def coarse_error(image: Tensor, target: Tensor) -> Tensor:
    """Sum over the scales of the mean absolute error of averaged images, (N, 3, S, S) twice."""
    difference = F.avg_pool2d(image - target, 4)
    return difference.abs().mean() + F.avg_pool2d(difference, 2).abs().mean()


def _exemplars_in_training(own: OwnFrames, frame: NDArray[np.int64], rng: np.random.Generator) -> OwnFrames:
    """Own frames that may serve as exemplars in training.

    Half of the frames to generate may use their episode's past only, as in prediction. The others may use all
    of it but themselves, as for a counterfactual. frame: ``(N,)``, their index in the episode.
    """
    whole = rng.random(len(frame)) < 0.5
    return OwnFrames(own.episode, np.where(whole, ALL, own.until), frame)


def _drawn_steps(batch: SegmentBatch, each: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(segment, step) of the frames to decode: ``each`` per segment, among the steps that exist."""
    lengths = np.maximum(batch.valid.sum(1), 1)
    index = np.repeat(np.arange(len(batch)), each)
    return index, (rng.random(len(index)) * lengths[index]).astype(np.int64)


class Trainer:
    """Owns the training weights, the optimizer and the averaged weights that generate.

    A non-finite loss or gradient costs the update only; after ``patience`` in a row the training weights go
    back to the averaged ones, and after as many again :class:`DivergedTraining` is raised.
    """

    patience = 20

    def __init__(self, config: WorldModelConfig, law: CommandLaw | None = None) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.model = WorldModel(config, law).to(config.device)
        self.averaged = copy.deepcopy(self.model).requires_grad_(False).eval()
        learned = [value for value in self.model.parameters() if value.requires_grad]
        self.optimizer = AdamW(learned, config.learning_rate, config.weight_decay)
        self.rng = np.random.default_rng(config.seed)
        self.updates = self.skipped = self._bad = 0

    def fit_statistics(self, episodes: Sequence[Episode]) -> None:
        """Standardise proprioception by these episodes, and identify the arm's linear dynamics from them.

        Call it before the first update.
        """
        proprio = torch.from_numpy(np.concatenate([episode.proprio for episode in episodes]))
        parts = (
            np.concatenate([episode.proprio[:-1] for episode in episodes]),
            np.concatenate([episode.actions for episode in episodes]),
            np.concatenate([episode.proprio[1:] for episode in episodes]),
        )
        now, actions, following = (torch.from_numpy(part).to(self.config.device) for part in parts)
        traces = [episode.commanded for episode in episodes if episode.commanded is not None]
        before = after = None
        if len(traces) == len(episodes):
            before = np.concatenate([trace.position[:-1] for trace in traces]).astype(np.float32)
            after = np.concatenate([trace.position[1:] for trace in traces]).astype(np.float32)
        for model in (self.model, self.averaged):
            varied = model.fit_statistics(proprio.to(self.config.device))
            model.dynamics.identify(
                model.standardise(now),
                actions,
                model.standardise(following),
                varied,
                model.targets(before),
                model.targets(after),
            )

    @cpu_piece("exemplars")
    def remember(self, episodes: Sequence[Episode]) -> None:
        """Take exemplars from these episodes from now on."""
        bank = FrameBank(episodes, device=self.config.device, seed=self.config.seed)
        self.model.bank = self.averaged.bank = bank

    @cpu_piece("updates")
    def update(self, episodes: Sequence[Episode], rate: float = 1.0) -> Logs:
        """One update on segments drawn from the episodes, at ``rate`` times the learning rate.

        Raises:
            DivergedTraining: see the class.
        """
        config = self.config
        warm = min(1.0, (self.updates + 1) / max(1, config.warmup))
        self.optimizer.learning_rate = config.learning_rate * rate * warm
        batch = draw_batch(self.model, episodes, self.rng)
        loss, logs = world_model_loss(self.model, batch)
        self.optimizer.zero_grad()
        norm = math.nan
        if math.isfinite(logs["loss"]):
            loss.backward()
            norm = self.optimizer.clip(1.0).item()
        if not math.isfinite(norm):
            self._skip()
            return {**logs, "skipped": 1.0}
        self.optimizer.step()
        self._bad = 0
        self.updates += 1
        self._average()
        return {**logs, "gradient_norm": norm, "skipped": 0.0}

    def _skip(self) -> None:
        self.skipped += 1
        self._bad += 1
        if self._bad == self.patience:
            self.model.load_state_dict(self.averaged.state_dict())
            self.optimizer.clear()
        if self._bad >= 2 * self.patience:
            raise DivergedTraining(f"the world model's loss was not finite {self._bad} times in a row")

    @torch.no_grad()
    def _average(self) -> None:
        """Exponential moving average; it starts as a plain mean, so that it never lags by its own start."""
        keep = min(self.config.average, self.updates / (self.updates + 10.0))
        averages: list[Tensor] = list(self.averaged.parameters())
        values: list[Tensor] = list(self.model.parameters())
        torch._foreach_lerp_(averages, values, 1.0 - keep)

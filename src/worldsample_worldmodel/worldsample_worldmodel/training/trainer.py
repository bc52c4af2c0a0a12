"""Training of the world model: the loss of one batch of segments, and the trainer that applies it."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from worldsample_core.arm.command_law import CommandLaw
from worldsample_core.observation import VIEWS
from worldsample_worldmodel.data.episodes import (
    Episode,
    Motions,
    SegmentBatch,
    random_motions,
    random_segments,
)
from worldsample_worldmodel.model.context_encoder import SUMMARY
from worldsample_worldmodel.model.dynamics import Rollout
from worldsample_worldmodel.model.frame_bank import ALL, FrameBank, OwnFrames, own_frames
from worldsample_worldmodel.model.world_model import WorldModel, to_float
from worldsample_worldmodel.model.world_model_config import WorldModelConfig
from worldsample_worldmodel.training.image_quality import MOVING

Logs = dict[str, float]


class DivergedTraining(RuntimeError):
    """The loss stayed non-finite; the averaged weights are still the last good ones."""


def world_model_loss(
    model: WorldModel, batch: SegmentBatch, rng: np.random.Generator, own: OwnFrames | None = None
) -> tuple[Tensor, Logs]:
    """Multi-step loss over the whole rollout, from real frames only.

    All members predict the proprioception of every step (Gaussian likelihood). Of each segment, some steps
    are decoded, with the hidden state of one member drawn at random:

        L = E[w |x - x^|] + sum_s E|P_s x - P_s x^| + BCE(v; (x - x^)^2) + 0.1 (E|p - p^| + 0.1 NLL(p)),
        w = 1 + moving_weight [x moves]

    P_s averages over s x s pixels, s = 4, 8: what lies a few pixels off pulls the flow, too. v is the
    square error that the model expects (:func:`variance_loss`).
    """
    config = model.config
    device = model.proprio_mean.device
    count, horizon = batch.actions.shape[:2]

    proprio = model.standardise(torch.from_numpy(batch.proprio).to(device))
    origin = model.standardise(torch.from_numpy(batch.first_proprio).to(device))
    actions = torch.from_numpy(batch.actions).to(device)
    valid = torch.from_numpy(batch.valid).to(device)
    current = to_float(torch.from_numpy(batch.current).to(device))
    context = model.encode(to_float(torch.from_numpy(batch.first).to(device)), current)
    rollout = model.roll_out(context, proprio[:, 0], origin, actions, None, model.targets(batch.targets))

    proprio_loss = dynamics_loss(model, rollout, proprio, valid)
    index, step = _drawn_steps(batch, min(config.frames_per_segment, horizon), rng)
    rows, steps = torch.from_numpy(index).to(device), torch.from_numpy(step).to(device)
    member = torch.from_numpy(rng.integers(config.members, size=count)).to(device)[rows]
    hidden = rollout.hidden[member, rows, steps]
    at = proprio[rows, steps + 1]  # the true pose: a wrong one would teach blur
    mine = None if own is None else _exemplars_in_training(own.of(index), batch.step[index] + 1 + step, rng)
    views = model.decode(context, rows, hidden, at, proprio[rows, 0], origin[rows], current, mine)
    target = to_float(torch.from_numpy(batch.future[index, step]).to(device))
    moving = (target - current[rows]).abs().amax(2, keepdim=True) > MOVING / 255.0
    weight = 1.0 + config.moving_weight * moving
    image = torch.stack([view.image for view in views], 1)
    error_logit = torch.stack([view.error_logit for view in views], 1)
    error = (image - target).abs()
    image_loss = (weight * error).mean() + coarse_error(image.flatten(0, 1), target.flatten(0, 1))
    expected = error.detach().square().mean(2, keepdim=True)
    loss = image_loss + variance_loss(error_logit, expected) + 0.1 * proprio_loss
    mse = expected.mean((2, 3, 4)).clamp_min(1e-6)
    return loss, {
        "loss": loss.item(),
        "image_loss": image_loss.item(),
        "proprio_loss": proprio_loss.item(),
        "psnr": (-10.0 * mse.log10()).mean().item(),
    }


def dynamics_loss(model: WorldModel, rollout: Rollout, proprio: Tensor, valid: Tensor) -> Tensor:
    """E|p - p^| + 0.1 NLL(p; p^, sigma^2) over members and steps, in units of one step's motion.

    The likelihood alone follows what is already certain; the plain error keeps the rest learning. proprio
    ``(B, H + 1, 10)`` standardised, valid ``(B, H)``.
    """
    unit = model.dynamics.step
    off = (rollout.mean - proprio[:, 1:]) / unit
    log_deviation = rollout.log_deviation - unit.log()
    likelihood = 0.5 * off.square() * (-2.0 * log_deviation).exp() + log_deviation
    return ((off.abs() + 0.1 * likelihood).mean(-1) * valid).sum() / (valid.sum() * len(rollout.mean))


def motion_loss(model: WorldModel, motions: Motions) -> Tensor:
    """Loss of the dynamics on segments without images: how the arm moves where nothing is in its way.

    The summary of the scene is empty. A segment costs a fraction of one with images, so there are many more.
    """
    device = model.proprio_mean.device
    proprio = model.standardise(torch.from_numpy(motions.proprio).to(device))
    first = model.standardise(torch.from_numpy(motions.first_proprio).to(device))
    actions = torch.from_numpy(motions.actions).to(device)
    nothing = torch.zeros(len(actions), SUMMARY * len(VIEWS), device=device)
    with torch.autocast(device.type, enabled=False):
        rollout = model.dynamics(
            nothing, proprio[:, 0], first, actions, targets=model.targets(motions.targets)
        )
        return dynamics_loss(model, rollout, proprio, torch.from_numpy(motions.valid).to(device))


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
        fused = config.device.startswith("cuda") or config.device == "cpu"
        self.optimizer = torch.optim.AdamW(
            [p for p in self.model.parameters() if p.requires_grad],
            config.learning_rate,
            weight_decay=config.weight_decay,
            fused=fused,
        )
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

    def remember(self, episodes: Sequence[Episode]) -> None:
        """Take exemplars from these episodes from now on."""
        bank = FrameBank(episodes, device=self.config.device, seed=self.config.seed)
        self.model.bank = self.averaged.bank = bank

    def update(self, episodes: Sequence[Episode], rate: float = 1.0) -> Logs:
        """One update on segments drawn from the episodes, at ``rate`` times the learning rate.

        Raises:
            DivergedTraining: see the class.
        """
        config = self.config
        batch = random_segments(episodes, config.batch, config.horizon, self.rng)
        warm = min(1.0, (self.updates + 1) / max(1, config.warmup))
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate * rate * warm
        with self.model.autocast():
            own = own_frames(episodes, batch.episode, batch.step)
            loss, logs = world_model_loss(self.model, batch, self.rng, own)
        if config.motions:
            motions = random_motions(episodes, config.motions, config.horizon, self.rng)
            loss = loss + 0.1 * motion_loss(self.model, motions)
        self.optimizer.zero_grad(set_to_none=True)
        if math.isfinite(logs["loss"]):
            loss.backward()
            norm = nn.utils.clip_grad_norm_(self.model.parameters(), 1.0).item()
        else:
            norm = math.nan
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
            self.optimizer.state.clear()
        if self._bad >= 2 * self.patience:
            raise DivergedTraining(f"the world model's loss was not finite {self._bad} times in a row")

    @torch.no_grad()
    def _average(self) -> None:
        """Exponential moving average; it starts as a plain mean, so that it never lags by its own start."""
        keep = min(self.config.average, self.updates / (self.updates + 10.0))
        averages: list[Tensor] = list(self.averaged.parameters())
        values: list[Tensor] = list(self.model.parameters())
        torch._foreach_lerp_(averages, values, 1.0 - keep)

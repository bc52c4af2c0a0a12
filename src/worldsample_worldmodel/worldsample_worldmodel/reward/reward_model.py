"""Did it succeed? A binary classifier on both images with a proprioceptive gate (as in HiL-SERL).

Images alone give false rewards even at 97 % accuracy, hence three safeguards: the gate (the arm must be where
it was in known successes), a threshold chosen on episodes that were not trained on, and hysteresis in time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from worldsample_core.observation import PROPRIO_DIM, PROPRIO_FLOOR, VIEWS
from worldsample_core.transition import Transition
from worldsample_worldmodel.data.episodes import Episode
from worldsample_worldmodel.model.pixels import to_float
from worldsample_worldmodel.reward.reward_model_config import RewardModelConfig
from worldsample_worldmodel.training.adamw import AdamW

GATED = slice(0, 7)
"""Proprioception that the gate looks at: position, rotation, gripper."""

POSE_FEATURES = 64
FINEST_POSE = 0.002
"""m, rad: the finest spread of known successes in whose units the pose is seen."""
EDGE = 0.05
"""Share of the known successes beyond either edge of where successes begin."""
FINEST_EDGE = 0.0003
"""m, rad: how finely the distance to an edge is seen."""


@dataclass(frozen=True)
class LabelledFrames:
    """N labelled frames.

    Attributes:
        images: ``(N, 2, S, S, 3) uint8``.
        proprio: ``(N, 10)``.
        label: ``(N,) bool``.
        near: ``(N,) bool``, a negative shortly before a success.
    """

    images: NDArray[np.uint8]
    proprio: NDArray[np.float32]
    label: NDArray[np.bool_]
    near: NDArray[np.bool_]


def labelled_frames(episodes: Sequence[Episode], hold: int, near: int, unsure: int) -> LabelledFrames:
    """Frames of episodes with their labels.

    The last ``hold`` frames of a success are positive, the ``unsure`` frames before them are left out, and
    the ``near`` frames before those are near.
    """
    images, proprio, label, close = [], [], [], []
    for episode in episodes:
        frames = np.arange(len(episode) + 1)
        to_end = len(episode) - frames
        positive = (to_end < hold) & episode.success
        keep = positive | (to_end >= hold + unsure) | (not episode.success)
        images.append(episode.images[keep])
        proprio.append(episode.proprio[keep])
        label.append(positive[keep])
        close.append((~positive & (to_end < hold + unsure + near) & episode.success)[keep])
    return LabelledFrames(*(np.concatenate(part) for part in (images, proprio, label, close)))  # type: ignore[arg-type]


def recorded_frames(steps: Sequence[Transition], reaction: int, near: int) -> LabelledFrames:
    """Frames of one episode of labels: what each step led to, as the operator labelled it.

    Left out are the ``reaction`` frames before each change of the label, because a person presses late and
    lets go late; ``near`` are failures within so many frames of a success.
    """
    label = np.array([step.success for step in steps])
    changes = np.flatnonzero(label[1:] != label[:-1]) + 1
    frames = np.arange(len(steps))
    keep = np.ones(len(steps), bool)
    close = np.zeros(len(steps), bool)
    for change in changes:
        keep &= (frames >= change) | (frames < change - reaction)
        close |= (frames >= change - reaction - near) & (frames < change + near)
    return LabelledFrames(
        np.stack([step.next_observation.images for step in steps])[keep],
        np.stack([step.next_observation.proprio for step in steps])[keep],
        label[keep],
        (close & ~label)[keep],
    )


class RewardModel(nn.Module):
    """Logit of success for a frame pair and proprioception; carries its gate and threshold."""

    gate_low: Tensor
    gate_high: Tensor
    proprio_mean: Tensor
    proprio_scale: Tensor
    success_mean: Tensor
    success_scale: Tensor
    edge_low: Tensor
    edge_high: Tensor
    threshold: Tensor
    version: Tensor

    def __init__(self, config: RewardModelConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or RewardModelConfig()
        width = config.width
        side = config.image_size // 16
        self.image = nn.Sequential(
            nn.PixelUnshuffle(4), nn.Conv2d(3 * len(VIEWS) * 16, width, 3, padding=1), nn.ReLU(),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(2 * width, 2 * width, 4, stride=2, padding=1), nn.ReLU(), nn.Flatten(),
        )  # fmt: skip
        # Seen three times: over the whole workspace, finely around known successes, where millimetres decide,
        # and at their edges, where tenths do: success is often a value that is passed (a depth, an opening).
        gated = len(range(PROPRIO_DIM)[GATED])
        self.pose = nn.Sequential(nn.Linear(2 * PROPRIO_DIM + 2 * gated, POSE_FEATURES), nn.ReLU())
        self.head = nn.Sequential(
            nn.Linear(2 * width * side**2 + POSE_FEATURES, config.hidden), nn.Dropout(config.dropout),
            nn.LayerNorm(config.hidden), nn.ReLU(), nn.Linear(config.hidden, 1),
        )  # fmt: skip
        self.register_buffer("gate_low", torch.full((PROPRIO_DIM,), -torch.inf)[GATED])
        self.register_buffer("gate_high", torch.full((PROPRIO_DIM,), torch.inf)[GATED])
        self.register_buffer("proprio_mean", torch.zeros(PROPRIO_DIM))
        self.register_buffer("proprio_scale", torch.ones(PROPRIO_DIM))
        self.register_buffer("success_mean", torch.zeros(PROPRIO_DIM))
        self.register_buffer("success_scale", torch.ones(PROPRIO_DIM))
        self.register_buffer("edge_low", torch.zeros(gated))
        self.register_buffer("edge_high", torch.zeros(gated))
        self.register_buffer("threshold", torch.tensor(0.5))
        self.register_buffer("version", torch.tensor(0))

    def forward(self, images: Tensor, proprio: Tensor) -> Tensor:
        """Logits ``(N,)`` of images ``(N, 2, 3, S, S)`` in [-0.5, 0.5] and proprio ``(N, 10)``."""
        features = self.image(images.flatten(1, 2))
        whole = (proprio - self.proprio_mean) / self.proprio_scale
        near = (proprio - self.success_mean) / self.success_scale
        edges = [(proprio[:, GATED] - edge) / FINEST_EDGE for edge in (self.edge_low, self.edge_high)]
        pose = self.pose(torch.cat([whole, near, *edges], 1).clamp(-5.0, 5.0))
        return self.head(torch.cat([features, pose], 1))[:, 0]

    @torch.no_grad()
    def probability(self, images: NDArray[np.uint8], proprio: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probability of success ``(N,)`` of frames ``(N, 2, S, S, 3) uint8``; 0 outside the gate."""
        training = self.training
        self.eval()
        device = self.threshold.device
        pose = torch.from_numpy(proprio).to(device)
        parts = [
            self(to_float(torch.from_numpy(images[i : i + 256]).to(device)), pose[i : i + 256]).sigmoid()
            for i in range(0, len(images), 256)
        ]
        gated = ((pose[:, GATED] >= self.gate_low) & (pose[:, GATED] <= self.gate_high)).all(1)
        self.train(training)
        return (torch.cat(parts) * gated).cpu().numpy()

    def detect(self, probability: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Success per frame ``(..., T)`` with hysteresis; once true it stays."""
        return hysteresis(probability, float(self.threshold), self.config.release, self.config.hold)


def hysteresis(
    probability: NDArray[np.float32], threshold: float, release: float, hold: int
) -> NDArray[np.bool_]:
    """True from the ``hold``-th frame above ``threshold`` on, over the last axis.

    A frame below ``threshold - release`` starts the count again. A frame in between neither counts nor breaks
    it.
    """
    count = np.zeros(probability.shape[:-1], int)
    held = np.zeros(probability.shape[:-1], bool)
    result = np.zeros(probability.shape, bool)
    for frame in range(probability.shape[-1]):
        p = probability[..., frame]
        count = np.where(p >= threshold, count + 1, np.where(p < threshold - release, 0, count))
        held = held | (count >= hold)
        result[..., frame] = held
    return result


@dataclass(frozen=True)
class RewardReport:
    """Result of a fit on the validation frames.

    It holds accuracy, true and false positive rate, the threshold, and the number of frames.
    """

    accuracy: float
    true_positive_rate: float
    false_positive_rate: float
    threshold: float
    validation_positives: int
    validation_negatives: int


def fit_reward_model(
    model: RewardModel,
    episodes: Sequence[Episode],
    imagined: LabelledFrames | None = None,
    progress: Callable[[str], None] | None = None,
    recorded: LabelledFrames | None = None,
) -> RewardReport:
    """Train on balanced batches, then choose the threshold on episodes kept aside.

    A later fit goes on from the weights of the one before, with fewer updates. The same episodes are kept
    aside then, so that no fit has ever trained on them.

    Args:
        imagined: generated frames of *real* actions, whose labels are therefore known: the classifier learns
            to read the world model's images too. Their last fifth is used for validation.
        progress: called every ten updates with what is being done.
        recorded: frames that a person labelled (:func:`recorded_frames`). Their last fifth validates, too.

    Raises:
        ValueError: there are no successes or no failures to learn from.
    """
    config = model.config
    rng = np.random.default_rng((config.seed, int(model.version)))
    successes = [i for i, episode in enumerate(episodes) if episode.success]
    failures = [i for i, episode in enumerate(episodes) if not episode.success]
    extra = [frames for frames in (imagined, recorded) if frames is not None and len(frames.label)]
    if not successes and (recorded is None or not recorded.label.any()):
        raise ValueError("the reward model needs at least one successful episode")
    kept = {i for group in (successes, failures) for i in kept_aside(group, config.validation)}
    trained = [e for i, e in enumerate(episodes) if i not in kept]
    aside = [e for i, e in enumerate(episodes) if i in kept] or list(episodes)
    train, validate = (
        joined([*([labelled_frames(part, config.hold, config.near, config.unsure)] if part else []), *more])
        for part, more in (
            (trained, [_part(frames, slice(0, len(frames.label) * 4 // 5)) for frames in extra]),
            (aside, [_part(frames, slice(len(frames.label) * 4 // 5, None)) for frames in extra]),
        )
    )
    if not train.label.any() or train.label.all():
        raise ValueError("the reward model needs frames of successes and of failures")
    _fit_statistics(model, train)
    known = np.concatenate([frames.proprio[frames.label] for frames in (train, validate)])
    shown = 0 if recorded is None else _begun(recorded.label)
    _fit_gate(model, known, len(successes) + shown)
    _fit_weights(model, train, rng, progress)
    raw = model.probability(validate.images, validate.proprio)
    threshold = choose_threshold(raw, validate.label, config)
    model.threshold.fill_(threshold)
    model.version.add_(1)
    said = raw >= threshold
    return RewardReport(
        float((said == validate.label).mean()),
        float(said[validate.label].mean()) if validate.label.any() else float("nan"),
        float(said[~validate.label].mean()) if (~validate.label).any() else float("nan"),
        threshold,
        int(validate.label.sum()),
        int((~validate.label).sum()),
    )


def kept_aside(group: Sequence[int], share: float) -> list[int]:
    """Every ``1 / share``-th of a group that grows at its end: what was kept aside once stays so."""
    return [
        index
        for count, index in enumerate(group)
        if math.floor((count + 1) * share) > math.floor(count * share)
    ]


def joined(parts: Sequence[LabelledFrames]) -> LabelledFrames:
    """All frames of at least one part."""
    return LabelledFrames(
        np.concatenate([part.images for part in parts]),
        np.concatenate([part.proprio for part in parts]),
        np.concatenate([part.label for part in parts]),
        np.concatenate([part.near for part in parts]),
    )


def _part(frames: LabelledFrames, part: slice) -> LabelledFrames:
    return LabelledFrames(frames.images[part], frames.proprio[part], frames.label[part], frames.near[part])


@torch.no_grad()
def _fit_statistics(model: RewardModel, frames: LabelledFrames) -> None:
    proprio = torch.from_numpy(frames.proprio)
    model.proprio_mean.copy_(proprio.mean(0))
    model.proprio_scale.copy_(torch.maximum(proprio.std(0), torch.tensor(PROPRIO_FLOOR)))
    known = proprio[torch.from_numpy(frames.label)]
    model.success_mean.copy_(known.mean(0))
    model.success_scale.copy_(known.std(0, unbiased=False).clamp_min(FINEST_POSE))
    model.edge_low.copy_(known[:, GATED].quantile(EDGE, 0))
    model.edge_high.copy_(known[:, GATED].quantile(1.0 - EDGE, 0))


def _begun(label: NDArray[np.bool_]) -> int:
    """Successes that begin in consecutive frames ``(N,)``."""
    return int(np.count_nonzero(np.diff(label, prepend=False) & label))


@torch.no_grad()
def _fit_gate(model: RewardModel, poses: NDArray[np.float32], successes: int) -> None:
    """Fit the gate around the poses (N, 10) of all known successes, those kept aside included.

    The next of n successes is outside the range of the others in 2 of n + 1 cases. Spread evenly, successes
    are range / (n - 1) apart; so much is added to the margin on either side.
    """
    known = torch.from_numpy(poses)[:, GATED]
    low, high = known.amin(0), known.amax(0)
    beyond = model.config.margin + (high - low) / max(1, successes - 1)
    model.gate_low.copy_(low - beyond)
    model.gate_high.copy_(high + beyond)


def _fit_weights(
    model: RewardModel,
    frames: LabelledFrames,
    rng: np.random.Generator,
    progress: Callable[[str], None] | None,
) -> None:
    config = model.config
    device = model.threshold.device
    optimizer = AdamW(model.parameters(), config.learning_rate, weight_decay=1e-4, fused=False)
    positive, negative = np.flatnonzero(frames.label), np.flatnonzero(~frames.label)
    near = np.flatnonzero(frames.near)
    near = near if len(near) else negative
    half, quarter = config.batch // 2, config.batch // 4
    updates = config.refit_updates if int(model.version) else config.updates
    model.train()
    for update in range(updates):
        if progress is not None and update % 10 == 0:
            progress(f"fitting the reward model, {update} of {updates} updates")
        optimizer.learning_rate = config.learning_rate * (1.0 - update / updates)
        index = np.concatenate(
            [rng.choice(positive, half), rng.choice(near, quarter), rng.choice(negative, quarter)]
        )
        images = to_float(torch.from_numpy(frames.images[index]).to(device))
        images = _shifted(images, *(int(x) for x in rng.integers(-config.shift, config.shift + 1, 2)))
        light = torch.from_numpy(rng.uniform(0.9, 1.1, (len(index), 1, 1, 1, 1)).astype(np.float32)).to(
            device
        )
        images = (images + 0.5) * light - 0.5
        label = torch.from_numpy(frames.label[index]).to(device).float()
        loss = F.binary_cross_entropy_with_logits(
            model(images, torch.from_numpy(frames.proprio[index]).to(device)), label * 0.96 + 0.02
        )
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    model.eval()


def _shifted(images: Tensor, down: int, right: int) -> Tensor:
    return torch.roll(images, (down, right), (-2, -1))


def choose_threshold(
    probability: NDArray[np.float32], label: NDArray[np.bool_], config: RewardModelConfig
) -> float:
    """The middle of the thresholds with the best balanced accuracy, within its standard error.

    So few frames cannot tell such thresholds apart.
    """
    candidates = np.linspace(config.threshold_low, config.threshold_high, 56)
    if not label.any() or label.all():
        return float(np.clip(0.7, config.threshold_low, config.threshold_high))
    scores = np.array([
        0.5 * (probability[label] >= t).mean() + 0.5 * (probability[~label] < t).mean() for t in candidates
    ])  # fmt: skip
    highest = float(scores.max())
    error = 0.5 * np.sqrt(highest * (1.0 - highest) * (1.0 / label.sum() + 1.0 / (~label).sum()))
    best = np.flatnonzero(scores >= highest - error - 1e-9)
    return float(candidates[best[len(best) // 2]])

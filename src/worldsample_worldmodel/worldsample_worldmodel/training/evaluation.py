"""Evaluation of a generator on held-out segments with their real actions, beside copy-last-frame."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsample_core.node.cpu_account import cpu_piece
from worldsample_worldmodel.data.episodes import Episode, full_segments
from worldsample_worldmodel.model.frame_bank import own_frames
from worldsample_worldmodel.model.world_model import WorldModel
from worldsample_worldmodel.training.gate_config import GateConfig
from worldsample_worldmodel.training.image_quality import Images, Quality, copy_last_frame, quality


@dataclass(frozen=True)
class Evaluation:
    """A generator on held-out segments, beside copy-last-frame.

    Attributes:
        model, copy: quality of both. gate_open: whether the generator may be used.
        uncertainty: mean of what the model expected (root mean square error, 0..1); error: what it was.
        uncertainty_correlation: between both, over frames.
        segments: how many were generated.
    """

    model: Quality
    copy: Quality
    gate_open: bool
    uncertainty: float
    error: float
    uncertainty_correlation: float
    segments: int

    def to_mapping(self) -> dict[str, Any]:
        """Plain numbers and lists, for a checkpoint's counters."""

        def plain(figures: Quality) -> dict[str, Any]:
            return {name: np.asarray(value).tolist() for name, value in asdict(figures).items()}

        return {**asdict(self), "model": plain(self.model), "copy": plain(self.copy)}

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Evaluation:
        """The inverse of :meth:`to_mapping`."""

        def figures(part: Mapping[str, Any]) -> Quality:
            arrays = {name: np.array(part[name]) for name in ("psnr_by_step", "ssim_by_step")}
            return Quality(**{**part, **arrays})

        return cls(**{**values, "model": figures(values["model"]), "copy": figures(values["copy"])})


Progress = Callable[[str], None]
"""Called every few tenths of a second in a long piece of work, with what is being done."""


@cpu_piece("evaluation")
def evaluate(
    model: WorldModel,
    episodes: Sequence[Episode],
    gate: GateConfig | None = None,
    stride: int = 4,
    progress: Progress | None = None,
    batch_size: int = 32,
) -> Evaluation | None:
    """Generate held-out segments from their real actions and compare; None if no episode is long enough.

    The future is predicted: the model sees the past of a segment's own episode only.
    """
    gate = gate or GateConfig()
    bank = model.bank
    if bank is not None:
        model.bank = bank.with_guests(episodes)
    try:
        return _evaluate(model, episodes, gate, stride, progress, batch_size)
    finally:
        model.bank = bank


def _evaluate(
    model: WorldModel,
    episodes: Sequence[Episode],
    gate: GateConfig,
    stride: int,
    progress: Progress | None,
    batch_size: int,
) -> Evaluation | None:
    images: list[Images] = []
    truth: list[Images] = []
    last: list[Images] = []
    expected: list[NDArray[np.float32]] = []
    count = 0
    for batch in full_segments(episodes, model.config.horizon, stride, batch_size):
        imagined = model.imagine(
            batch.first,
            batch.current,
            batch.first_proprio,
            batch.proprio[:, 0],
            batch.actions,
            own=own_frames(episodes, batch.episode, batch.step),
            commanded=batch.commanded,
            evidence=model.abduce(episodes, batch.episode, batch.step),
        )
        images.append(imagined.images)
        truth.append(batch.future)
        last.append(batch.current)
        expected.append(imagined.uncertainty)
        count += len(batch)
        if progress is not None:
            progress(f"evaluating, {count} of {gate.segments} segments")
        if count >= gate.segments:
            break
    if not images:
        return None
    made, real, before = (np.concatenate(part) for part in (images, truth, last))
    uncertainty = np.concatenate(expected)
    ours = quality(made, real, before)
    copied = quality(copy_last_frame(before, real.shape[1]), real, before)
    error = np.sqrt(((made.astype(np.float32) - real) ** 2).mean((2, 3, 4, 5))) / 255.0
    return Evaluation(
        ours,
        copied,
        bool(ours.psnr >= gate.psnr and ours.psnr_moving >= copied.psnr_moving + gate.moving_gain),
        float(uncertainty.mean()),
        float(error.mean()),
        float(np.corrcoef(error.ravel(), uncertainty.ravel())[0, 1]),
        len(made),
    )

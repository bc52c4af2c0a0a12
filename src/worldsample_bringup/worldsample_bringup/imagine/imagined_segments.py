"""One real segment, what the world model imagines of it, and what it imagines under other actions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worldsample_core.config import ConfigError
from worldsample_core.synthetic import MAX_LENGTH, SyntheticSegment
from worldsample_worldmodel.data.episodes import Episode
from worldsample_worldmodel.running.imagined_twin import NothingToImagine, imagined_twin
from worldsample_worldmodel.training.adaptation import Adaptation

MAX_COUNTERFACTUALS = 8
"""Largest number of counterfactuals in one picture."""


@dataclass(frozen=True)
class Row:
    """One row of a picture.

    Attributes:
        name: for people: "real", "imagined", "other actions 1" …
        images: ``(T + 1, 2, H, W, 3) uint8``; the first frame is real.
        success: label of the segment; of an imagined one by the reward model.
        psnr: ``(T, 2)`` dB against the real frames; None of the real row and of counterfactuals.
    """

    name: str
    images: NDArray[np.uint8]
    success: bool
    psnr: NDArray[np.float64] | None = None


def choose_episode(adaptation: Adaptation, number: int | None) -> Episode:
    """The episode of this number; without one, the newest that succeeded, held-out ones first.

    Raises:
        ConfigError: there is no such episode; the message tells which there are.
    """
    memory = adaptation.memory
    episodes = {episode.number: episode for episode in (*memory.training, *memory.held_out)}
    if number is not None:
        if number not in episodes:
            raise ConfigError(
                f"there is no episode {number} in the world model's memory: it has "
                f"{min(episodes)} .. {max(episodes)}"
            )
        return episodes[number]
    candidates = [episode for episode in memory.held_out if episode.success]
    candidates = candidates or [episode for episode in episodes.values() if episode.success]
    return max(candidates or list(episodes.values()), key=lambda episode: episode.number)


def imagine_rows(
    adaptation: Adaptation,
    episode: Episode,
    start: int | None,
    length: int | None,
    counterfactuals: int,
    told: Callable[[str], None],
) -> tuple[list[Row], int]:
    """Imagine a segment.

    Args:
        adaptation: the world model with its memory.
        episode: the real one.
        start: first step of the segment; None: so that it ends with the episode.
        length: steps; None: the model's horizon, or what is left of the episode.
        counterfactuals: how many times the segment is imagined under perturbed actions.
        told: called with a line of progress before each row.

    Returns:
        The rows from top to bottom, and the step where the segment starts.

    Raises:
        ConfigError: the segment cannot be imagined.
    """
    if not 0 <= counterfactuals <= MAX_COUNTERFACTUALS:
        raise ConfigError(f"--perturb is 0 .. {MAX_COUNTERFACTUALS}, got {counterfactuals}")
    if start is not None and not 0 <= start < len(episode):
        raise ConfigError(f"--from is 0 .. {len(episode) - 1} in episode {episode.number}, got {start}")
    left = len(episode) - (start or 0)
    if length is not None and not 1 <= length <= min(left, MAX_LENGTH):
        raise ConfigError(
            f"--steps is 1 .. {min(left, MAX_LENGTH)} in episode {episode.number}"
            + (f" from step {start}" if start else "")
            + f", got {length}"
        )
    length = length or adaptation.config.horizon
    start = max(0, len(episode) - length) if start is None else start
    rows: list[Row] = []
    try:
        for index in range(counterfactuals + 1):
            told(f"imagining {index + 1} of {counterfactuals + 1}")
            twin = imagined_twin(
                adaptation, episode.number, start, length, perturb=index > 0, seed=max(0, index - 1)
            )
            if not rows:
                rows.append(Row("real", twin.real.images, twin.real.success))
                rows.append(_row("imagined", twin.imagined, twin.psnr))
            else:
                rows.append(_row(f"other actions {index}", twin.imagined))
    except NothingToImagine as error:
        raise ConfigError(str(error)) from error
    return rows, start


def _row(name: str, segment: SyntheticSegment, psnr: NDArray[np.float64] | None = None) -> Row:
    return Row(name, segment.images, segment.success, psnr)

"""Keeps what the cameras saw in evaluation episodes as moving pictures: ``rollouts/`` of the run folder.

Of each evaluation the first failures and one success are kept, in real time, side view beside wrist view, as
WebP, which every browser plays. They are for people: nothing is trained on them.
"""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

log = logging.getLogger(__name__)

FOLDER = "rollouts"
FAILURES, SUCCESSES = 3, 1
"""Numbers of episodes that are kept of each evaluation."""
VIEW = 128
"""Smallest side of a view, pixels: smaller ones are magnified by a whole number."""
QUALITY = 70
"""Quality of the WebP files, 0 .. 100."""
HOLD = 1000
"""Time for which the last frame stays, ms."""


class EvaluationPictures:
    """The frames of the running evaluation episode, and the files of those before.

    Args:
        run_folder: of the run; the folder for the files is made with the first of them.
        control_period: time between two frames, s.
    """

    def __init__(self, run_folder: Path, control_period: float) -> None:
        self.folder = run_folder / FOLDER
        self._milliseconds = round(1000 * control_period)
        self._frames: list[NDArray[np.uint8]] = []
        self._kept: Counter[tuple[int, bool]] = Counter()
        for path in self.folder.glob("step_*.webp"):
            step, success = int(path.stem.split("_")[1]), path.stem.endswith("success")
            self._kept[step, success] += 1

    def add(self, images: NDArray[np.uint8]) -> None:
        """One frame of the running episode, ``(2, H, W, 3) uint8``."""
        self._frames.append(images)

    def end(self, real_steps: int, scene: int, success: bool) -> Path | None:
        """The episode has ended: keep it, or forget it.

        Args:
            real_steps: behind the weights that acted.
            scene: seed of the reset.
            success: result of the episode.

        Returns:
            The file; None where enough of this result are kept, or the disk takes no more.
        """
        frames, self._frames = self._frames, []
        wanted = SUCCESSES if success else FAILURES
        if not frames or self._kept[real_steps, success] >= wanted:
            return None
        result = "success" if success else "failure"
        path = self.folder / f"step_{real_steps:07d}_scene_{scene}_{result}.webp"
        try:
            self.folder.mkdir(exist_ok=True)
            _write(path, frames, self._milliseconds)
        except OSError as error:  # pictures are not worth a run
            log.warning("the pictures of an evaluation could not be kept: %s", error)
            return None
        self._kept[real_steps, success] += 1
        return path


def _write(path: Path, frames: list[NDArray[np.uint8]], milliseconds: int) -> None:
    """Both views beside each other, one frame for each step."""
    height = frames[0].shape[1]
    factor = max(1, -(-VIEW // height))
    shown = [Image.fromarray(np.concatenate(list(frame), axis=1)) for frame in frames]
    size = (shown[0].width * factor, shown[0].height * factor)
    shown = [image.resize(size, Image.Resampling.BICUBIC) for image in shown]
    partial = path.with_suffix(".partial")
    durations = [milliseconds] * (len(shown) - 1) + [HOLD]
    shown[0].save(
        partial, "WEBP", save_all=True, append_images=shown[1:], duration=durations, loop=0,
        quality=QUALITY, method=2,
    )  # fmt: skip
    partial.replace(path)

"""Logs pictures: what the cameras see, and imagined frames beside real ones."""

from __future__ import annotations

import numpy as np
import rerun as rr
from numpy.typing import NDArray

from worldsample_bringup.viewer import entities
from worldsample_bringup.viewer.imagined_playback import ImaginedFrame
from worldsample_core.observation import VIEWS

QUALITY = 85
"""Quality of the JPEG files as which all pictures are logged, percent."""


def log_picture(stream: rr.RecordingStream, path: str, image: NDArray[np.uint8]) -> None:
    """Log a picture. image: ``(H, W, 3) uint8`` rgb."""
    stream.log(path, rr.Image(np.ascontiguousarray(image)).compress(jpeg_quality=QUALITY))


def log_imagined(stream: rr.RecordingStream, frame: ImaginedFrame) -> None:
    """Log one step of an imagined segment, with the real frame of the same step where there is one."""
    for index, view in enumerate(VIEWS):
        log_picture(stream, entities.IMAGINED[view], frame.imagined[index])
        if frame.real is not None:
            log_picture(stream, entities.REAL[view], frame.real[index])
        elif frame.step == 1:  # of the segment before
            stream.log(entities.REAL[view], rr.Clear(recursive=False))
    if frame.uncertainty is not None and frame.success_probability is not None:
        stream.log(entities.UNCERTAINTY, rr.Scalars(frame.uncertainty))
        stream.log(entities.SUCCESS_PROBABILITY, rr.Scalars(frame.success_probability))
    stream.log(entities.SEGMENT, rr.TextDocument(in_words(frame), media_type=rr.MediaType.MARKDOWN))


def in_words(frame: ImaginedFrame) -> str:
    """Markdown that says what is shown."""
    actions = "chosen by the policy" if frame.on_policy else "the real ones, perturbed"
    lines = [
        f"**Step {frame.step} of {frame.length}**",
        f"from step {frame.source_step} of episode {frame.source_episode}",
        f"actions: {actions}",
        f"world model: version {frame.version}",
    ]
    if frame.uncertainty is not None and frame.success_probability is not None:
        lines.append(f"uncertainty: {frame.uncertainty:.3f}")
        lines.append(f"success: {100 * frame.success_probability:.0f} % sure")
    return "  \n".join(lines)

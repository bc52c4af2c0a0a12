"""Plays imagined segments step by step, each beside the real frames of the steps that it departs from."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worldsample_core.synthetic import SyntheticSegment
from worldsample_core.transition import Transition

Views = NDArray[np.uint8]
"""``(2, H, W, 3) uint8``, side and wrist."""
ROOM = 128 * 1024 * 1024
"""Bytes of real frames that are kept, at most."""


@dataclass(frozen=True)
class ImaginedFrame:
    """One step of an imagined segment.

    Attributes:
        step: from 0, where the imagined frame is the real one; length: steps of the segment.
        imagined: the world model's frame.
        real: what the cameras saw at this step; None where it was not heard of, or the episode had ended.
        uncertainty, success_probability: of this step; None at step 0.
        source_episode, source_step: where the segment starts.
        version: of the world model.
        on_policy: the policy chose the actions; otherwise they are the real ones, perturbed.
    """

    step: int
    length: int
    imagined: Views
    real: Views | None
    uncertainty: float | None
    success_probability: float | None
    source_episode: int
    source_step: int
    version: int
    on_policy: bool


class RealFrames:
    """The newest real frames, by episode and step.

    Args:
        room: bytes that they may take.
    """

    def __init__(self, room: int = ROOM) -> None:
        self._room = room
        self._taken = 0
        self._frames: OrderedDict[tuple[int, int], Views] = OrderedDict()

    def add(self, transition: Transition) -> None:
        """Keep both frames of a real step, and forget the oldest where there is no room."""
        episode, step = transition.episode, transition.step
        self._keep((episode, step), transition.observation.images)
        self._keep((episode, step + 1), transition.next_observation.images)
        while self._taken > self._room:
            self._taken -= self._frames.popitem(last=False)[1].nbytes

    def _keep(self, key: tuple[int, int], images: Views) -> None:
        before = self._frames.pop(key, None)
        self._taken += images.nbytes - (0 if before is None else before.nbytes)
        self._frames[key] = images

    def at(self, episode: int, step: int) -> Views | None:
        """Frames of the cameras before this step; None where they are not kept."""
        return self._frames.get((episode, step))


class ImaginedPlayback:
    """Shows one segment after the other; of those that arrive meanwhile only the newest.

    Args:
        real: frames to show beside.
    """

    def __init__(self, real: RealFrames) -> None:
        self._real = real
        self._waiting: SyntheticSegment | None = None
        self._showing: Iterator[ImaginedFrame] = iter(())

    def offer(self, segment: SyntheticSegment) -> None:
        """A segment has arrived."""
        self._waiting = segment

    def next_frame(self) -> ImaginedFrame | None:
        """The next step to show; None where nothing new was imagined. To be called once a control step."""
        frame = next(self._showing, None)
        if frame is None and self._waiting is not None:
            self._showing = frames_of(self._waiting, self._real)
            self._waiting = None
            frame = next(self._showing)
        return frame


def frames_of(segment: SyntheticSegment, real: RealFrames) -> Iterator[ImaginedFrame]:
    """The steps of a segment, from the real frame with which it starts."""
    for step, imagined in enumerate(segment.images):
        seen = real.at(segment.source_episode, segment.source_step + step)
        if seen is not None and seen.shape != imagined.shape:
            seen = None
        yield ImaginedFrame(
            step=step,
            length=len(segment),
            imagined=imagined,
            real=imagined if step == 0 else seen,
            uncertainty=float(segment.uncertainty[step - 1]) if step else None,
            success_probability=float(segment.success_probability[step - 1]) if step else None,
            source_episode=segment.source_episode,
            source_step=segment.source_step,
            version=segment.world_model_version,
            on_policy=segment.on_policy,
        )

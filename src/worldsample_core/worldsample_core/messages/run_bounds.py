"""Bounds on what the messages of a run can hold: each node checks them where it decodes what it received.

They keep a broken or hostile writer from pushing genuine data out: a reward that no network survives, a
version that makes every later one stale, a number for which a receiver would ask or wait for ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from worldsample_core.messages.conversions import (
    synthetic_from_message,
    transition_from_message,
    weights_from_message,
)
from worldsample_core.messages.weights import PackedWeights
from worldsample_core.observation import InvalidObservation
from worldsample_core.settings import Settings
from worldsample_core.synthetic import MAX_LENGTH, SyntheticSegment
from worldsample_core.transition import Transition
from worldsample_msgs.msg import SyntheticBatch
from worldsample_msgs.msg import Transition as TransitionMsg

Message = TypeVar("Message")

MAX_REWARD = 1000.0
"""Largest size of a step's reward. The five tasks give 0 and 1; a task that shapes its reward has room."""
ROOM = 10
"""Counters of a run are below so many times its planned steps: failed demonstrations, restarts and released
versions count, too."""
SPARE_EPISODES = 100
"""Episodes beside the demonstrations for which there is room however short the training is."""
COUNTS = (
    "real_steps",
    "demo_steps",
    "completed_steps",
    "next_seq",
    "weights_version",
    "version",
    "checkpoint_step",
    "episode",
    "episodes",
    "step",
)
"""Fields of statuses that count steps, episodes or versions of the run."""


@dataclass(frozen=True)
class RunBounds:
    """Limits of one run. Every check raises :class:`InvalidObservation` with the reason.

    Attributes:
        counts: steps, episodes and versions of the run are below it.
        image_size: side of the training images, pixels.
    """

    counts: int
    image_size: int

    @classmethod
    def of(cls, settings: Settings) -> RunBounds:
        """The bounds of a run with these settings."""
        task, run = settings.task, settings.run
        planned = task.max_real_steps + task.horizon * (SPARE_EPISODES + run.demos)
        return cls(ROOM * planned, run.image_size)

    def count(self, name: str, value: int) -> int:
        """The value of a counter, if a run of this size can reach it."""
        if not 0 <= value < self.counts:
            raise InvalidObservation(f"{name} is {value}, which is beyond this run ({self.counts})")
        return value

    def status(self, message: Message) -> Message:
        """A status whose counters are possible."""
        for name in COUNTS:
            if hasattr(message, name):
                self.count(name, int(getattr(message, name)))
        return message

    def sized(self, message: TransitionMsg) -> TransitionMsg:
        """A transition whose images have the run's size, before anything of it is kept or copied."""
        size = self.image_size
        for part in (message.observation, message.next_observation):
            if (int(part.height), int(part.width)) != (size, size):
                raise InvalidObservation(f"images are {part.width}x{part.height}, this run's {size}x{size}")
            if len(part.side) != 3 * size * size or len(part.wrist) != 3 * size * size:
                raise InvalidObservation(f"images have {len(part.side)} and {len(part.wrist)} bytes")
        return message

    def transition(self, message: TransitionMsg) -> Transition:
        """A transition, decoded and checked."""
        transition = transition_from_message(self.sized(message))
        self._reward(transition.reward)
        for name in ("seq", "episode", "step", "policy_version"):
            self.count(name, int(getattr(transition, name)))
        return transition

    def small(self, message: SyntheticBatch) -> SyntheticBatch:
        """A segment that is not larger than the run's can be, before anything of it is kept or copied."""
        size, frames = self.image_size, int(message.length) + 1
        if frames > MAX_LENGTH + 1 or (int(message.height), int(message.width)) != (size, size):
            raise InvalidObservation(
                f"a segment has {frames} images of {message.width}x{message.height}, this run's {size}x{size}"
            )
        for name in ("side", "wrist"):
            if len(getattr(message, name)) != frames * 3 * size * size:
                raise InvalidObservation(f"synthetic {name} has {len(getattr(message, name))} values")
        return message

    def segment(self, message: SyntheticBatch) -> SyntheticSegment:
        """An imagined segment, decoded and checked."""
        segment = synthetic_from_message(self.small(message), self.image_size)
        self._reward(float(np.abs(segment.rewards).max()))
        for name in (
            "source_episode",
            "source_step",
            "world_model_version",
            "policy_version",
            "effective_step",
        ):
            self.count(name, int(getattr(segment, name)))
        return segment

    def weights(self, message: Any) -> PackedWeights:
        """Packed weights with a possible version; their content is checked where they are unpacked."""
        packed = weights_from_message(message)
        for name in ("version", "real_steps", "effective_step"):
            self.count(name, int(getattr(packed, name)))
        return packed

    def _reward(self, reward: float) -> None:
        if not abs(reward) <= MAX_REWARD:
            raise InvalidObservation(f"reward {reward:g} is beyond {MAX_REWARD:g}")

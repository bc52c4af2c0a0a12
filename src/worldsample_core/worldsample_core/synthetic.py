"""An imagined, labelled counterfactual segment: what ``/synthetic`` carries and the learner queues."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worldsample_core.config import TaskConfig
from worldsample_core.observation import ACTION_DIM, PROPRIO_DIM, VIEWS, InvalidObservation

MAX_LENGTH = 256
"""Largest number of steps of a segment; a longer one is refused."""


@dataclass(frozen=True, slots=True)
class SyntheticSegment:
    """A counterfactual segment of T steps with its provenance (design: "Provenance on everything imagined").

    Attributes:
        images: ``(T + 1, 2, S, S, 3) uint8``, the first one real. proprio: ``(T + 1, 10) float32``, likewise.
        actions: ``(T, 7) float32`` in [-1, 1].
        rewards: ``(T,) float32``, 1 where success is reached. terminated: ``(T,) bool``, likewise.
        uncertainty: ``(T,) float32``, of the world model. success_probability: ``(T,) float32``, of the
            reward model.
        success: label of the segment; it then ends with the success.
        source_episode: number of the real episode in its run. source_step: where the segment starts in it.
        world_model_version: of the model that made it.
        on_policy: the policy chose the actions on what was imagined; otherwise they are the real ones,
            perturbed. policy_version: of the policy that chose them, or that acted in the real segment.
        intended: ``(T, 7) float32``, of an imagined correction: what a person would do at each frame, to be
            imitated; None: the segment is none.
        seq: of its publisher, without a gap. effective_step: in lockstep, the number of completed real steps
            from which the learner uses it (0: at once).
    """

    images: NDArray[np.uint8]
    proprio: NDArray[np.float32]
    actions: NDArray[np.float32]
    rewards: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    uncertainty: NDArray[np.float32]
    success_probability: NDArray[np.float32]
    success: bool
    source_episode: int
    source_step: int
    world_model_version: int
    policy_version: int = 0
    on_policy: bool = False
    intended: NDArray[np.float32] | None = None
    seq: int = 0
    effective_step: int = 0
    publisher: str = ""
    run: str = ""

    def __len__(self) -> int:
        return len(self.actions)

    def validate(self, image_size: int | None = None) -> SyntheticSegment:
        """Return self. Raises :class:`InvalidObservation`, with the reason, where it cannot be used.

        image_size: side that the images must have, where it is known.
        """
        steps = len(self.actions)
        if not 1 <= steps <= MAX_LENGTH:
            raise InvalidObservation(f"a segment has 1 to {MAX_LENGTH} steps, got {steps}")
        images = self.images
        side = images.shape[2] if images.ndim == 5 else 0
        if images.dtype != np.uint8 or images.shape != (steps + 1, len(VIEWS), side, side, 3):
            raise InvalidObservation(f"segment images are {images.shape} {images.dtype} for {steps} steps")
        if image_size is not None and side != image_size:
            raise InvalidObservation(f"segment images are {side} pixels wide, not {image_size}")
        expected = {
            "proprio": (steps + 1, PROPRIO_DIM),
            "actions": (steps, ACTION_DIM),
            "rewards": (steps,),
            "terminated": (steps,),
            "uncertainty": (steps,),
            "success_probability": (steps,),
        }
        if self.intended is not None:
            expected["intended"] = (steps, ACTION_DIM)
        for name, shape in expected.items():
            value = getattr(self, name)
            if value.shape != shape:
                raise InvalidObservation(f"segment {name} is {value.shape}, {shape} expected")
            if not np.isfinite(value).all():
                raise InvalidObservation(f"segment {name} has values that are not finite")
        for actions in (self.actions,) if self.intended is None else (self.actions, self.intended):
            if np.abs(actions).max() > 1.0 + 1e-6:
                raise InvalidObservation("a segment's actions leave [-1, 1]")
        if bool(self.terminated[:-1].any()) or bool(self.terminated[-1]) != self.success:
            raise InvalidObservation("a segment ends with its success, and only there")
        return self

    def leaves_workspace(self, task: TaskConfig, margin: float) -> bool:
        """True if an imagined end-effector position is more than ``margin`` m outside the task's box."""
        position = self.proprio[1:, :3]
        low, high = np.asarray(task.box_low) - margin, np.asarray(task.box_high) + margin
        return bool((position < low).any() or (position > high).any())

"""One real control step, and episodes of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from worldsample_core.observation import ACTION_DIM, InvalidObservation, Observation

Source = Literal["policy", "demo"]
EpisodeKind = Literal["train", "demo", "eval", "label"]


@dataclass(frozen=True, slots=True)
class Transition:
    """One finished control step (algorithm: "The loop", 1).

    Attributes:
        observation, next_observation: before and after the step.
        action: ``(7,) float32`` in [-1, 1], what was really executed: the operator's where ``intervention``.
        intended: ``(7,) float32``, what the operator intended where a push disturbed it; None: ``action``.
        reward: 1 on success, else 0 (sparse), unless the task shapes it.
        terminated: success or failure: no bootstrapping.
        truncated: timeout or abort: bootstraps from ``next_observation``.
        success: the episode succeeded at this step; in an episode of kind "label": ``next_observation``
            shows a success (the reward is 1), and the episode may go on.
        intervention: a human (or the scripted operator) acted.
        seq: number within the run, from 0, without a gap.
        episode, step: both from 0.
        source: "demo" for steps of demonstrations and of labelled episodes.
        policy_version: version of the weights that acted.
    """

    observation: Observation
    action: NDArray[np.float32]
    reward: float
    next_observation: Observation
    terminated: bool
    truncated: bool
    success: bool
    intervention: bool
    seq: int
    episode: int
    step: int
    source: Source = "policy"
    policy_version: int = 0
    run: str = ""
    intended: NDArray[np.float32] | None = None

    @property
    def label(self) -> NDArray[np.float32]:
        """The action to imitate, ``(7,) float32``."""
        return self.action if self.intended is None else self.intended

    @property
    def last(self) -> bool:
        """True for the last step of an episode."""
        return self.terminated or self.truncated

    def validate(self) -> Transition:
        """Return self. Raises :class:`InvalidObservation` where a part cannot be used."""
        self.observation.validate()
        self.next_observation.validate()
        if self.observation.images.shape != self.next_observation.images.shape:
            raise InvalidObservation("observation and next_observation differ in image size")
        for action in (self.action,) if self.intended is None else (self.action, self.intended):
            if action.shape != (ACTION_DIM,) or not np.isfinite(action).all():
                raise InvalidObservation(f"action must be ({ACTION_DIM},) and finite, got {action}")
            if np.abs(action).max() > 1.0 + 1e-6:
                raise InvalidObservation(f"action leaves [-1, 1]: {action}")
        if not np.isfinite(self.reward):
            raise InvalidObservation("reward is not finite")
        return self


@dataclass(frozen=True, slots=True)
class EpisodeSummary:
    """A finished episode. ``path`` is its bag relative to the run folder ("" for evaluation episodes)."""

    kind: EpisodeKind
    episode: int
    steps: int
    episode_return: float
    success: bool
    truncated: bool
    aborted: bool = False
    intervention_steps: int = 0
    first_seq: int = 0
    policy_version: int = 0
    real_steps: int = 0
    seed: int = 0
    path: str = ""
    run: str = ""

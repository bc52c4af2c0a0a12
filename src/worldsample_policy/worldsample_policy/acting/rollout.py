"""One episode as a state machine: observations in, actions and finished transitions out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from worldsample_core.config import TaskConfig
from worldsample_core.episodes.label_count import LabelCount
from worldsample_core.observation import ACTION_DIM, GRIPPER, InvalidObservation, Observation, clean_action
from worldsample_core.transition import EpisodeKind, Transition
from worldsample_policy.acting.disturbance import Disturbance
from worldsample_policy.acting.observation_assembly import OperatorInput, Tick

Action = NDArray[np.float32]
Act = Callable[[Observation, bool], tuple[NDArray[np.floating], int]]
"""(observation, deterministic) -> (action (7,), version of the weights that acted)."""


RECORDINGS: tuple[EpisodeKind, ...] = ("demo", "label")
"""Kinds of episodes in which the operator alone drives."""


def executable(action: NDArray[np.floating], task: TaskConfig) -> Action:
    """The action as it is executed: finite, within [-1, 1], inactive dimensions 0, gripper -1, 0 or 1.

    Raises:
        InvalidObservation: wrong shape, or a value that is not finite.
    """
    cleaned = clean_action(action, task.active_mask)
    cleaned[GRIPPER] = np.rint(cleaned[GRIPPER])
    return cleaned


@dataclass
class EpisodeCounts:
    """Counts of an episode so far."""

    steps: int = 0
    episode_return: float = 0.0
    intervention_steps: int = 0
    invalid_actions: int = 0
    success: bool = False
    truncated: bool = False
    aborted: bool = False
    policy_version: int = 0


@dataclass
class EpisodeRollout:
    """An episode of ``kind`` with at most ``max_steps`` control steps.

    At each tick the step before is finished first: its transition ends with this tick's observation, and this
        tick's buttons
    label it. Then the next action is chosen: the operator's where the operator drives, else the policy's. A
    demonstration begins with the operator's first motion; until then the arm holds and nothing is recorded.
    In an evaluation the operator only presses buttons. An episode of labels begins like a demonstration, or
    with the success button; that button, held or pressed, labels frames and ends nothing; *failure* ends the
    episode and keeps it, *abort* discards it.

    Attributes:
        mean_action: the policy's most likely action is executed; without, a sample of its distribution.
        disturbance: pushes what the operator intends; None: nothing does.
        labels: kind label: what had been recorded before. labels_wanted: frames of each kind after which the
            episode ends (0: none).
        finished: the transition that the last tick completed.
        ended: the episode is over; the last tick gave no action.
    """

    kind: EpisodeKind
    task: TaskConfig
    max_steps: int
    act: Act
    run: str = ""
    episode: int = 0
    disturbance: Disturbance | None = None
    mean_action: bool = False
    labels: LabelCount = field(default_factory=LabelCount)
    labels_wanted: int = 0
    counts: EpisodeCounts = field(default_factory=EpisodeCounts)
    finished: Transition | None = None
    ended: bool = False

    def __post_init__(self) -> None:
        self._observation: Observation | None = None
        self._action: Action = np.zeros(ACTION_DIM, np.float32)
        self._intended: Action | None = None
        self._intervened = self._dropped = False
        self._unlabelled = OperatorInput()

    def take_executed(self, action: Action) -> None:
        """Record this action (7,), which the arm has executed in place of the last one."""
        if self._observation is not None:
            self._action = executable(action, self.task)

    def drop_step(self) -> bool:
        """Forget the step that is under way: nothing was executed. Returns whether there was one.

        The arm has kept still, so the episode goes on from the next observation. Buttons that are pressed
        meanwhile label the next step.
        """
        dropped = self._observation is not None
        self._observation, self._dropped = None, self._dropped or dropped
        return dropped

    @property
    def in_step(self) -> bool:
        """True if the next tick finishes a step."""
        return self._observation is not None

    @property
    def waiting(self) -> bool:
        """True for a recording that the operator has not begun."""
        begun = self._observation is not None or self._dropped
        return self.kind in RECORDINGS and not begun and not self.ended

    @property
    def labelled(self) -> LabelCount:
        """Kind label: frames recorded so far, those of earlier episodes among them."""
        return self.labels.plus(self.counts.steps, self.counts.episode_return)

    def tick(self, tick: Tick, seq: int) -> Action | None:
        """Advance one control step.

        Args:
            tick: the step's observation and the operator's wishes.
            seq: for the transition that this tick finishes.

        Returns:
            The action to execute, ``(7,)`` float32, normalised and clean; None when the episode has ended.
        """
        if self.ended:
            raise RuntimeError("the episode has ended")
        self.finished = None
        tick = self._with_waiting_buttons(tick)
        operator, counts = tick.operator, self.counts
        labels = self.kind == "label"
        if self._observation is not None:
            self._finish_step(tick, seq)
        elif operator.abort or (self.waiting and (operator.failure or (operator.success and not labels))):
            self.ended = counts.aborted = counts.truncated = True  # over before its first step
        if self.ended:
            return None
        if self.waiting and not (operator.active or (operator.success and labels)):
            return np.zeros(ACTION_DIM, np.float32)
        self._action, self._intervened = self._choose(tick.observation, operator)
        self._observation = tick.observation
        return self._action

    def _with_waiting_buttons(self, tick: Tick) -> Tick:
        """The tick, with the buttons that were pressed while no step was under way that they could label."""
        pressed, operator = self._unlabelled, tick.operator
        if self._dropped and self._observation is None:
            self._unlabelled = OperatorInput(
                success=pressed.success or operator.success, failure=pressed.failure or operator.failure
            )
            return replace(tick, operator=replace(operator, success=False, failure=False))
        if not (pressed.success or pressed.failure):
            return tick
        self._unlabelled = OperatorInput()
        return replace(
            tick,
            operator=replace(
                operator,
                success=operator.success or pressed.success,
                failure=operator.failure or pressed.failure,
            ),
        )

    def _finish_step(self, tick: Tick, seq: int) -> None:
        assert self._observation is not None
        operator, counts = tick.operator, self.counts
        labels = self.kind == "label"
        success = operator.success
        terminated = (success or operator.failure) and not labels
        step = counts.steps
        reward = 1.0 if success else 0.0
        over = operator.abort or step + 1 >= self.max_steps
        if labels:
            enough = self.labels_wanted and self.labelled.plus(1, reward).complete(self.labels_wanted)
            over = bool(over or operator.failure or enough)
        truncated = not terminated and over
        self.finished = Transition(
            observation=self._observation,
            action=self._action,
            reward=reward,
            next_observation=tick.observation,
            terminated=terminated,
            truncated=truncated,
            success=success,
            intervention=self._intervened,
            seq=seq,
            episode=self.episode,
            step=step,
            source="demo" if self.kind in RECORDINGS else "policy",
            policy_version=counts.policy_version,
            run=self.run,
            intended=self._intended,
        )
        counts.steps += 1
        counts.episode_return += reward
        counts.intervention_steps += self._intervened
        counts.success, counts.truncated = success and not labels, truncated
        counts.aborted = operator.abort and not terminated
        self.ended = terminated or truncated

    def _choose(self, observation: Observation, operator: OperatorInput) -> tuple[Action, bool]:
        """(action, whether it is the operator's)."""
        self._intended = None
        if self.kind != "eval" and operator.active and operator.action is not None:
            try:
                return self._disturbed(executable(operator.action, self.task)), True
            except InvalidObservation:  # a device that sends NaN must not move the arm
                self.counts.invalid_actions += 1
                return np.zeros(ACTION_DIM, np.float32), True
        if self.kind in RECORDINGS:
            return np.zeros(ACTION_DIM, np.float32), False
        action, self.counts.policy_version = self.act(observation, self.mean_action)
        try:
            return executable(action, self.task), False
        except InvalidObservation:
            self.counts.invalid_actions += 1
            return np.zeros(ACTION_DIM, np.float32), False

    def _disturbed(self, intended: Action) -> Action:
        """The action that is executed, pushed off what the operator intends."""
        if self.disturbance is None:
            return intended
        executed = self.disturbance(intended)
        if executed is not intended:
            self._intended = intended
        return executed

    def interrupt(self) -> None:
        """End the episode here, without another observation: truncated and aborted."""
        if not self.ended:
            self.ended = self.counts.truncated = self.counts.aborted = True

"""A scripted person at the SpaceMouse: demonstrates, helps a stuck policy, presses the success button."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from a1x_sim.tasks.base import State, Task
from worldsample_core.disturbance_config import DisturbanceConfig
from worldsample_core.node.cpu_account import cpu_piece
from worldsample_core.units import ControlSteps, Episodes, Frames

Array = NDArray[np.float64]
Phase = Literal["demo", "train", "eval", "label"]


@dataclass(frozen=True)
class OperatorConfig:
    """Behaviour of the scripted operator; its actions are normalised, -1..1."""

    noise: float = 0.12
    """Standard deviation of each step's hand tremor."""
    wander: float = 0.12
    """Standard deviation of the slow error of the hand, with a memory of ``wander_steps``."""
    wander_steps: float = 8.0
    """Correlation time of the slow error, in control steps."""
    slowest: float = 0.65
    """Least speed of an episode, which is drawn up to ``fastest``; 1 is the expert's."""
    fastest: float = 1.0
    """Greatest speed of an episode."""
    patience: ControlSteps = 5
    """Steps without progress after which the operator takes over."""
    drift: float = 0.15
    """Fall of the potential below its best in the episode at which the operator takes over."""
    progress: float = 0.02
    """Rise of the potential that counts as progress."""
    reaction: ControlSteps = 2
    """Steps from the decision to the first driven step."""
    help_min: ControlSteps = 10
    """Least value of the longest time of driving, which is drawn up to ``help_max``."""
    help_max: ControlSteps = 20
    """Greatest value of the longest time of driving."""
    help_progress: float = 0.5
    """Rise of the potential after which the operator lets go earlier."""
    to_end_first: float = 1.0
    """Probability at success rate 0 that a help lasts until the episode ends: the operator of a policy that
    is lost finishes the task, as the paper's people do (60 to 95 % of all steps at first)."""
    to_end_last: float = 0.0
    """Probability at success rate 1 that a help lasts until the episode ends."""
    window: Episodes = 20
    """Episodes over which the policy's success rate is taken."""
    bother_first: float = 1.0
    """Probability of watching an episode at success rate 0."""
    bother_last: float = 0.05
    """Probability of watching an episode at success rate 1."""
    max_helps: int = 4
    """Largest number of interventions in one episode."""
    linger: Frames = 8
    """Frames of success that the operator shows in an episode of labels before it ends it."""
    astray: ControlSteps = 12
    """Largest number of steps in some direction with which an episode of labels begins, to show failures
    too."""
    disturbance: DisturbanceConfig = field(default_factory=DisturbanceConfig)
    """Pushes off the path while the operator drives; read by the policy node, for a person's help, too."""


@dataclass(frozen=True)
class OperatorSignal:
    """Signal of the operator at one moment: driving or not, the action (7,) in [-1, 1], and three buttons."""

    active: bool
    action: NDArray[np.float32]
    success: bool = False
    failure: bool = False
    abort: bool = False


class ScriptedOperator:
    """Watches the privileged state of the simulator and acts as a person would.

    Call :meth:`start_episode`, then :meth:`act` once per control step, then :meth:`end_episode`.
    """

    def __init__(self, task: Task, seed: int = 0, config: OperatorConfig | None = None) -> None:
        self.task = task
        self.config = config or OperatorConfig()
        self._seed = seed
        self._rng = np.random.default_rng(seed)
        self._results: deque[bool] = deque(maxlen=self.config.window)
        self.start_episode()

    @property
    def success_rate(self) -> float:
        """Share of the recent training episodes that the policy solved on its own (0 before the first)."""
        return sum(self._results) / self.config.window

    def start_episode(self, *episode_seed: int) -> None:
        """Forget the last episode. ``episode_seed`` and the operator's seed decide how its hand errs."""
        if episode_seed:
            self._rng = np.random.default_rng((self._seed, *episode_seed))
        config, rng = self.config, self._rng
        self._wander = rng.normal(0.0, config.wander, 7)
        self._speed = rng.uniform(config.slowest, config.fastest)
        self.watching = bool(rng.random() < self._now(config.bother_first, config.bother_last))
        self._best = self._mark = -np.inf
        self._since_progress = 0
        self._reacting = self._driving = 0
        self._start_potential = 0.0
        self._to_end = False
        self.helps = 0
        self._shown, self._astray = 0, -1

    def _now(self, first: float, last: float) -> float:
        """A value that goes from ``first`` to ``last`` as the success rate goes from 0 to 1."""
        return first + (last - first) * self.success_rate

    def end_episode(self, success: bool, phase: Phase = "train") -> None:
        """Remember whether the policy solved a training episode without help."""
        if phase == "train":
            self._results.append(success and self.helps == 0)

    @cpu_piece("acting")
    def act(self, state: State, phase: Phase) -> OperatorSignal:
        """The operator's answer to the observation that belongs to ``state`` (of the cell, or /sim/state)."""
        success = state["success"] > 0.5
        failure = not success and self.task.failed(state)
        if phase == "label":
            return self._label(state, success, failure)
        done = success or failure
        active = not done and (phase == "demo" or (phase == "train" and self._takes_over(state)))
        action = self._drive(state) if active else np.zeros(7, np.float32)
        return OperatorSignal(active, action, success, failure)

    def _label(self, state: State, success: bool, failed: bool) -> OperatorSignal:
        """Hold the success button, with a trembling hand, while the task is solved.

        The button *failure* ends the episode, which is kept.
        """
        if self._astray < 0:
            self._astray = int(self._rng.integers(0, self.config.astray + 1))
            self._away = self._rng.uniform(-1.0, 1.0, 7)
        self._shown += success
        over = failed or self._shown > self.config.linger
        if success:
            action = self._perform(np.zeros(7))
        elif self._astray > 0:
            self._astray -= 1
            action = self._perform(self._away)
        else:
            action = self._drive(state)
        return OperatorSignal(True, action, success, failure=over)

    def _takes_over(self, state: State) -> bool:
        config = self.config
        potential = self.task.potential(state)
        if self._driving > 0:
            if self._to_end:
                return True
            self._driving -= 1
            if potential > self._start_potential + config.help_progress:
                self._driving = 0
            if self._driving == 0:
                self._best = self._mark = potential
                self._since_progress = 0
                return False
            return True
        self._best = max(self._best, potential)
        if potential > self._mark + config.progress:
            self._mark, self._since_progress = potential, 0
        else:
            self._since_progress += 1
        if self._reacting > 0:
            self._reacting -= 1
            if self._reacting == 0:
                self._driving = int(self._rng.integers(config.help_min, config.help_max + 1))
                self._to_end = bool(self._rng.random() < self._now(config.to_end_first, config.to_end_last))
                self._start_potential = potential
                self._speed = self._rng.uniform(config.slowest, config.fastest)
                self.helps += 1
                return True
            return False
        lost = potential < self._best - config.drift
        if (
            self.watching
            and self.helps < config.max_helps
            and (lost or self._since_progress >= config.patience)
        ):
            self._reacting = config.reaction
        return False

    def _drive(self, state: State) -> NDArray[np.float32]:
        return self._perform(np.asarray(self.task.expert(state), np.float64))

    def _perform(self, wanted: Array) -> NDArray[np.float32]:
        """The action that a hand makes of what it wants."""
        config, rng = self.config, self._rng
        memory = np.exp(-1.0 / config.wander_steps)
        self._wander = memory * self._wander + np.sqrt(1 - memory**2) * rng.normal(0.0, config.wander, 7)
        action = wanted.copy()
        error = self._wander + rng.normal(0.0, config.noise, 7)
        action[:6] = self._speed * action[:6] + error[:6]
        action = np.where(self.task.config.active, np.clip(action, -1.0, 1.0), 0.0)
        return action.astype(np.float32)

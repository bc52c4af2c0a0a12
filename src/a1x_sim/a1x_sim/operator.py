"""A scripted person at the SpaceMouse: demonstrates, helps a stuck policy, presses the success button."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from a1x_sim.tasks.base import State, Task

Array = NDArray[np.float64]
Phase = Literal["demo", "train", "eval", "label"]


@dataclass(frozen=True)
class OperatorConfig:
    """How the scripted operator behaves. Steps are control steps; distances of actions are normalised.

    Attributes:
        noise: standard deviation of each step's hand tremor.
        wander: standard deviation of the slow error of the hand, with a memory of ``wander_steps``.
        wander_steps: correlation time of the slow error.
        slowest, fastest: the speed of an episode is drawn between them (1 is the expert's).
        patience: steps without progress after which the operator takes over.
        drift: fall of the potential below its best in the episode at which the operator takes over.
        progress: rise of the potential that counts as progress.
        reaction: steps from the decision to the first driven step.
        help_min, help_max: longest time of driving, drawn between them.
        help_progress: the operator lets go earlier after this rise of the potential.
        window: episodes over which the policy's success rate is taken.
        bother_first, bother_last: probability of bothering to watch an episode at success rate 0 and 1.
        max_helps: interventions in one episode.
        linger: frames of success that the operator shows in an episode of labels before it ends it.
        astray: an episode of labels begins with up to so many steps in some direction, to show failures too.
    """

    noise: float = 0.12
    wander: float = 0.12
    wander_steps: float = 8.0
    slowest: float = 0.65
    fastest: float = 1.0
    patience: int = 12
    drift: float = 0.15
    progress: float = 0.02
    reaction: int = 3
    help_min: int = 10
    help_max: int = 20
    help_progress: float = 0.5
    window: int = 20
    bother_first: float = 1.0
    bother_last: float = 0.05
    max_helps: int = 4
    linger: int = 8
    astray: int = 12


@dataclass(frozen=True)
class OperatorSignal:
    """What the operator does now: drives or not, the action (7,) in [-1, 1], and the three buttons."""

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
        bother = config.bother_first + (config.bother_last - config.bother_first) * self.success_rate
        self.watching = bool(rng.random() < bother)
        self._best = self._mark = -np.inf
        self._since_progress = 0
        self._reacting = self._driving = 0
        self._start_potential = 0.0
        self.helps = 0
        self._shown, self._astray = 0, -1

    def end_episode(self, success: bool, phase: Phase = "train") -> None:
        """Remember whether the policy solved a training episode without help."""
        if phase == "train":
            self._results.append(success and self.helps == 0)

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
        """Holds the success button while the task is solved, with a trembling hand; *failure* ends the
        episode, which is kept."""
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

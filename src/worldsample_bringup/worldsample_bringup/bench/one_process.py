"""The loop of a run in one process, without ROS and without a world model: what settings are worth.

Cell, scripted operator, disturbance, actor and learner take turns, with the settings that ``worldsample
train`` would give them; weights act as late as in lockstep. A development run of 2,000 steps takes a few
minutes on one core. Demonstrations, layouts of training and of evaluation are drawn as in a run: the seeds
mean the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from a1x_sim.cell import Cell
from a1x_sim.operator import OperatorConfig, ScriptedOperator
from worldsample_bringup.run.configuration import layers, make_settings, read_overrides
from worldsample_core.config import from_mapping, merge
from worldsample_core.disturbance_config import DisturbanceConfig
from worldsample_core.observation import clean_action
from worldsample_core.settings import Settings
from worldsample_core.transition import EpisodeKind, Transition
from worldsample_policy.acting.actor import Actor
from worldsample_policy.acting.disturbance import Disturbance
from worldsample_policy.learner_config import LearnerConfig
from worldsample_policy.learning.learner import Learner

EVALUATION_SEEDS = 900_000
STILL = 0.15
"""Normalised translation below which an arm counts as standing still."""


def settings_of(task: str, method: str, seed: int, changes: Sequence[str] = ()) -> Settings:
    """The settings of ``worldsample train --task TASK --method METHOD --seed SEED CHANGES`` on two cores.

    The learner gets no imagined data here, whatever the method says. Raises ConfigError.
    """
    identity = {"name": "one-process", "directory": "runs/one-process", "seed": seed}
    values = merge({"run": identity}, layers("cpu", method, task, quick=False), read_overrides(changes))
    values["worldmodel"] = {}
    values["learner"] = merge(values["learner"], {"pacing": False})
    return make_settings(values)


class OneProcess:
    """Cell, scripted operator, actor and learner of one run.

    Attributes:
        helped: real steps that the operator drove. stood_still: failed evaluation episodes that ended so.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        run, config = settings.run, from_mapping(LearnerConfig, settings.learner, "learner")
        lines = int(settings.sim.get("rendered_lines", 256))
        self.cell = Cell(settings.task.name, run.image_size, run.seed, settings.task, rendered_lines=lines)
        self.task = settings.task
        operator = from_mapping(OperatorConfig, settings.operator, "operator")
        self.pushes: DisturbanceConfig = operator.disturbance
        self.operator = ScriptedOperator(self.cell.task, run.seed, operator)
        self.learner = Learner(config, self.task)
        self.actor = Actor(config, self.task, seed=run.seed)
        self.rng = np.random.default_rng(run.seed)
        self.seq = self.episodes = self.helped = self.stood_still = 0

    def demonstrate(self) -> None:
        """Record the demonstrations, and fit and train on them what a run does before its loop."""
        run = self.settings.run
        for demo in range(run.demos):
            self.episode("demo", 10_000 + run.seed * 1000 + demo)
        self.learner.adapt_encoder()
        self.learner.pretrain()
        self.actor.load(self.learner.actor_state())

    def train(self, real_steps: int) -> None:
        """Run training episodes until the learner has seen so many real steps."""
        while self.learner.real_steps < real_steps:
            self.episode("train", self.settings.run.seed * 100_000 + self.episodes)

    def evaluate(self, episodes: int) -> float:
        """Success rate of the newest weights, deterministic and without help."""
        self.actor.load(self.learner.actor_state())
        self.stood_still = 0
        return float(np.mean([self.episode("eval", EVALUATION_SEEDS + i) for i in range(episodes)]))

    def episode(self, kind: EpisodeKind, seed: int) -> bool:
        """Run one episode; whether it succeeded."""
        observation = self.cell.reset(seed)
        self.operator.start_episode(seed)
        rate = {"demo": self.pushes.demos, "train": self.pushes.help}.get(kind, 0.0)
        disturbance = Disturbance(self.pushes, rate, self.task.active_mask, self.settings.run.seed, seed)
        steps, speeds = 0, [1.0]
        while steps < self.task.horizon and not self.cell.success:
            signal = self.operator.act(self.cell.state(), kind)
            driven = signal.active and kind != "eval"
            wanted = signal.action if driven else self._act(observation, kind)
            intended = clean_action(wanted, self.task.active_mask)
            action = disturbance(intended) if driven else intended
            following = self.cell.step(action)
            speeds.append(float(np.abs(action[:3]).max()))
            steps += 1
            if kind != "eval":
                out_of_time = steps == self.task.horizon and not self.cell.success
                self._learn(
                    Transition(
                        observation=observation,
                        action=action,
                        reward=float(self.cell.success),
                        next_observation=following,
                        terminated=self.cell.success,
                        truncated=out_of_time,
                        success=self.cell.success,
                        intervention=driven,
                        seq=self.seq,
                        episode=self.episodes,
                        step=steps - 1,
                        source="demo" if kind == "demo" else "policy",
                        intended=None if action is intended else intended,
                    )
                )
                self.helped += driven and kind == "train"
            observation = following
        self.operator.end_episode(self.cell.success, kind)
        self.episodes += kind != "eval"
        self.stood_still += not self.cell.success and max(speeds[-10:]) < STILL
        return bool(self.cell.success)

    def _act(self, observation: Any, kind: EpisodeKind) -> np.ndarray:
        config = self.learner.config
        if kind == "train" and self.learner.real_steps < config.training_starts and not config.updates_before:
            return self.rng.uniform(-1.0, 1.0, 7)
        return self.actor.act(observation, deterministic=kind == "eval")[0]

    def _learn(self, transition: Transition) -> None:
        self.learner.add(transition)
        self.seq += 1
        if transition.source == "demo" or not self.learner.ready:
            return
        for _ in range(self.learner.config.utd):
            self.learner.update()
        if self.learner.real_steps % self.settings.run.lag == 0:
            self.actor.load(self.learner.actor_state())

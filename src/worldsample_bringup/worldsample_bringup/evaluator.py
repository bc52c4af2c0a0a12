"""The process that evaluates a policy beside its training, in a simulator of its own.

See :mod:`worldsample_policy.acting.evaluation_beside` for what it reads and answers. Scenes, actions and what
ends an episode are those of an evaluation in the run's own cell.

    python -m worldsample_bringup.evaluator --config runs/NAME/config.yaml
"""

from __future__ import annotations

import worldsample_core.node.quiet_imports  # noqa: F401

# isort: split
import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file

from a1x_sim.cell import Cell
from worldsample_core.config import from_mapping
from worldsample_core.messages.training_pictures import TrainingPictures
from worldsample_core.node.quiet_imports import imports_are_done
from worldsample_core.observation import Observation
from worldsample_core.settings import Settings, load_settings
from worldsample_policy.acting.actor import Actor
from worldsample_policy.acting.evaluation_pictures import EvaluationPictures
from worldsample_policy.acting.rollout import executable
from worldsample_policy.learner_config import LearnerConfig


class Evaluator:
    """A cell, and a policy that acts in it as told."""

    def __init__(self, settings: Settings) -> None:
        """Raises ConfigError, NoRenderer."""
        run = settings.run
        lines = int(settings.sim["rendered_lines"])
        self._black, self._mean, self._task = run.black_images, run.evaluates_mean, settings.task
        self._training = TrainingPictures(settings)
        shape = settings.camera_shape
        self._cell = Cell(self._task.name, shape, run.seed, self._task, rendered_lines=lines)
        self._actor = Actor(from_mapping(LearnerConfig, settings.learner, "learner"), self._task)
        self._loaded = ""
        self._pictures = EvaluationPictures(run.path, self._task.control_period)

    def episode(self, weights: str, seed: int, max_steps: int, real_steps: int) -> tuple[bool, int]:
        """Run one evaluation episode. Returns success and control steps.

        Args:
            weights: file of the actor's weights.
            seed: of the reset.
            max_steps: control steps after which it is truncated.
            real_steps: behind the weights; the name of its pictures.

        Raises:
            OSError, ValueError: the weights cannot be used.
        """
        if weights != self._loaded:
            self._actor.load(load_file(weights))
            self._loaded = weights
        self._actor.seed(seed)
        observation, steps = self._training.seen(self._cell.reset(seed)), 0
        self._pictures.add(observation.images)
        while steps < max_steps and not self._cell.success:
            action, _ = self._actor.act(self._seen(observation), self._mean)
            observation = self._training.seen(self._cell.step(executable(action, self._task)))
            self._pictures.add(observation.images)
            steps += 1
            if not self._cell.success and self._cell.task.failed(self._cell.state()):
                break
        self._pictures.end(real_steps, seed, self._cell.success)
        return bool(self._cell.success), steps

    def _seen(self, observation: Observation) -> Observation:
        if not self._black:
            return observation
        return Observation(np.zeros_like(observation.images), observation.proprio, observation.stamp)


def serve(evaluator: Evaluator, lines: Any, answers: Any) -> None:
    """Answer each line of ``lines`` with a line to ``answers``, until there are no more."""
    for line in lines:
        job = json.loads(line)
        numbers = (int(job[name]) for name in ("seed", "max_steps", "real_steps"))
        success, steps = evaluator.episode(job["weights"], *numbers)
        answers.write(json.dumps({"id": job["id"], "success": success, "steps": steps}) + "\n")
        answers.flush()


def main(arguments: list[str] | None = None) -> int:
    """Run the process. Returns 0 once its standard input has ended."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--config", type=Path, required=True, help="the run's config.yaml")
    config = parser.parse_args(arguments).config
    imports_are_done()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not read as an answer
    torch.set_num_threads(1)
    serve(Evaluator(load_settings(config)), sys.stdin, answers)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The whole method on a small problem whose goal only the images tell.

The method solves it, and does not solve it with black images.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from worldsample_core.observation import Observation
from worldsample_core.transition import Transition
from worldsample_policy.acting.actor import Actor
from worldsample_policy.learning.learner import Learner
from worldsample_policy.tiny_learner import SIZE, make_task, tiny_config

HORIZON, STEP, RADIUS = 10, 0.2, 0.12


class Reach:
    """A point at `position` (proprioception) in the unit square is to reach a square drawn in both views."""

    def __init__(self, black: bool) -> None:
        self.black = black

    def reset(self, rng: np.random.Generator) -> Observation:
        self.position, self.goal = np.full(2, 0.5), rng.uniform(0.1, 0.9, 2)
        return self.observe()

    def observe(self) -> Observation:
        images = np.zeros((2, SIZE, SIZE, 3), np.uint8)
        if not self.black:
            row, column = (self.goal * SIZE).astype(int)
            images[:, max(row - 3, 0) : row + 3, max(column - 3, 0) : column + 3] = (200, 120, 40)
        proprio = np.zeros(10, np.float32)
        proprio[:2] = self.position
        return Observation(images, proprio)

    def expert(self) -> npt.NDArray[np.float32]:
        action = np.zeros(7, np.float32)
        action[:2] = np.clip((self.goal - self.position) / STEP, -1, 1)
        return action

    def step(self, action: npt.NDArray[np.float32]) -> tuple[Observation, bool]:
        self.position = np.clip(self.position + STEP * action[:2], 0, 1)
        return self.observe(), bool(np.linalg.norm(self.position - self.goal) < RADIUS)


def success_rate(black: bool, real_steps: int) -> float:
    config = tiny_config(
        encoder="autoencoder",
        encoder_steps=60,
        bottleneck=32,
        hidden=64,
        batch_size=64,
        training_starts=50,
        augmentations=4,
        latent_noise=1.0,
        lr=1e-3,
    )
    task = make_task(active=(True, True, False, False, False, False, False))
    learner, actor, cell = Learner(config, task), Actor(config, task), Reach(black)
    rng, seq = np.random.default_rng(0), 0

    def episode(number: int, demo: bool) -> None:
        nonlocal seq
        observation = cell.reset(rng)
        helped = not demo and rng.random() < 0.3
        for step in range(HORIZON):
            intervention = helped and step >= 3
            action = cell.expert() if demo or intervention else actor.act(observation)[0]
            following, success = cell.step(action)
            learner.add(
                Transition(
                    observation,
                    action,
                    float(success),
                    following,
                    success,
                    step == HORIZON - 1 and not success,
                    success,
                    intervention,
                    seq,
                    number,
                    step,
                    "demo" if demo else "policy",
                )
            )
            seq, observation = seq + 1, following
            if not demo and learner.ready:
                for _ in range(config.utd):
                    learner.update()
            if success:
                return

    for number in range(20):
        episode(number, demo=True)
    learner.adapt_encoder()
    actor.load(learner.actor_state())
    number = 20
    while learner.real_steps < real_steps:
        episode(number, demo=False)
        actor.load(learner.actor_state())
        number += 1
    successes, evaluation = 0, np.random.default_rng(1)
    for _ in range(50):
        observation = cell.reset(evaluation)
        for _ in range(HORIZON):
            observation, success = cell.step(actor.act(observation, deterministic=True)[0])
            if success:
                successes += 1
                break
    return successes / 50


@pytest.mark.slow
@pytest.mark.parametrize("black", [False, True])
def test_reach_is_learned_from_the_images(black: bool) -> None:
    rate = success_rate(black, real_steps=400 if black else 1200)
    assert rate <= 0.5 if black else rate >= 0.8, rate

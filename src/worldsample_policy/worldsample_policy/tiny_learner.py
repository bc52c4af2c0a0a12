"""Everything tiny, and random data: for tests and benchmarks of the learner."""

from __future__ import annotations

import numpy as np

from worldsample_core.config import TaskConfig
from worldsample_core.observation import Observation
from worldsample_core.synthetic import SyntheticSegment
from worldsample_core.transition import Source, Transition
from worldsample_policy.learner_config import LearnerConfig

SIZE = 32


def make_task(
    active: tuple[bool, ...] = (True, True, False, False, False, False, True), gamma: float = 0.9
) -> TaskConfig:
    return TaskConfig(
        name="test",
        horizon=20,
        gamma=gamma,
        active=active,  # type: ignore[arg-type]
        action_scale=(0.01,) * 7,  # type: ignore[arg-type]
        box_low=(0.0, -0.3, 0.0),
        box_high=(0.6, 0.3, 0.5),
        reset_joints=(0.0,) * 6,
        reset_gripper=1.0,
        max_real_steps=1000,
    )


def tiny_config(**changes: object) -> LearnerConfig:
    values: dict[str, object] = {
        "image_size": SIZE,
        "latent_size": 4,
        "latent_channels": 4,
        "encoder_width": 8,
        "encoder_steps": 5,
        "encoder_batch": 8,
        "augmentations": 2,
        "bottleneck": 8,
        "proprio_features": 8,
        "hidden": 16,
        "batch_size": 16,
        "training_starts": 4,
        "encoder": "random",
    }
    return LearnerConfig(**{**values, **changes})  # type: ignore[arg-type]


def make_observation(rng: np.random.Generator, size: int = SIZE) -> Observation:
    return Observation(
        rng.integers(0, 256, (2, size, size, 3), dtype=np.uint8), rng.uniform(0, 1, 10).astype(np.float32)
    )


def make_episode(
    rng: np.random.Generator,
    steps: int,
    *,
    episode: int = 0,
    first_seq: int = 0,
    source: Source = "policy",
    size: int = SIZE,
    interventions: tuple[int, ...] = (),
) -> list[Transition]:
    """Contiguous transitions: the next observation of a step is the observation of the step after it."""
    observations = [make_observation(rng, size) for _ in range(steps + 1)]
    return [
        Transition(
            observation=observations[k],
            action=rng.uniform(-1, 1, 7).astype(np.float32),
            reward=float(k == steps - 1),
            next_observation=observations[k + 1],
            terminated=k == steps - 1,
            truncated=False,
            success=k == steps - 1,
            intervention=k in interventions,
            seq=first_seq + k,
            episode=episode,
            step=k,
            source=source,
        )
        for k in range(steps)
    ]


def make_imagined(
    rng: np.random.Generator, task: TaskConfig, size: int, success: bool, steps: int = 8
) -> SyntheticSegment:
    """A random imagined segment in the middle of the workspace. size: pixels."""
    proprio = np.zeros((steps + 1, 10), np.float32)
    proprio[:, :3] = 0.5 * (np.asarray(task.box_low) + np.asarray(task.box_high))
    rewards = np.zeros(steps, np.float32)
    rewards[-1] = success
    return SyntheticSegment(
        images=rng.integers(0, 255, (steps + 1, 2, size, size, 3), np.uint8),
        proprio=proprio,
        actions=(rng.uniform(-1, 1, (steps, 7)) * task.active_mask).astype(np.float32),
        rewards=rewards,
        terminated=rewards > 0,
        uncertainty=np.full(steps, 0.01, np.float32),
        success_probability=np.full(steps, float(success), np.float32),
        success=success,
        source_episode=1,
        source_step=2,
        world_model_version=1,
    )

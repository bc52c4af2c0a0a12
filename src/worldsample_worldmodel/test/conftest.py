"""Tests run on one thread, on tiny models and on episodes made of numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from worldsample_worldmodel.data.episodes import Episode
    from worldsample_worldmodel.model.world_model_config import WorldModelConfig

from worldsample_core.config import TaskConfig


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    import torch  # only here: it takes seconds, also where tests are listed only

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def tiny() -> WorldModelConfig:
    """32x32 frames, the smallest network."""
    from worldsample_worldmodel.model.world_model_config import WorldModelConfig

    return WorldModelConfig(
        image_size=32, width=8, latent=16, members=2, flow_modes=2, keypoints=2, horizon=4, batch=4,
        frames_per_segment=2, warmup=1, autocast=False,
    )  # fmt: skip


@pytest.fixture
def free_task() -> TaskConfig:
    """Three translations."""
    return TaskConfig(
        name="free", horizon=12, gamma=0.9, active=(True, True, True) + (False,) * 4,
        action_scale=(0.012,) * 7, box_low=(0.19, -0.15, 0.165), box_high=(0.41, 0.15, 0.28),
        reset_joints=(0.0, 1.7326, -1.4204, 1.2586, 0.0, 0.0), reset_gripper=0.0, max_real_steps=100,
    )  # fmt: skip


def moving_square(number: int, steps: int = 12, success: bool = True, demo: bool = False) -> Episode:
    """An episode in which a bright square goes right with the action, and succeeds on the right.

    The wrist view moves the other way.
    """
    from worldsample_worldmodel.data.episodes import Episode

    rng = np.random.default_rng((number, int(demo)))
    side = 32
    actions = np.zeros((steps, 7), np.float32)
    actions[:, 0] = rng.uniform(0.5, 1.0, steps) * (1.0 if success else -0.3)
    proprio = np.zeros((steps + 1, 10), np.float32)
    proprio[:, 0] = 0.3 + np.concatenate([[0.0], np.cumsum(actions[:, 0]) * 0.012])
    images = np.full((steps + 1, 2, side, side, 3), 60, np.uint8)
    row = int(rng.integers(4, 20))
    for frame in range(steps + 1):
        column = int(np.clip(4 + (proprio[frame, 0] - 0.3) * 150, 0, side - 8))
        images[frame, 0, row : row + 8, column : column + 8] = (200, 80, 40)
        images[frame, 1, row : row + 8, side - 8 - column : side - column] = (40, 80, 200)
    return Episode(images, proprio, actions, success, number, demo)


@pytest.fixture
def episodes() -> list[Episode]:
    """Eight successes and four failures."""
    return [moving_square(i, success=i % 3 != 2) for i in range(12)]

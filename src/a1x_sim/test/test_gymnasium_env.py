"""The cell as a ``gymnasium.Env``: what others' learners expect of one, and the cell's own episodes."""

from __future__ import annotations

import time
import warnings

import numpy as np
import pytest

pytest.importorskip("gymnasium", reason="the optional package gymnasium is not installed")
import gymnasium
from gymnasium.utils.env_checker import check_env

from a1x_sim.cell import Cell
from a1x_sim.gymnasium_env import CellEnv, environment_id
from a1x_sim.tasks import TASKS
from worldsample_core.config import ConfigError
from worldsample_core.observation import InvalidObservation


def test_ids_are_the_tasks() -> None:
    assert [environment_id(task) for task in TASKS] == [
        "A1X/Pushing-v0", "A1X/Insertion-v0", "A1X/Sorting-v0", "A1X/PickPlace-v0", "A1X/Assembly-v0",
    ]  # fmt: skip


@pytest.mark.parametrize("task", TASKS)
def test_check_env_passes_without_a_warning(task: str) -> None:
    env = gymnasium.make(f"a1x_sim.gymnasium_env:{environment_id(task)}", render_mode="rgb_array")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped)
    env.close()


def test_an_episode_is_that_of_the_cell() -> None:
    env, cell = CellEnv("pushing", image_size=(48, 64)), Cell("pushing", (48, 64))
    seen, info = env.reset(seed=0, options={"scene": 7})
    expected = cell.reset(7)
    assert info == {"is_success": False, "scene": 7}
    done = False
    while not done:
        np.testing.assert_array_equal(np.stack([seen["side"], seen["wrist"]]), expected.images)
        np.testing.assert_array_equal(seen["proprio"], expected.proprio)
        assert env.observation_space.contains(seen)
        action = cell.task.expert(cell.state()).astype(np.float32)
        expected = cell.step(action)
        seen, reward, done, truncated, info = env.step(action)
        assert reward == cell.success == done == info["is_success"] and not truncated
    env.close()
    cell.close()


def test_it_is_truncated_at_the_horizon_and_a_failure_terminates_it() -> None:
    env = CellEnv("sorting", images=False)
    env.reset(seed=0)
    steps, ended = 0, (False, False)
    while not any(ended):
        *_, terminated, truncated, _ = env.step(np.zeros(7, np.float32))
        steps, ended = steps + 1, (terminated, truncated)
    assert ended == (False, True) and steps == env.cell.config.horizon
    env.reset()
    env.cell.task.failed = lambda state: True  # type: ignore[method-assign]
    _, reward, terminated, truncated, info = env.step(np.zeros(7, np.float32))
    assert (reward, terminated, truncated, info["is_success"]) == (0.0, True, False, False)


def test_equal_seeds_give_equal_scenes_and_one_seed_gives_different_ones() -> None:
    env = CellEnv("sorting", images=False)
    first = [env.reset(seed=3)[1]["scene"], *(env.reset()[1]["scene"] for _ in range(3))]
    again = [env.reset(seed=3)[1]["scene"], *(env.reset()[1]["scene"] for _ in range(3))]
    assert first == again and len(set(first)) == 4
    assert not env.reset(seed=3)[0]["side"].any()  # images=False


def test_it_shows_both_views() -> None:
    env = CellEnv("assembly", render_mode="rgb_array")
    env.reset(seed=1)
    picture = env.render()
    assert picture is not None and picture.shape == (256, 512, 3) and picture.std() > 10
    env.close()
    with pytest.raises(ValueError, match="rgb_array"):
        CellEnv(render_mode="human")


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(ConfigError, match="pick_place"):
        CellEnv("pick-place")
    env = CellEnv(images=False)
    env.reset(seed=0)
    with pytest.raises(InvalidObservation, match="non-finite"):
        env.step(np.full(7, np.nan, np.float32))


@pytest.mark.alone
@pytest.mark.parametrize(("images", "least"), [(True, 20), (False, 100)])
def test_speed(images: bool, least: int) -> None:
    env = CellEnv(images=images)
    env.reset(seed=0)
    env.action_space.seed(0)
    began = time.perf_counter()
    for _ in range(60):
        *_, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated or truncated:
            env.reset()
    assert 60 / (time.perf_counter() - began) > least
    env.close()

"""The simulated cell: repeatable, bounded, solvable by looking, not solvable blind."""

import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from a1x_sim.cell import Cell
from a1x_sim.tasks import TASKS, make_task
from worldsample_core.config import ConfigError
from worldsample_core.observation import InvalidObservation


@pytest.fixture(scope="module")
def seeing() -> Iterator[Cell]:
    cell = Cell("pushing", image_size=64)
    yield cell
    cell.close()


@pytest.fixture(scope="module")
def quick() -> Cell:
    return Cell("pushing", render=False)


def solves(cell: Cell, seed: int, act: Callable[[Cell], np.ndarray]) -> bool:
    cell.reset(seed)
    for _ in range(cell.config.horizon):
        cell.step(act(cell))
        if cell.success:
            return True
    return False


def expert(cell: Cell) -> np.ndarray:
    return cell.task.expert(cell.state())


def blind(cell: Cell) -> np.ndarray:
    """The expert, if the toaster always stood in the middle of where it may stand."""
    x, y = cell.task.centre  # type: ignore[attr-defined]
    return cell.task.expert({**cell.state(), "bread_x": x, "bread_y": y, "bread_yaw": 0.0})


def test_observation_is_what_the_contract_says(seeing: Cell) -> None:
    observation = seeing.reset(1).validate()
    assert observation.images.shape == (2, 64, 64, 3)
    np.testing.assert_allclose(observation.proprio[:3], seeing.ee_pose()[0], atol=1e-5)
    np.testing.assert_allclose(observation.proprio[3:6], 0, atol=2e-3)
    assert observation.proprio[6] == 0.0
    np.testing.assert_array_equal(observation.proprio[7:], 0)
    after = seeing.step([1, 0, 0, 0, 0, 0, 0])
    np.testing.assert_allclose(
        after.proprio[7:], (after.proprio[:3] - observation.proprio[:3]) / 0.1, atol=1e-4
    )
    assert after.stamp == pytest.approx(0.1)


def test_same_seed_same_pictures_and_motion(seeing: Cell) -> None:
    actions = np.random.default_rng(0).uniform(-1, 1, (15, 7))

    def episode(seed: int) -> tuple[np.ndarray, np.ndarray]:
        observations = [seeing.reset(seed), *(seeing.step(action) for action in actions)]
        return np.stack([o.images for o in observations]), np.stack([o.proprio for o in observations])

    first, other, again = episode(5), episode(6), episode(5)
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert np.any(first[0] != other[0])
    fresh = Cell("pushing", image_size=64, seed=5)
    observations = [fresh.reset(5), *(fresh.step(action) for action in actions)]
    np.testing.assert_array_equal(first[0], np.stack([o.images for o in observations]))
    fresh.close()


def test_moving_the_bread_shows_in_both_views(seeing: Cell) -> None:
    before = seeing.reset(3).images.astype(int)
    seeing.model.body("toaster").pos[:2] += 0.01
    after = seeing.step(np.zeros(7)).images.astype(int)
    for view in range(2):
        assert (np.abs(after[view] - before[view]).sum(-1) > 60).sum() > 40


def test_other_sizes() -> None:
    cell = Cell("pushing", image_size=(48, 96))
    assert cell.reset(0).images.shape == (2, 48, 96, 3)
    assert cell.render(120, 160).shape == (2, 120, 160, 3)
    cell.close()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(*[st.floats(-1e6, 1e6)] * 7), min_size=1, max_size=4), st.integers(0, 2**32))
def test_the_workspace_box_is_never_left(quick: Cell, actions: list[tuple[float, ...]], seed: int) -> None:
    quick.reset(seed)
    low, high = np.asarray(quick.config.box_low), np.asarray(quick.config.box_high)
    for action in actions:
        for _ in range(12):
            proprio = quick.step(action).proprio
            assert np.all(proprio[:3] > low - 0.005) and np.all(proprio[:3] < high + 0.005)
            assert np.linalg.norm(proprio[3:6]) < 0.3  # leaning on the toaster bends the wrist a little


def test_at_box_limit_is_reported(quick: Cell) -> None:
    quick.reset(0)
    quick.step(np.zeros(7))
    assert not quick.at_box_limit
    for _ in range(20):
        quick.step([0, 1, 0, 0, 0, 0, 0])
    assert quick.at_box_limit


@pytest.mark.parametrize(
    "bad", [np.full(7, np.nan), [np.inf, 0, 0, 0, 0, 0, 0], np.zeros(6), np.zeros((2, 7))]
)
def test_unusable_actions_move_nothing(quick: Cell, bad: object) -> None:
    quick.reset(0)
    before = quick.data.qpos.copy()
    with pytest.raises(InvalidObservation):
        quick.step(bad)  # type: ignore[arg-type]
    np.testing.assert_array_equal(quick.data.qpos, before)


def test_inactive_dimensions_do_nothing(quick: Cell) -> None:
    quick.reset(0)
    before = quick.ee_pose()
    for _ in range(5):
        quick.step([0, 0, 0, 1, -1, 1, 1])
    np.testing.assert_allclose(quick.ee_pose()[0], before[0], atol=1e-3)
    np.testing.assert_allclose(quick.ee_pose()[1], before[1], atol=2e-3)
    assert quick.gripper()[0] < 0.01


def test_expert_succeeds(quick: Cell) -> None:
    assert all(solves(quick, seed, expert) for seed in range(15))


def test_blind_policy_fails(quick: Cell) -> None:
    assert np.mean([solves(quick, seed, blind) for seed in range(60)]) < 0.25


def test_random_policy_fails(quick: Cell) -> None:
    rng = np.random.default_rng(0)
    assert not any(solves(quick, seed, lambda _: rng.uniform(-1, 1, 7)) for seed in range(8))


def test_the_spring_needs_sustained_pressing(quick: Cell) -> None:
    quick.reset(2)
    while quick.state()["bread_depth"] < 0.02:
        quick.step(expert(quick))
    for _ in range(12):
        quick.step([0, 0, 1, 0, 0, 0, 0])
    assert quick.state()["bread_depth"] < 0.005
    assert not quick.success


def test_potential_grows_towards_success(quick: Cell) -> None:
    quick.reset(4)
    potentials = [quick.task.potential(quick.state())]
    while not quick.success:
        quick.step(expert(quick))
        potentials.append(quick.task.potential(quick.state()))
    assert potentials[0] < 0.3 and potentials[-1] > 0.95
    assert all(0.0 <= value <= 1.0 for value in potentials)
    assert np.all(np.diff(potentials) > -0.05)


def test_unknown_task_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="pushing"):
        make_task("puhsing")
    assert set(TASKS) >= {"pushing"}


@pytest.mark.alone
def test_speed(seeing: Cell) -> None:
    seeing.reset(0)
    began = time.perf_counter()
    for _ in range(50):
        seeing.step(np.zeros(7))
    assert (
        50 / (time.perf_counter() - began) > 30
    )  # hundreds on an idle machine; shadows alone would cost 20 x

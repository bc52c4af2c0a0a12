"""Every task is learnable: a person solves it, chance and memory do not, the cameras show what matters."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from a1x_sim.cell import Cell
from a1x_sim.operator import ScriptedOperator
from a1x_sim.tasks import TASKS

Policy = Callable[[Cell], np.ndarray]
NOT_DRAWN = {"ee_x", "ee_y", "ee_z", "gripper", "time", "success", "fingers"}
"""Keys of the state that do not describe the drawn scene."""
BODIES = {
    "pushing": ("toaster",),
    "insertion": ("socket",),
    "sorting": ("part", "bin_cube", "bin_cylinder"),
    "pick_place": ("part", "tray"),
    "assembly": ("part", "fixture"),
}
"""State that a policy must see to solve the task."""


@pytest.fixture(scope="module", params=TASKS)
def cell(request: pytest.FixtureRequest) -> Cell:
    return Cell(request.param, render=False)


@pytest.fixture(scope="module", params=TASKS)
def seeing(request: pytest.FixtureRequest) -> Iterator[Cell]:
    cell = Cell(request.param, image_size=64)
    yield cell
    cell.close()


def solves(cell: Cell, seed: int, policy: Policy) -> bool:
    cell.reset(seed)
    for _ in range(cell.config.horizon):
        cell.step(policy(cell))
        if cell.success or cell.task.failed(cell.state()):
            break
    return cell.success


def expert(cell: Cell) -> np.ndarray:
    return cell.task.expert(cell.state())


def test_a_person_succeeds_within_the_horizon(cell: Cell) -> None:
    operator = ScriptedOperator(cell.task)

    def person(cell: Cell) -> np.ndarray:
        return operator.act(cell.state(), "demo").action

    def demonstrates(seed: int) -> bool:
        operator.start_episode(seed)
        return solves(cell, seed, person)

    assert sum(demonstrates(seed) for seed in range(10)) >= 9


def test_chance_does_not_solve_it(cell: Cell) -> None:
    rng = np.random.default_rng(0)
    assert not any(solves(cell, seed, lambda _: rng.uniform(-1, 1, 7)) for seed in range(4))


def test_the_average_scene_is_no_substitute_for_looking(cell: Cell) -> None:
    """The expert, if everything started where it does on average, and moved from there as it really moves."""
    scenes = []
    for seed in range(100, 130):
        cell.reset(seed)
        scenes.append(cell.state())
    average = {key: np.mean([scene[key] for scene in scenes]) for key in scenes[0].keys() - NOT_DRAWN}
    solved = 0
    for seed in range(10):
        cell.reset(seed)
        first = cell.state()

        def blind(cell: Cell, first: dict[str, float] = first) -> np.ndarray:
            state = cell.state()
            return cell.task.expert(state | {key: state[key] + average[key] - first[key] for key in average})

        solved += solves(cell, seed, blind)
    assert solved <= 3


def test_potential_rises_from_start_to_success(cell: Cell) -> None:
    for seed in range(3):
        cell.reset(seed)
        potentials = [cell.task.potential(cell.state())]
        while not cell.success and cell.steps < cell.config.horizon:
            cell.step(expert(cell))
            potentials.append(cell.task.potential(cell.state()))
        assert cell.success
        assert potentials[0] < 0.35 and potentials[-1] > 0.95
        assert all(0.0 <= value <= 1.0 for value in potentials)
        assert np.all(np.diff(potentials) > -0.08), "the operator would think that it went wrong"


def test_a_seed_is_an_episode(seeing: Cell) -> None:
    actions = np.random.default_rng(1).uniform(-1, 1, (12, 7))

    def episode(cell: Cell, seed: int) -> tuple[np.ndarray, dict[str, float]]:
        images = [cell.reset(seed).images, *(cell.step(action).images for action in actions)]
        return np.stack(images), cell.state()

    first, other, again = episode(seeing, 7), episode(seeing, 8), episode(seeing, 7)
    fresh = Cell(seeing.task.name, image_size=64, seed=3)
    for images, state in (again, episode(fresh, 7)):
        np.testing.assert_array_equal(images, first[0])
        assert state == first[1]
    fresh.close()
    assert np.any(first[0] != other[0])


def test_what_matters_is_always_in_the_side_view(seeing: Cell) -> None:
    """Moved by 2 cm, each object changes the picture clearly, wherever the scene was drawn."""
    model, data = seeing.model, seeing.data
    for seed in range(4):
        for body in BODIES[seeing.task.name]:
            before = seeing.reset(seed).images.astype(int)
            address = int(model.body(body).jntadr[0])
            if address < 0:
                model.body_pos[model.body(body).id, 1] += 0.02
            else:
                data.qpos[model.jnt_qposadr[address] + 1] += 0.02
            after = seeing.step(np.zeros(7)).images.astype(int)
            changed = (np.abs(after[0] - before[0]).sum(-1) > 60).sum()
            assert changed >= 12, f"{body} is hardly to be seen (seed {seed}: {changed} pixels)"


def test_the_workspace_holds_the_start_and_what_is_drawn(cell: Cell) -> None:
    low, high = np.asarray(cell.config.box_low), np.asarray(cell.config.box_high)
    for seed in range(30):
        cell.reset(seed)
        assert not cell.task.failed(cell.state()) and not cell.task.solved(cell.state())
        at = cell.ee_pose()[0]
        assert np.all(at > low - 0.002) and np.all(at < high + 0.002), "the arm starts inside its box"
        cell.step(np.zeros(7))
        assert not cell.at_joint_limit
        assert np.abs(cell.data.qvel).max() < 0.5, "objects lie still: nothing starts inside something else"


def test_a_step_of_physics_is_cheap(cell: Cell) -> None:
    """About 1 ms; contacts that explode in number, or a solver that does not converge, cost far more."""
    fastest = np.inf
    for seed in range(3):
        cell.reset(seed)
        began = time.process_time()
        for _ in range(20):
            cell.step(expert(cell))
        fastest = min(fastest, (time.process_time() - began) / 20)
    assert fastest < 0.005

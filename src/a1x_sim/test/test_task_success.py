"""Success and failure mean what they say: nothing that only looks like a solved task counts."""

from __future__ import annotations

import numpy as np
import pytest

from a1x_sim.cell import Cell
from a1x_sim.tasks.insertion import CLEARANCE, GOAL_DEPTH, SOCKET_HEIGHT
from a1x_sim.tasks.picking import Picking
from a1x_sim.tasks.sorting import KINDS


def cell_of(name: str) -> Cell:
    return Cell(name, render=False)


def drive(cell: Cell, x: float, y: float, z: float, gripper: float, steps: int) -> None:
    """Towards a point of the end effector, at full speed."""
    scale = np.asarray(cell.config.action_scale[:3])
    for _ in range(steps):
        offset = np.array([x, y, z]) - cell.ee_pose()[0]
        cell.step([*np.clip(0.8 * offset / scale, -1, 1), 0, 0, 0, gripper])


def grasp(cell: Cell) -> None:
    """Let the expert work until the part is off the table."""
    task = cell.task
    assert isinstance(task, Picking)
    while not (task.held(cell.state()) and cell.state()["part_z"] > 0.04):
        cell.step(task.expert(cell.state()))
        assert cell.steps < cell.config.horizon, "the part was not grasped"


# -- grasping --


@pytest.mark.parametrize("name", ["pick_place", "sorting", "assembly"])
def test_a_grasp_holds_while_the_arm_is_shaken(name: str) -> None:
    cell = cell_of(name)
    rng = np.random.default_rng(0)
    for seed in range(3):
        cell.reset(seed)
        grasp(cell)
        part = [cell.state()[f"part_{axis}"] - cell.state()[f"ee_{axis}"] for axis in "xyz"]
        for _ in range(25):
            cell.step([*rng.uniform(-1, 1, 2), rng.uniform(-0.2, 1), 0, 0, 0, -1])
        now = [cell.state()[f"part_{axis}"] - cell.state()[f"ee_{axis}"] for axis in "xyz"]
        np.testing.assert_allclose(now, part, atol=0.004)


def test_a_part_falls_when_the_gripper_opens() -> None:
    cell = cell_of("pick_place")
    cell.reset(0)
    grasp(cell)
    for _ in range(6):
        cell.step([0, 0, 0, 0, 0, 0, 1])
    assert cell.state()["part_z"] < 0.025 and cell.state()["fingers"] == 0


# -- pick and place --


def test_a_block_in_the_tray_counts_when_it_is_let_go() -> None:
    cell = cell_of("pick_place")
    cell.reset(1)
    while not cell.task.placed(cell.state()):  # type: ignore[attr-defined]
        action = cell.task.expert(cell.state())
        if cell.task.held(cell.state()):  # type: ignore[attr-defined]
            action[6] = -1.0
            if action[:3].any() == 0:
                action[2] = -0.3
        cell.step(action)
        assert cell.steps < 80
    for _ in range(4):
        cell.step([0, 0, 0, 0, 0, 0, -1])
    assert not cell.success, "it is still held"
    for _ in range(6):
        cell.step([0, 0, 0.3, 0, 0, 0, 1])
    assert cell.success


@pytest.mark.parametrize("offset", [(0.0, 0.062), (0.05, 0.0), (0.08, 0.0)])
def test_a_block_on_the_rim_or_beside_the_tray_does_not_count(offset: tuple[float, float]) -> None:
    cell = cell_of("pick_place")
    cell.reset(0)
    cell.model.body("tray").pos[:2] = (0.26, 0.0)
    cell.model.body("tray").quat[:] = (1.0, 0.0, 0.0, 0.0)
    cell.task.put(cell.data, 0.26 + offset[0], offset[1], 0.0)  # type: ignore[attr-defined]
    cell.data.qpos[cell.model.joint("part").qposadr[0] + 2] += 0.024
    drive(cell, 0.22, 0.0, 0.19, 1, 15)
    assert not cell.success
    cell.task.put(cell.data, 0.27, 0.01, 0.0)  # type: ignore[attr-defined]
    cell.data.qpos[cell.model.joint("part").qposadr[0] + 2] += 0.024
    drive(cell, 0.22, 0.0, 0.19, 1, 6)
    assert cell.success, "in the tray it does"


# -- sorting --


def test_the_wrong_bin_ends_the_episode_without_success() -> None:
    cell = cell_of("sorting")
    for seed in range(4):
        cell.reset(seed)
        while not cell.task.failed(cell.state()):
            cell.step(cell.task.expert({**cell.state(), "kind": 1.0 - cell.state()["kind"]}))
            assert not cell.success
            assert cell.steps < cell.config.horizon


def test_kinds_are_drawn_evenly_and_can_be_told_apart_in_both_views() -> None:
    cell = Cell("sorting", image_size=64)
    drawn = []
    for seed in range(100):
        cell.task.randomise(cell.model, cell.data, np.random.default_rng(seed))
        drawn.append(cell.task.state(cell.model, cell.data)["kind"])
    assert 35 < sum(drawn) < 65
    for seed in range(6):
        before = cell.reset(seed).images.astype(int)
        shapes = [cell.model.geom(kind).id for kind in KINDS]
        cell.model.geom_group[shapes] = cell.model.geom_group[shapes[::-1]]  # the other kind in its place
        after = cell.step(np.zeros(7)).images.astype(int)
        changed = (np.abs(after - before).max(-1) > 80).sum((1, 2))
        assert changed[0] >= 6 and changed[1] >= 12, f"side and wrist differ in {changed} pixels only"
    cell.close()


def test_the_hidden_shape_does_not_collide() -> None:
    cell = cell_of("sorting")
    for seed in range(8):
        cell.reset(seed)
        cell.step(np.zeros(7))
        kind = int(cell.state()["kind"])
        there, hidden = (cell.model.geom(KINDS[k]).id for k in (kind, 1 - kind))
        touching = cell.data.contact.geom.ravel()
        assert there in touching and hidden not in touching


# -- insertion --


def press(cell: Cell, dx: float, dy: float, steps: int = 40) -> float:
    """Press the plug down ``dx, dy`` (m) beside the hole's middle; the depth reached, m."""
    x, y = cell.state()["socket_x"] + dx, cell.state()["socket_y"] + dy
    drive(cell, x, y, 0.185, 0, 25)
    drive(cell, x, y, 0.13, 0, steps)
    return SOCKET_HEIGHT - cell.state()["plug_z"]


def test_the_hole_takes_what_is_within_its_tolerance_only() -> None:
    cell = cell_of("insertion")
    for dx, dy in ((0.0, 0.0), (0.6 * CLEARANCE, 0.0), (0.0, -0.6 * CLEARANCE)):
        cell.reset(0)
        assert press(cell, dx, dy) > GOAL_DEPTH and cell.success
    for dx, dy in ((0.003, 0.0), (-0.003, 0.0), (0.0, 0.003), (0.0, -0.003), (0.003, 0.003)):
        cell.reset(0)
        assert press(cell, dx, dy) < 0.004 and not cell.success


def test_a_plug_beside_the_socket_is_not_in_it() -> None:
    cell = cell_of("insertion")
    cell.reset(0)
    assert press(cell, 0.0, 0.05) > GOAL_DEPTH
    assert not cell.success


# -- assembly --


def test_the_cap_must_be_let_go_and_pressed_home() -> None:
    cell = cell_of("assembly")
    for seed in range(3):
        cell.reset(seed)
        while not cell.task.placed(cell.state()) or cell.state()["fingers"]:  # type: ignore[attr-defined]
            cell.step(cell.task.expert(cell.state()))
            assert cell.steps < 100
        for _ in range(6):
            cell.step([0, 0, 1, 0, 0, 0, 1])
        assert cell.state()["seat_depth"] < 0.003, "the cap's weight and its fall do not press the seat"
        assert not cell.success
        while not cell.success:
            cell.step(cell.task.expert(cell.state()))
            assert cell.steps < 100


def test_a_seat_that_is_pressed_without_the_cap_comes_up_again() -> None:
    cell = cell_of("assembly")
    cell.reset(0)
    x, y = cell.state()["fixture_x"], cell.state()["fixture_y"]
    drive(cell, x + 0.0125, y, 0.17, -1, 20)
    drive(cell, x + 0.0125, y, 0.10, -1, 15)
    assert cell.state()["seat_depth"] > 0.005 and not cell.success
    drive(cell, x + 0.0125, y, 0.17, -1, 8)
    assert cell.state()["seat_depth"] < 0.002


def test_a_cap_on_its_side_ends_the_episode() -> None:
    cell = cell_of("assembly")
    cell.reset(0)
    address = int(cell.model.jnt_qposadr[cell.model.joint("part").id])
    cell.data.qpos[address + 3 : address + 7] = [np.sqrt(0.5), np.sqrt(0.5), 0.0, 0.0]
    cell.step(np.zeros(7))
    cell.step(np.zeros(7))
    assert cell.task.failed(cell.state())

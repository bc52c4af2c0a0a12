"""Ticks of the cell without ROS: what moves it, what is held back, what is counted."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from a1x_sim.lockstep import LearnerPacing
from a1x_sim.sim_config import SimConfig
from a1x_sim.tasks import TASKS
from a1x_sim.ticking_cell import RefusedReset, TickingCell
from worldsample_core.arm.motion_command import Command

START = 1_000_000_000
PERIOD = 100_000_000


class PhysicsFree:
    """A cell that only notes what it is asked to do."""

    def __init__(self) -> None:
        self.config = TASKS["pushing"].config
        self.seeds: list[int] = []
        self.moves: list[float] = []
        self.at_box_limit = self.at_joint_limit = False

    def reset(self, seed: int) -> Any:
        self.seeds.append(seed)
        return SimpleNamespace(moves=0)

    def move(self, translation: np.ndarray, rotation: np.ndarray, gripper: int) -> Any:
        self.moves.append(float(translation[0]))
        return SimpleNamespace(moves=len(self.moves))


def lockstep(lag: int = 1000) -> TickingCell:
    pacing = LearnerPacing(lag, patience=2.0)
    return TickingCell(PhysicsFree(), SimConfig(), pacing, 7, START, now=0.0)  # type: ignore[arg-type]


def real_time() -> TickingCell:
    return TickingCell(PhysicsFree(), SimConfig(), None, 7, START, now=0.0)  # type: ignore[arg-type]


def command(stamp: int, x: float = 0.01) -> Command:
    return Command(np.array([x, 0.0, 0.0]), np.zeros(3), 0, "base_link", stamp)


def moves(ticks: TickingCell) -> list[float]:
    return ticks.cell.moves  # type: ignore[attr-defined, no-any-return]


def test_lockstep_moves_once_by_the_command_of_its_tick() -> None:
    ticks = lockstep()
    assert ticks.cell.seeds == [7]  # type: ignore[attr-defined]
    assert ticks.command(command(START - PERIOD), 0.1) == ticks.command(command(START + PERIOD), 0.1) == ""
    assert not moves(ticks) and ticks.stamp == START and not ticks.held
    assert ticks.command(command(START), 0.1) == ""
    assert moves(ticks) == [0.01] and ticks.stamp == START + PERIOD and ticks.held
    ticks.command(command(START), 0.1)
    ticks.command(command(START + PERIOD), 0.1)  # nobody can have seen that tick yet
    assert moves(ticks) == [0.01]
    assert ticks.release(0.1) and not ticks.held
    assert not ticks.release(0.1)  # a tick goes out once
    assert (ticks.applied, ticks.clipped, ticks.rejected) == (1, 0, 0)


def test_only_training_steps_are_held_for_the_learner() -> None:
    ticks = lockstep(lag=0)
    for mode, held in (("demo", False), ("eval", False), ("train", True)):
        ticks.reset("run", 1, mode, 0, now=0.0, clock=0)
        assert ticks.held and ticks.release(0.0)
        ticks.command(command(ticks.stamp), 0.0)
        assert ticks.release(0.0) is not held
    assert ticks.held and not ticks.release(1.9)
    assert ticks.pacing is not None
    ticks.pacing.learner_reports(1, False, "one step", 1.9)
    assert ticks.release(1.9)


def test_a_learner_that_does_not_move_is_waited_for_as_long_as_its_patience() -> None:
    ticks = lockstep(lag=0)
    ticks.reset("run", 1, "train", 0, now=0.0, clock=0)
    ticks.release(0.0)
    ticks.command(command(ticks.stamp), 0.0)
    assert not ticks.release(5.0) and not ticks.release(6.9)
    assert ticks.release(7.1)


def test_bad_commands_are_counted_and_complained_about_until_a_good_one() -> None:
    ticks = lockstep()
    for x in (float("nan"), float("inf"), 0.5):
        assert "command rejected" in ticks.command(command(START, x), 0.1)
    assert (ticks.rejected, ticks.applied, ticks.stamp) == (3, 0, START) and ticks.complaint
    ticks.command(command(START), 0.1)
    assert (ticks.rejected, ticks.applied, ticks.complaint) == (3, 1, "")


def test_a_step_at_the_limit_counts_as_clipped() -> None:
    ticks = lockstep()
    ticks.cell.at_box_limit = True
    ticks.command(command(START), 0.1)
    assert (ticks.applied, ticks.clipped) == (1, 1)


def test_a_reset_begins_a_tick_that_has_not_gone_out() -> None:
    ticks = lockstep()
    ticks.reset("run", 5, "eval", 3, now=0.0, clock=0)
    assert ticks.cell.seeds == [7, 5] and ticks.stamp == START + PERIOD  # type: ignore[attr-defined]
    assert (ticks.mode, ticks.episode, ticks.resets, ticks.held) == ("eval", 3, 1, True)


def test_resets_are_refused_in_an_unknown_mode_and_while_another_run_drives() -> None:
    ticks = lockstep()
    with pytest.raises(RefusedReset, match="demo, train, eval") as refusal:
        ticks.reset("run", 1, "play", 0, now=0.0, clock=0)
    assert not refusal.value.taken and ticks.resets == 0
    ticks.reset("run", 1, "train", 0, now=0.0, clock=0)
    ticks.release(0.0)
    ticks.command(command(ticks.stamp), now=3.0)
    with pytest.raises(RefusedReset, match="the run run drives") as refusal:
        ticks.reset("other", 1, "train", 0, now=7.0, clock=0)
    assert refusal.value.taken and ticks.resets == 1
    ticks.reset("other", 1, "train", 0, now=8.5, clock=0)


def test_real_time_executes_the_newest_command_once_a_period_and_then_holds() -> None:
    ticks = real_time()
    ticks.command(command(START, 0.005), 0.01)
    ticks.command(command(START, 0.01), 0.02)
    assert not moves(ticks) and not ticks.release(0.02)
    ticks.control_period(START + PERIOD)
    ticks.control_period(START + 2 * PERIOD)
    assert moves(ticks) == [0.01, 0.0] and ticks.applied == 1
    assert ticks.stamp == START + 2 * PERIOD
    ticks.control_period(START)  # the machine's clock was set back
    assert ticks.stamp == START + 2 * PERIOD + 1


def test_real_time_refuses_old_commands_and_says_that_it_holds() -> None:
    ticks = real_time()
    ticks.control_period(START + 10 * PERIOD)
    assert "1.00 s old" in ticks.command(command(START), 0.1) and ticks.rejected == 1
    assert ticks.silent_for(0.4) == 0.0 and ticks.silent_for(0.6) == 0.6
    ticks.command(command(ticks.stamp), 0.6)
    assert ticks.silent_for(1.0) == 0.0
    assert lockstep().silent_for(100.0) == 0.0  # in lockstep the world stands still


def test_a_reset_in_real_time_forgets_the_command_before_it() -> None:
    ticks = real_time()
    ticks.command(command(START), 0.1)
    ticks.reset("run", 1, "train", 0, now=0.1, clock=START + 5)
    assert ticks.stamp == START + 5 and not ticks.held
    ticks.control_period(START + PERIOD)
    assert moves(ticks) == [0.0]

"""The scripted operator acts like a person: demonstrates, helps who is stuck, lets go, helps winners less."""

from collections.abc import Callable

import numpy as np
import pytest

from a1x_sim.cell import Cell
from a1x_sim.operator import OperatorConfig, ScriptedOperator

Policy = Callable[[Cell], np.ndarray]


@pytest.fixture(scope="module")
def cell() -> Cell:
    return Cell("pushing", render=False)


def still(_: Cell) -> np.ndarray:
    return np.zeros(7)


def expert(cell: Cell) -> np.ndarray:
    return cell.task.expert(cell.state())


def run(
    cell: Cell, operator: ScriptedOperator, seed: int, phase: str, policy: Policy = still
) -> tuple[bool, str]:
    """Success, and one letter per step: H where the operator drove."""
    cell.reset(seed)
    operator.start_episode(seed)
    log = ""
    for _ in range(cell.config.horizon):
        signal = operator.act(cell.state(), phase)  # type: ignore[arg-type]
        if signal.success:
            break
        log += "H" if signal.active else "."
        cell.step(signal.action if signal.active else policy(cell))
    success = operator.act(cell.state(), phase).success  # type: ignore[arg-type]
    operator.end_episode(success, phase)  # type: ignore[arg-type]
    return success, log


def test_demonstrations_succeed_and_vary(cell: Cell) -> None:
    operator = ScriptedOperator(cell.task)
    results = [run(cell, operator, seed, "demo") for seed in range(30)]
    assert np.mean([success for success, _ in results]) > 0.9
    assert all("." not in log for _, log in results)
    assert len({len(log) for _, log in results}) > 5


def test_demonstrations_repeat_per_seed(cell: Cell) -> None:
    first = [run(cell, ScriptedOperator(cell.task, seed=3), seed, "demo") for seed in range(3)]
    again = [run(cell, ScriptedOperator(cell.task, seed=3), seed, "demo") for seed in range(3)]
    assert first == again


def test_labels_show_successes_and_failures_and_end_by_themselves(cell: Cell) -> None:
    operator = ScriptedOperator(cell.task)
    said = []
    for seed in range(6):
        cell.reset(seed)
        operator.start_episode(seed)
        for _ in range(cell.config.horizon):
            signal = operator.act(cell.state(), "label")
            said.append(signal.success)
            assert signal.success == cell.success
            if signal.failure:
                break
            cell.step(signal.action)
    assert sum(said) >= 6 * 4 and len(said) - sum(said) > sum(said)


def test_takes_over_a_stalled_policy_after_reacting_and_lets_go(cell: Cell) -> None:
    config = OperatorConfig(to_end_first=0.0)
    operator = ScriptedOperator(cell.task, config=config)
    for seed in range(5):
        _, log = run(cell, operator, seed, "train")
        first = log.index("H")
        assert config.patience + config.reaction - 1 <= first <= config.patience + config.reaction + 2
        for stretch in log.split("."):
            assert len(stretch) <= config.help_max
    assert operator.success_rate == 0.0


def test_drives_a_lost_policy_to_the_end(cell: Cell) -> None:
    """At first the paper's people drive 60 to 95 % of all steps."""
    driven = steps = 0
    for seed in range(6):
        success, log = run(cell, ScriptedOperator(cell.task), seed, "train")
        assert success and "." not in log[log.index("H") :]
        driven, steps = driven + log.count("H"), steps + len(log)
    assert 0.6 <= driven / steps <= 0.95


def test_lets_go_of_a_policy_that_often_succeeds(cell: Cell) -> None:
    operator = ScriptedOperator(cell.task, config=OperatorConfig(to_end_last=0.0, bother_last=1.0))
    for _ in range(operator.config.window):
        operator.end_episode(True)
    _, log = run(cell, operator, 1, "train")
    assert max(map(len, log.split("."))) <= operator.config.help_max


def test_takes_over_a_policy_that_drifts_away(cell: Cell) -> None:
    def away_after_a_while(cell: Cell) -> np.ndarray:
        return expert(cell) if cell.steps < 6 else np.array([-1.0, 0, 0, 0, 0, 0, 0])

    config = OperatorConfig(patience=12, reaction=3)
    _, log = run(cell, ScriptedOperator(cell.task, config=config), 1, "train", away_after_a_while)
    assert "H" in log
    assert log.index("H") < 6 + config.patience + config.reaction


def test_leaves_a_good_policy_alone(cell: Cell) -> None:
    success, log = run(cell, ScriptedOperator(cell.task), 0, "train", expert)
    assert success and "H" not in log


def test_helps_less_as_the_policy_succeeds(cell: Cell) -> None:
    watched = {}
    for rate in (0, 10, 20):
        operator = ScriptedOperator(cell.task)
        for index in range(20):
            operator.end_episode(index < rate)
        watching = []
        for seed in range(300):
            operator.start_episode(seed)
            watching.append(operator.watching)
        watched[rate] = np.mean(watching)
    assert watched[0] == 1.0
    assert 0.4 < watched[10] < 0.65
    assert watched[20] < 0.12


def test_only_presses_success_in_evaluation(cell: Cell) -> None:
    operator = ScriptedOperator(cell.task)
    assert "H" not in run(cell, operator, 0, "eval")[1]
    assert run(cell, operator, 0, "eval", expert)[0]

"""With the settings of each task's file, the operator helps a policy that is stuck, and gets it done."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from a1x_sim.cell import Cell
from a1x_sim.operator import OperatorConfig, ScriptedOperator
from a1x_sim.tasks import TASKS
from worldsample_bringup.run.configuration import read_layer
from worldsample_core.config import from_mapping

Policy = Callable[[np.random.Generator], np.ndarray]


def still(_: np.random.Generator) -> np.ndarray:
    return np.zeros(7)


def shaky(rng: np.random.Generator) -> np.ndarray:
    """Random motions of an arm whose gripper stays as it is."""
    return np.append(rng.uniform(-1, 1, 6), 0.0)


@pytest.mark.parametrize(("policy", "least"), [(still, 5), (shaky, 3)], ids=["still", "shaky"])
@pytest.mark.parametrize("name", TASKS)
def test_the_operator_saves_episodes_of_a_bad_policy(name: str, policy: Policy, least: int) -> None:
    cell = Cell(name, render=False)
    config = from_mapping(OperatorConfig, read_layer("tasks", name).get("operator", {}), "operator")
    operator = ScriptedOperator(cell.task, config=config)
    succeeded = 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        cell.reset(seed)
        operator.start_episode(seed)
        for _ in range(cell.config.horizon):
            signal = operator.act(cell.state(), "train")
            if signal.success or signal.failure:
                break
            cell.step(signal.action if signal.active else policy(rng))
        succeeded += cell.success
        assert operator.helps > 0, "nobody came to help"
    assert succeeded >= least

"""Commands that must not move the arm are refused, with the reason."""

import numpy as np
import pytest

from a1x_driver.command_gate import CommandGate
from worldsample_core.arm.motion_command import Command, RejectedCommand
from worldsample_core.config import TaskConfig

NOW = 10_000_000_000


def command(x: float = 0.0, frame: str = "base_link", stamp: int = NOW, gripper: int = 0) -> Command:
    return Command(np.array([x, 0.0, 0.0]), np.zeros(3), gripper, frame, stamp)


@pytest.fixture
def gate(task: TaskConfig) -> CommandGate:
    return CommandGate(task, oldest=0.5, translation=0.015, rotation=0.15)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (command(float("nan")), "non-finite"),
        (command(float("inf")), "non-finite"),
        (command(1e30), "limit"),
        (command(0.0125), "limit"),
        (command(frame="camera"), "base_link expected"),
        (command(stamp=NOW - 600_000_000), "0.60 s old"),
        (command(stamp=NOW + 300_000_000), "in the future"),
        (command(gripper=7), "gripper"),
    ],
)
def test_a_bad_command_is_refused_with_the_reason(gate: CommandGate, bad: Command, reason: str) -> None:
    with pytest.raises(RejectedCommand, match=reason):
        gate.check(bad, NOW)
    assert gate.check(command(0.012), NOW).translation[0] == 0.012, "and does not block the next good one"


def test_reordered_and_repeated_commands_are_refused(gate: CommandGate) -> None:
    gate.check(command(stamp=NOW), NOW)
    with pytest.raises(RejectedCommand, match="after a newer one"):
        gate.check(command(stamp=NOW - 100_000_000), NOW)
    with pytest.raises(RejectedCommand, match="second command"):
        gate.check(command(stamp=NOW), NOW)
    gate.check(command(stamp=NOW + 50_000_000), NOW)


def test_the_arm_s_own_limit_holds_for_any_task(task: TaskConfig) -> None:
    gate = CommandGate(task, oldest=0.5, translation=0.005, rotation=0.15)
    with pytest.raises(RejectedCommand, match="the arm's limit"):
        gate.check(command(0.012), NOW)

"""A step is recorded with the action that the arm executed, or not at all (attack findings, 3)."""

from __future__ import annotations

import numpy as np
import pytest

from worldsample_core.config import TaskConfig
from worldsample_core.observation import Observation
from worldsample_policy.acting.observation_assembly import OperatorInput, Tick
from worldsample_policy.acting.rollout import EpisodeRollout

pytest.importorskip("worldsample_msgs.msg")

from worldsample_core.messages.conversions import time_of_ns
from worldsample_msgs.msg import CommandResult
from worldsample_policy.acting.acknowledgement import Acknowledgement

SCALE = np.array([0.012, 0.012, 0.012, 0.0, 0.0, 0.0])


def result(outcome: int, answers: int = 7, x: float = 0.0, reason: str = "") -> CommandResult:
    message = CommandResult(outcome=outcome, answers=time_of_ns(answers), reason=reason)
    message.translation.x = x
    return message


def waiting() -> Acknowledgement:
    answer = Acknowledgement(SCALE, 0.15)
    answer.sent(7, 1.0)
    assert answer.open(1.0)
    return answer


def test_attack_03_a_limited_command_is_recorded_as_what_was_executed() -> None:
    answer = waiting()
    answer.heard(result(CommandResult.LIMITED, x=0.006))
    assert not answer.open(1.01) and answer.refusal == ""
    assert answer.executed is not None and np.allclose(answer.executed, [0.5, 0, 0, 0, 0, 0, 0])


def test_attack_03_a_refusal_and_a_silent_arm_are_said() -> None:
    answer = waiting()
    answer.heard(result(CommandResult.REFUSED, reason="the arm is disabled"))
    assert not answer.open(1.01) and "the arm is disabled" in answer.refusal
    silent = waiting()
    assert silent.open(1.1) and not silent.open(1.2) and "did not answer" in silent.refusal
    broken = waiting()
    broken.heard(result(CommandResult.LIMITED, x=float("nan")))
    assert "not finite" in broken.refusal and broken.executed is None


def test_attack_03_an_answer_to_another_command_is_passed_over() -> None:
    answer = waiting()
    answer.heard(result(CommandResult.REFUSED, answers=6))
    assert answer.open(1.01) and answer.refusal == ""
    answer.heard(result(CommandResult.EXECUTED))
    assert not answer.open(1.02) and answer.refusal == "" and answer.executed is None


def tick(number: int, operator: OperatorInput | None = None) -> Tick:
    proprio = np.full(10, 0.01 * number, np.float32)
    observation = Observation(np.zeros((2, 8, 8, 3), np.uint8), proprio, 0.1 * number)
    return Tick(number, observation, operator or OperatorInput())


@pytest.fixture
def rollout() -> EpisodeRollout:
    task = TaskConfig(
        name="test",
        horizon=60,
        gamma=0.97,
        active=(True, True, True, False, False, False, False),
        action_scale=(0.012, 0.012, 0.012, 0.1, 0.1, 0.1, 1.0),
        box_low=(0.0, 0.0, 0.0),
        box_high=(1.0, 1.0, 1.0),
        reset_joints=(0.0, 1.7326, -1.4204, 1.2586, 0.0, 0.0),
        reset_gripper=0.0,
        max_real_steps=1000,
    )
    return EpisodeRollout("train", task, 60, lambda observation, deterministic: (np.full(7, 0.8), 1))


def test_attack_03_a_refused_step_is_dropped_and_the_episode_goes_on(rollout: EpisodeRollout) -> None:
    rollout.tick(tick(0), 0)
    rollout.tick(tick(1), 0)
    assert rollout.finished is not None and rollout.finished.step == 0
    assert rollout.drop_step(), "the step from tick 1 on"
    rollout.tick(tick(2), 1)
    assert rollout.finished is None and not rollout.ended
    rollout.tick(tick(3), 1)
    assert rollout.finished is not None and rollout.finished.step == 1
    assert rollout.finished.observation.stamp == pytest.approx(0.2)
    assert rollout.finished.next_observation.stamp == pytest.approx(0.3)
    assert not EpisodeRollout.drop_step(rollout) or rollout.counts.steps == 2


def test_attack_03_the_executed_action_is_recorded(rollout: EpisodeRollout) -> None:
    rollout.tick(tick(0), 0)
    rollout.take_executed(np.array([0.25, 0, 0, 0, 0, 0, 0], np.float32))
    rollout.tick(tick(1), 0)
    assert rollout.finished is not None
    assert np.allclose(rollout.finished.action, [0.25, 0, 0, 0, 0, 0, 0])


@pytest.mark.parametrize("button", ["success", "failure"])
def test_attack_03_a_button_beside_a_dropped_step_labels_the_next_one(
    rollout: EpisodeRollout, button: str
) -> None:
    rollout.tick(tick(0), 0)
    rollout.drop_step()
    assert rollout.tick(tick(1, OperatorInput(**{button: True})), 0) is not None
    assert rollout.tick(tick(2), 0) is None
    assert rollout.finished is not None and rollout.finished.terminated
    assert rollout.finished.success == (button == "success")


def test_attack_03_abort_beside_a_dropped_step_ends_the_episode(rollout: EpisodeRollout) -> None:
    rollout.tick(tick(0), 0)
    rollout.drop_step()
    assert rollout.tick(tick(1, OperatorInput(abort=True)), 0) is None and rollout.counts.aborted

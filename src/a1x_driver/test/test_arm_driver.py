"""The driver against a stand-in arm: what a lab must be able to rely on."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from a1x_driver.driver_config import DriverConfig, Limits, check_task
from a1x_driver.reset_path import NoSafePath, plan_reset
from a1x_driver.rig import Rig
from worldsample_core.arm.a1x_kinematics import forward_kinematics
from worldsample_core.config import ConfigError, TaskConfig, from_mapping

STEP = (0.01, 0.0, 0.0)


def drive(rig: Rig, steps: int, step: tuple[float, float, float] = STEP) -> None:
    for _ in range(steps):
        assert rig.send(step) == ""
        rig.run(0.1)


def position(rig: Rig) -> np.ndarray:
    return forward_kinematics(rig.arm.joints)[0]


def test_nothing_is_sent_before_somebody_asks(rig: Rig) -> None:
    assert rig.target is None and rig.driver.state(rig.now)[0] == "holding"
    assert "disabled" in rig.send(STEP), "a command alone does not switch the arm on"


def test_joint_3_at_rest_is_no_fault_and_the_first_target_is_where_the_arm_is(rig: Rig) -> None:
    assert rig.arm.joints[2] == pytest.approx(np.radians(1.5)) and rig.driver.fault(rig.now) == ""
    rig.driver.enable()
    assert rig.send(STEP) == ""
    assert rig.target is not None and np.array_equal(rig.target.joints, rig.arm.joints)


def test_a_folded_arm_reaches_its_reset_pose_along_a_safe_path(rig: Rig, task: TaskConfig) -> None:
    lowest = float(position(rig)[2])
    rig.driver.start_reset(rig.now)
    answer = None
    while answer is None:
        rig.run(0.05)
        lowest = min(lowest, float(position(rig)[2]))
        answer = rig.driver.reset_answer()
    assert answer == (True, "")
    assert np.allclose(rig.arm.joints, task.reset_joints, atol=0.02)
    assert lowest >= 0.165 - 0.011, "it never went below the workspace"


def test_a_path_that_dips_below_the_workspace_is_refused(task: TaskConfig) -> None:
    """Stretched out in front of its base the arm would sweep down over the table on the way home."""
    start, goal = np.array([0.0, 2.62, -0.58, 1.55, 0.0, 0.0]), np.array(task.reset_joints)
    with pytest.raises(NoSafePath, match="vendor's tool"):
        plan_reset(start, goal, lift=0.06, floor=0.155, table=0.0)
    assert plan_reset(start, goal, lift=0.06, floor=0.1, table=0.0)


def test_commands_move_the_arm_by_what_they_say(ready: Rig) -> None:
    before = position(ready)
    drive(ready, 5)
    ready.run(0.3)
    assert np.allclose(position(ready) - before, [0.05, 0.0, 0.0], atol=0.002)
    assert ready.driver.counters.applied == 5 and ready.arm.judgement.limit_violations == 0


def test_the_box_holds_and_says_so(ready: Rig, task: TaskConfig) -> None:
    drive(ready, 8, (0.0, 0.0, -0.01))
    drive(ready, 30)
    assert position(ready)[0] <= task.box_high[0] + 1e-3
    assert ready.driver.at_box_limit and ready.driver.counters.clipped > 0
    assert ready.arm.judgement.limit_violations == ready.arm.judgement.jump == 0


def test_turning_past_the_tilt_limit_on_either_side_stops_there(ready: Rig) -> None:
    for sign in (1.0, -1.0):
        for _ in range(20):
            assert ready.send(rotation=(0.0, 0.0, sign * 0.1)) == ""
            ready.run(0.1)
        assert ready.driver._workspace.angle(forward_kinematics(ready.arm.joints)[1]) == pytest.approx(
            0.6, abs=0.02
        )
    assert ready.arm.judgement.limit_violations == ready.arm.judgement.jump == 0


def test_without_commands_the_arm_holds_within_the_watchdog_time(ready: Rig) -> None:
    drive(ready, 3, (0.012, 0.012, 0.0))
    ready.run(0.35)
    assert ready.driver.state(ready.now)[0] == "holding"
    held = ready.arm.joints.copy()
    ready.run(1.0)
    assert np.abs(ready.arm.joints - held).max() < 1e-3


def test_after_a_pause_the_first_target_is_the_measured_pose(ready: Rig) -> None:
    """Somebody pushed the arm away while it held: the next command starts from there, with no jump back."""
    drive(ready, 2)
    ready.run(1.0)
    ready.arm.stuck = True
    ready.arm.joints = ready.arm.joints + np.array([0.05, 0.0, 0.0, 0.0, 0.05, 0.0])
    ready.run(0.2)
    ready.arm.stuck = False
    assert ready.send(STEP) == ""
    assert ready.target is not None
    assert np.allclose(ready.target.joints, ready.driver.feedback.joints, atol=1e-9)


def test_lost_feedback_stops_the_arm_and_says_so(ready: Rig) -> None:
    drive(ready, 2)
    ready.send(STEP)
    ready.feedback = False
    ready.run(0.35)
    state, detail = ready.driver.state(ready.now)
    assert state == "fault" and "no feedback from the arm for" in detail
    assert ready.target is None, "nothing is sent any more"
    assert "no feedback" in ready.send(STEP)
    ready.feedback = True
    ready.run(0.1)
    assert "only for" in ready.send(STEP), "one lucky message is not enough"
    ready.run(0.4)
    assert ready.send(STEP) == "" and ready.target is not None
    assert np.array_equal(ready.target.joints, ready.driver.feedback.joints)
    assert ready.arm.judgement.jump == 0


def test_an_error_of_the_arm_stays_until_it_is_cleared(ready: Rig) -> None:
    ready.driver.take_error("joint 2 overheated (17)")
    ready.driver.take_error("")
    assert "overheated" in ready.send(STEP) and ready.driver.state(ready.now)[0] == "fault"
    ready.run(0.5)
    assert ready.target is None
    ready.driver.clear_errors()
    assert ready.send(STEP) == ""


def test_a_second_writer_is_a_fault(ready: Rig) -> None:
    ready.driver.take_rival("another node (/teleop)")
    assert "/teleop" in ready.send(STEP)
    ready.driver.take_rival("")
    assert ready.send(STEP) == ""


def test_a_blocked_arm_is_noticed(ready: Rig) -> None:
    ready.arm.stuck = True
    for _ in range(40):
        ready.send((0.012, 0.012, 0.0))
        ready.run(0.1)
    lead = np.linalg.norm(forward_kinematics(ready.driver._stream.joints)[0] - position(ready))
    assert lead < 0.05, "the target never runs far ahead of an arm that does not move"


def test_an_arm_that_is_blocked_during_a_reset_is_noticed(rig: Rig) -> None:
    """From its folded pose the way is long: the target runs ahead of an arm that does not move."""
    rig.arm.stuck = True
    rig.driver.start_reset(rig.now)
    rig.run(5.0)
    assert "does not follow" in rig.driver.state(rig.now)[1]
    answer = rig.driver.reset_answer()
    assert answer is not None and not answer[0]


def test_disable_sends_nothing_and_only_a_person_undoes_it(ready: Rig) -> None:
    ready.driver.disable()
    ready.run(0.1)
    assert ready.target is None and "disabled" in ready.send(STEP)
    with pytest.raises(NoSafePath, match="call ~/enable"):
        ready.driver.start_reset(ready.now)
    ready.driver.enable()
    assert ready.send(STEP) == ""


def test_a_disturbed_reset_is_answered(rig: Rig) -> None:
    rig.driver.start_reset(rig.now)
    with pytest.raises(NoSafePath, match="under way"):
        rig.driver.start_reset(rig.now)
    rig.run(1.0)
    assert "being reset" in rig.send(STEP)
    rig.feedback = False
    rig.run(0.5)
    answer = rig.driver.reset_answer()
    assert answer is not None and not answer[0] and "feedback" in answer[1]


def test_impossible_feedback_is_not_believed(ready: Rig) -> None:
    joints = ready.arm.joints.tolist()
    take, now = ready.driver.take_feedback, ready.now + 0.005
    assert not take([*joints[:5], float("nan")], [], now)
    assert not take(joints[:5], [], now)
    assert not take([joints[0] + 2.0, *joints[1:]], [], now)
    assert take([*joints, 0.37], [], now), "a seventh element is the gripper's, in no useful unit"
    assert ready.driver.feedback.bad == 3


def test_a_joint_far_outside_its_limit_is_a_fault(task: TaskConfig) -> None:
    rig = Rig(DriverConfig(), task, np.array([0.0, 0.5, 0.2, 0.0, 0.0, 0.0]))
    rig.run(0.5)
    assert "arm_joint3 reads +11.5 deg" in rig.driver.fault(rig.now)


def test_the_gripper_opens_and_closes_at_its_speed(ready: Rig) -> None:
    ready.send(gripper=1)
    ready.run(0.1)
    assert 5 < ready.arm.opening < 40
    for _ in range(6):
        ready.send()
        ready.run(0.1)
    assert ready.arm.opening == pytest.approx(100.0)
    ready.send(gripper=-1)
    ready.run(0.25)
    ready.send(gripper=0)
    ready.run(0.5)
    assert ready.arm.opening == pytest.approx(0.0)


def test_a_task_that_asks_for_too_much_is_refused_at_the_start(task: TaskConfig) -> None:
    with pytest.raises(ConfigError, match="max_translation"):
        check_task(DriverConfig(limits=Limits(max_translation=0.005)), task)
    with pytest.raises(ConfigError, match="fall behind"):
        check_task(DriverConfig(limits=Limits(linear_velocity=0.05)), task)
    with pytest.raises(ValueError, match="vendor's"):
        Limits(joint_velocity=(4.0, 1.0, 1.0, 1.0, 1.0, 1.0))


def test_a_reset_from_anywhere_in_the_workspace_comes_to_its_end(ready: Rig) -> None:
    """Also from corners whose way up leads out of reach."""
    rng = np.random.default_rng(3)
    for _ in range(6):
        direction = rng.choice([-0.012, 0.012], 3)
        turn = rng.choice([-0.1, 0.0, 0.1], 3)
        for step in range(12):
            assert ready.send(direction, turn if step < 5 else np.zeros(3)) == ""
            ready.run(0.1)
        ready.arm.rules = None  # a reset crosses above the box
        assert ready.reset() == (True, "")
        ready.arm.rules = ready.rules
        ready.run(0.3)


def test_a_driver_that_was_not_running_does_not_blame_the_arm_but_a_loss_is_still_noticed(ready: Rig) -> None:
    drive(ready, 2)
    ready.now += 0.15  # the whole process was stopped; the arm's messages wait in the queue
    ready.stream()
    assert ready.driver.fault(ready.now) == "" and ready.target is not None
    ready.run(0.05)
    assert ready.driver.fault(ready.now) == ""
    ready.feedback = False
    for _ in range(4):  # overloaded: it runs only now and then, and the arm is really gone
        ready.now += 0.08
        ready.stream()
    assert "no feedback" in ready.driver.fault(ready.now)
    assert ready.arm.judgement.jump == 0


def test_a_reset_in_the_middle_of_a_motion_brakes_first(ready: Rig) -> None:
    """An episode ends with a button, while the arm moves: the way to the reset pose begins at rest."""
    ready.rules = ready.arm.rules = dataclasses.replace(
        ready.rules, box_low=np.full(3, -np.inf), box_high=np.full(3, np.inf)
    )
    for _ in range(5):
        assert ready.send((0.012, 0.012, -0.012)) == ""
        ready.run(0.1)
    assert ready.send((0.012, 0.012, -0.012)) == ""
    ready.run(0.03)
    assert np.abs(ready.driver._stream.velocity).max() > 0.1
    assert ready.reset() == (True, "")
    assert ready.arm.judgement.limit_violations == ready.arm.judgement.jump == 0, ready.arm.judgement
    assert ready.send((0.012, 0.0, 0.0)) == ""
    ready.run(0.05)  # near the reset pose the way is one straight line of the joints
    assert np.abs(ready.driver._stream.velocity).max() > 0.1
    assert ready.reset() == (True, "")
    assert ready.arm.judgement.limit_violations == ready.arm.judgement.jump == 0, ready.arm.judgement


@pytest.mark.parametrize(
    "section",
    [
        {"limits": {"linear_velocity": "inf"}},
        {"limits": {"max_lead": "inf"}},
        {"watchdog": {"command": "inf"}},
        {"watchdog": {"feedback": -1}},
        {"reset": {"lift": -0.5}},
    ],
)
def test_attack_minor_limits_that_limit_nothing_are_refused(section: dict[str, Any]) -> None:
    """YAML knows infinity: a limit or a watchdog of that size is none."""
    values = {name: {key: float(v) for key, v in part.items()} for name, part in section.items()}
    with pytest.raises(ConfigError, match="driver"):
        from_mapping(DriverConfig, values, "driver")

"""Reports of users of the real arm: each test carries the number of its report."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from a1x_driver import vendor_messages as vendor
from a1x_driver.arm_functions import ArmFunctions
from a1x_driver.driver_config import DriverConfig
from a1x_driver.reset_path import NoSafePath
from a1x_driver.rig import Rig
from a1x_driver.vendor_config import ErrorBits, FunctionCodes, GripperRange
from worldsample_core.arm.a1x_kinematics import forward_kinematics
from worldsample_core.config import ConfigError, TaskConfig, from_mapping

STEP = (0.012, 0.0, 0.0)
SAG = np.array([0.0, -0.35, 0.35, 0.0, 0.0, 0.0])


def status(*codes: int) -> Any:
    return SimpleNamespace(errors=[SimpleNamespace(error_code=code) for code in codes])


def test_field_report_01_no_command_received_at_rest_forbids_nothing(rig: Rig) -> None:
    """Only a command ends it: bit 16, alone or beside others, must not forbid commands."""
    for _ in range(10):
        rig.driver.take_error(vendor.errors_in(status(16)))
        rig.run(0.5)
        assert rig.driver.state(rig.now)[0] == "holding"
    assert rig.reset() == (True, "")
    assert rig.send(STEP) == ""


@pytest.mark.parametrize(
    ("codes", "said"),
    [
        ((16,), ""),
        ((0,), ""),
        ((2,), "disconnected (code 2)"),
        ((18,), "disconnected (code 18)"),
        ((16, 2), "disconnected (code 2)"),
        ((17,), "code 17"),
        ((1,), "code 1"),
    ],
)
def test_field_report_01_other_bits_beside_it_are_errors(codes: tuple[int, ...], said: str) -> None:
    assert vendor.errors_in(status(*codes)) == said
    assert vendor.unheard_in(status(*codes)) == any(code & 16 for code in codes)


def test_field_report_01_the_table_is_a_setting() -> None:
    numbers = ErrorBits(coding="numbers", names=("16 overheated",), at_rest=(3,))
    assert vendor.errors_in(status(3), numbers) == "" and vendor.errors_in(status(19), numbers) == "code 19"
    assert vendor.errors_in(status(16), numbers) == "overheated (code 16)"
    config = from_mapping(DriverConfig, {"errors": {"at_rest": [16, 32]}}, "driver")
    assert vendor.errors_in(status(48), config.errors) == ""


def test_field_report_01_an_arm_that_goes_on_saying_so_under_commands_is_told(
    ready: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(ready.arm), "error_code", property(lambda self: 16))
    for _ in range(30):
        assert ready.send((0.001, 0.0, 0.0)) == ""
        ready.run(0.1)
    state, detail = ready.driver.state(ready.now)
    assert state == "ok" and "no command reaches it" in detail


def test_field_report_02_no_default_releases_the_motors() -> None:
    for sdk in ("a1x_2", "ros1"):
        codes = ArmCodes(DriverConfig(sdk=sdk))  # type: ignore[arg-type]
        assert not {codes.enable, codes.clear} & set(codes.release)
    assert ArmCodes(DriverConfig()).clear == 5 and DriverConfig().functions == "service"


def ArmCodes(config: DriverConfig) -> FunctionCodes:
    from a1x_driver.vendor_config import resolved_codes

    return resolved_codes(config.sdk, config.codes)


@pytest.mark.parametrize("codes", [{"clear": 4}, {"enable": 2}, {"clear": 3}, {"enable": 5, "release": [5]}])
def test_field_report_02_a_code_that_may_release_the_motors_is_refused(codes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="release the motors"):
        from_mapping(DriverConfig, {"codes": codes}, "driver")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (SimpleNamespace(success=True, message="done"), (True, "done")),
        (SimpleNamespace(success=False, message="not now"), (False, "not now")),
        (SimpleNamespace(result=0), (False, "")),
        (SimpleNamespace(ok=True), (True, "")),
    ],
)
def test_field_report_02_the_answer_is_read(answer: Any, expected: tuple[bool, str]) -> None:
    assert vendor.function_answer(answer) == expected
    assert not vendor.function_answer(SimpleNamespace(other=1))[0], "what is not understood is no yes"


def test_field_report_02_the_standin_drops_where_its_motors_are_released(ready: Rig) -> None:
    before = forward_kinematics(ready.arm.joints)[0]
    assert ready.arm.function(4) == (True, "motors released")
    ready.run(0.5)
    assert np.linalg.norm(forward_kinematics(ready.arm.joints)[0] - before) > 0.03
    assert ready.arm.judgement.released == 1


@pytest.mark.parametrize("repeats", [True, False])
def test_field_report_03_after_a_power_cut_the_arm_never_snaps(ready: Rig, repeats: bool) -> None:
    """Under moving targets; the feedback repeats one reading, or shows the arm falling."""
    ready.cut_power(2.0, repeats, lambda: ready.send(STEP))
    state, detail = ready.driver.state(ready.now)
    assert state == "fault" and "repeats one reading" in detail, "also once it has come to rest"
    fastest = 0.0
    for _ in range(100):
        ready.send(STEP)
        before = forward_kinematics(ready.arm.joints)[0]
        ready.run(0.01)
        moved = forward_kinematics(ready.arm.joints)[0] - before
        fastest = max(fastest, float(np.abs(moved).max()) / 0.01)
    assert fastest <= 0.2, "the limit for every other motion"
    assert ready.arm.judgement.jump == 0


def test_field_report_03_one_reading_at_200_hz_is_a_fault_and_a_jump_sets_the_target_anew(ready: Rig) -> None:
    frozen = ready.arm.joints.copy()
    ready.feedback = False  # this test plays the arm

    def feed(joints: np.ndarray, seconds: float) -> None:
        for tick in range(round(seconds / 0.005)):
            ready.now += 0.005
            ready.driver.take_feedback(joints.tolist(), [0.0] * 6, ready.now)
            ready.target = ready.driver.step(ready.now) if tick % 2 else ready.target

    for _ in range(20):
        ready.send(STEP)
        feed(frozen, 0.1)
    assert ready.driver.state(ready.now)[0] == "fault"
    assert "repeats one reading" in ready.driver.state(ready.now)[1]
    assert np.abs(ready.driver._stream.joints - frozen).max() < 0.12
    for tick in range(20):  # the reading that comes back trembles
        feed(frozen + SAG + 1e-5 * (-1) ** tick, 0.005)
    assert np.abs(ready.driver._stream.joints - (frozen + SAG)).max() < 1e-4, "anchored where the arm is"
    assert "jumped" in ready.driver.state(ready.now)[1]
    for tick in range(100):
        feed(frozen + SAG + 1e-5 * (-1) ** tick, 0.005)
    assert ready.driver.fault(ready.now) == ""


@pytest.mark.parametrize("apart,jumped", [(0.1, False), (0.005, True)])
def test_field_report_03_readings_held_up_on_their_way_are_no_jump(
    ready: Rig, apart: float, jumped: bool
) -> None:
    """A busy computer hears two readings of a moving arm at once; their stamps say how long it moved."""
    here, stamp = ready.arm.joints.copy(), 1_000_000_000_000
    ready.feedback = False
    assert ready.driver.take_feedback(here.tolist(), [], ready.now, stamp)
    ready.now += 0.001
    moved = here + 0.09 * np.eye(6)[0]
    assert ready.driver.take_feedback(moved.tolist(), [], ready.now, stamp + round(apart * 1e9))
    assert ("jumped" in ready.driver.slips.words) == jumped


def test_field_report_03_an_arm_that_may_stand_still_is_alive(ready: Rig) -> None:
    """The same bits for a quarter of a minute while no target moves are no fault."""
    assert ready.send((0.0, 0.0, 0.0)) == ""
    for _ in range(5):
        ready.run(3.0)
        assert ready.driver.fault(ready.now) == ""
    assert ready.send(STEP) == ""


def test_field_report_03_readings_that_disagree_are_never_believed(ready: Rig) -> None:
    """A filter that gives in after five outliers, however they differ, lets an outlier through."""
    here = ready.arm.joints.copy()
    ready.feedback = False
    for tick in range(30):
        ready.now += 0.005
        outlier = here + (0.6 + 0.3 * (tick % 3)) * (-1) ** tick
        assert not ready.driver.take_feedback(outlier.tolist(), [], ready.now)
    assert np.allclose(ready.driver.feedback.joints, here)
    assert "jumped" in ready.driver.fault(ready.now), "and it is said"


def test_field_report_03_a_gripper_that_repeats_one_reading_is_told(ready: Rig) -> None:
    """The driver published the last opening for ever, as fresh as the arm's pose."""
    feedback = ready.driver.feedback
    assert feedback.gripper_fault(ready.now) == ""
    ready.driver.take_gripper = lambda position, now: None  # type: ignore[method-assign]
    ready.run(1.5)
    assert "no feedback from the gripper" in feedback.gripper_fault(ready.now)
    del ready.driver.take_gripper  # type: ignore[method-assign]
    ready.run(0.1)
    assert feedback.gripper_fault(ready.now) == ""
    ready.driver.take_gripper, honest = (  # type: ignore[method-assign]
        lambda position, now: honest(0.0, now),
        ready.driver.take_gripper,
    )
    ready.send(gripper=1)
    ready.run(4.0)
    assert "repeats one reading" in feedback.gripper_fault(ready.now)


def test_field_report_gripper_range_is_a_setting(ready: Rig) -> None:
    """Another user measured 3.1 to 3.4 on the topic that is documented as 0 to 100."""
    config = DriverConfig(gripper=GripperRange(closed=3.1, open=3.4))
    rig = Rig(config, ready.task)
    rig.driver.take_gripper(3.25, 0.0)
    assert rig.driver.feedback.opening == pytest.approx(0.5)
    with pytest.raises(ConfigError, match="must differ"):
        from_mapping(DriverConfig, {"gripper": {"closed": 3.0, "open": 3.0}}, "driver")


def test_field_report_05_targets_that_nobody_hears_forbid_a_reset(rig: Rig) -> None:
    words = "nobody listens to /motion_target/target_joint_state_arm"
    rig.driver.take_link(words)
    with pytest.raises(NoSafePath, match="nobody listens"):
        rig.driver.start_reset(rig.now)
    assert rig.driver.state(rig.now) == ("fault", words)
    rig.driver.take_link("")
    assert rig.reset() == (True, "")


def test_attack_03_the_driver_says_what_it_made_of_each_command(ready: Rig, task: TaskConfig) -> None:
    assert ready.send(STEP) == "" and ready.driver.executed.outcome == "executed"
    assert np.allclose(ready.driver.executed.translation, STEP)
    ready.run(0.1)
    assert ready.send(STEP, age=1.0) != "" and ready.driver.executed.outcome == "refused"
    assert "old" in ready.driver.executed.reason and not np.any(ready.driver.executed.translation)
    for _ in range(40):
        ready.send((0.0, 0.012, 0.0))
        ready.run(0.1)
    result = ready.driver.executed
    assert result.outcome == "limited" and "workspace box" in result.reason
    assert abs(result.translation[1]) < 1e-6, "at the wall the commanded pose does not move"


def test_no_function_call_sends_a_releasing_code() -> None:
    functions = ArmFunctions.__new__(ArmFunctions)
    functions._release = (2, 3, 4)
    with pytest.raises(ValueError, match="release the motors"):
        functions.ask(4, 0.0)

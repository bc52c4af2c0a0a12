"""The stand-in arm is a strict judge: each rule that is broken is counted as such."""

import numpy as np
import pytest

from a1x_driver.adversary import ATTACKS, attack
from a1x_driver.driver_config import DriverConfig
from a1x_driver.standin_arm import REST, Rules, StandInArm
from worldsample_core.arm.a1x_kinematics import JOINT_HIGH, forward_kinematics
from worldsample_core.config import TaskConfig

READY = np.array([0.0, 1.7326, -1.4204, 1.2586, 0.0, 0.0])
SHOULDER = np.eye(6)[1]
DOWN = forward_kinematics(READY)[0]


def arm(**changes: object) -> StandInArm:
    values = {"box_low": DOWN - 0.1, "box_high": DOWN + 0.1, **changes}
    return StandInArm(READY, rules=Rules(np.full(6, 2.0), np.full(6, 30.0), **values))  # type: ignore[arg-type]


def test_a_smooth_motion_is_accepted_and_followed() -> None:
    standin = arm()
    for tick in range(100):
        standin.take_target(READY + 0.0005 * min(tick, 40) * SHOULDER, 0.01 * tick)
        standin.step(0.01)
    assert standin.judgement.limit_violations == standin.judgement.jump == 0
    assert np.abs(standin.joints - READY)[1] == pytest.approx(0.02, abs=1e-3)


@pytest.mark.parametrize(
    ("rule", "targets"),
    [
        ("jump", [READY + 0.01]),
        ("jump", [READY, READY + 0.1]),
        ("not_finite", [np.full(6, np.nan)]),
        ("joint_limit", [np.where(np.arange(6) == 3, JOINT_HIGH + 0.01, READY)]),
        ("box", [READY, READY + 0.9 * SHOULDER]),
        ("acceleration", [READY, READY + 0.015, READY]),
    ],
)
def test_a_broken_rule_is_counted(rule: str, targets: list[np.ndarray]) -> None:
    standin = arm()
    for tick, target in enumerate(targets):
        standin.take_target(target, 0.01 * tick)
        standin.step(0.01)
    assert getattr(standin.judgement, rule) > 0 and standin.judgement.examples


def test_at_rest_joint_3_reads_outside_its_limit() -> None:
    assert StandInArm().reading()[2] == pytest.approx(np.radians(1.5)) and REST[2] > 0


def test_an_arm_with_an_error_or_disabled_does_not_move() -> None:
    for change in ("error", "disabled"):
        standin = arm()
        standin.error, standin.enabled = int(change == "error"), change != "disabled"
        standin.take_target(READY + 0.001, 0.0)
        standin.step(0.1)
        assert np.array_equal(standin.joints, READY)


def test_adversarial_sequences_break_no_rule(task: TaskConfig) -> None:
    """A sample of ``bench safety``: each kind of attack some times."""
    verdict = attack(DriverConfig(), task, sequences=4 * len(ATTACKS), seed=1)
    judgement = verdict.judgement
    assert judgement.limit_violations == judgement.jump == 0, judgement.examples
    assert judgement.worst_after_jump <= DriverConfig().limits.linear_velocity, (
        "after any jump of the feedback"
    )
    assert judgement.power_cuts > 3 and judgement.released == 0
    assert judgement.targets > 1000 and verdict.accepted > 100 and verdict.rejected > 20


def test_the_sample_would_notice_a_driver_without_its_box(task: TaskConfig) -> None:
    """The same sequences judged with a smaller box than the driver's are violations."""
    from a1x_driver import adversary

    class Narrow(adversary.Rig):
        def __init__(self, *arguments: object, **named: object) -> None:
            super().__init__(*arguments, **named)  # type: ignore[arg-type]
            middle = (self.rules.box_low + self.rules.box_high) / 2
            self.rules = Rules(self.rules.velocity, self.rules.acceleration, middle - 0.02, middle + 0.02)

    original, adversary.Rig = adversary.Rig, Narrow  # type: ignore[misc]
    try:
        assert adversary.attack(DriverConfig(), task, 24, seed=1).judgement.box > 0
    finally:
        adversary.Rig = original  # type: ignore[misc]

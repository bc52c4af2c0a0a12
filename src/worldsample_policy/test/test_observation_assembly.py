"""Messages become observations: by exact stamp in lockstep, fresh ones only in real time."""

import itertools

import numpy as np
import pytest

from worldsample_core.observation import InvalidObservation
from worldsample_policy.acting.observation_assembly import (
    PARTS,
    Freshness,
    LatestAssembly,
    LockstepAssembly,
    OperatorInput,
)
from worldsample_policy.acting.proprioception import Pose, Proprioception, rotation_between

STEP = 100_000_000


def decode(view: str, value: int) -> np.ndarray:
    if value < 0:
        raise InvalidObservation(f"{view}: bad image")
    return np.full((16, 16, 3), value, np.uint8)


def part(name: str, number: int) -> object:
    if name == "pose":
        return Pose(np.array([0.1 * number, 0.0, 0.2]), (0.0, 0.0, 0.0, 1.0), number * STEP)
    return {
        "side": number,
        "wrist": number + 100,
        "gripper": 0.5,
        "operator": OperatorInput(success=number == 9),
    }[name]


def lockstep() -> LockstepAssembly:
    return LockstepAssembly(Proprioception(0.1), decode)


def put_all(assembly: LockstepAssembly, number: int, order: tuple[str, ...] = PARTS) -> None:
    for name in order:
        assembly.put(name, number * STEP, part(name, number))


@pytest.mark.parametrize("order", list(itertools.permutations(PARTS))[::17])
def test_a_tick_is_complete_when_all_its_messages_are_there_in_any_order(order: tuple[str, ...]) -> None:
    assembly = lockstep()
    for index, name in enumerate(order):
        assert assembly.take() is None
        assert sorted(assembly.missing()) == sorted(order[index:])
        assembly.put(name, 3 * STEP, part(name, 3))
    tick = assembly.take()
    assert tick is not None
    assert tick.stamp == 3 * STEP
    assert tick.observation.images[:, 0, 0, 0].tolist() == [3, 103]
    assert tick.observation.stamp == pytest.approx(0.3)
    assert assembly.take() is None


def test_messages_of_different_ticks_are_never_mixed() -> None:
    assembly = lockstep()
    for name in PARTS[:-1]:
        assembly.put(name, STEP, part(name, 1))
    assembly.put("operator", 2 * STEP, part("operator", 2))
    assert assembly.take() is None
    assembly.put("operator", STEP, part("operator", 1))  # late: of the tick before
    assert assembly.take() is None
    for name in PARTS[:-1]:
        assembly.put(name, 2 * STEP, part(name, 2))
    tick = assembly.take()
    assert tick is not None
    assert tick.stamp == 2 * STEP


def test_a_repeated_tick_is_noticed_and_not_taken_twice() -> None:
    assembly = lockstep()
    put_all(assembly, 1)
    assert assembly.take() is not None
    assert sum(assembly.put(name, STEP, part(name, 1)) for name in PARTS) == 1
    assert assembly.take() is None


def test_a_message_lost_once_comes_with_the_repetition() -> None:
    assembly = lockstep()
    for name in PARTS[1:]:
        assembly.put(name, STEP, part(name, 1))
    put_all(assembly, 1)
    assert assembly.take() is not None


def test_after_a_reset_the_old_episode_is_over() -> None:
    assembly = lockstep()
    put_all(assembly, 5)
    assembly.restart(6 * STEP)
    assert assembly.take() is None
    put_all(assembly, 5)
    assert assembly.take() is None
    put_all(assembly, 6)
    tick = assembly.take()
    assert tick is not None
    np.testing.assert_array_equal(tick.observation.proprio[7:], 0)  # no velocity across a reset


def test_velocity_is_the_motion_since_the_step_before() -> None:
    assembly = lockstep()
    put_all(assembly, 1)
    assembly.take()
    put_all(assembly, 2)
    tick = assembly.take()
    assert tick is not None
    np.testing.assert_allclose(tick.observation.proprio, [0.2, 0, 0.2, 0, 0, 0, 0.5, 1.0, 0, 0], atol=1e-6)


def test_an_unusable_image_is_an_error() -> None:
    assembly = lockstep()
    put_all(assembly, 1)
    assembly.put("side", STEP, -1)
    with pytest.raises(InvalidObservation, match="side"):
        assembly.take()


class TestRealTime:
    @staticmethod
    def fill(assembly: LatestAssembly, number: int, now: float) -> None:
        for name in PARTS:
            assembly.put(name, number * STEP, part(name, number), now)

    def test_the_newest_fresh_messages_make_the_observation(self) -> None:
        assembly = LatestAssembly(Proprioception(0.1), decode, Freshness())
        assert sorted(assembly.missing(0.0)) == sorted(PARTS)
        self.fill(assembly, 1, 0.0)
        assembly.put("side", 2 * STEP, 7, 0.05)
        tick = assembly.take(0.1)
        assert tick is not None
        assert (tick.stamp, tick.observation.images[0, 0, 0, 0]) == (STEP, 7)

    def test_a_stale_camera_holds_and_is_named(self) -> None:
        assembly = LatestAssembly(Proprioception(0.1), decode, Freshness(image=0.25))
        self.fill(assembly, 1, 0.0)
        for name in PARTS[1:]:
            assembly.put(name, 2 * STEP, part(name, 2), 0.3)
        assert assembly.take(0.3) is None
        assert assembly.missing(0.3) == ["side"]
        assembly.put("side", 2 * STEP, 1, 0.3)
        assert assembly.take(0.3) is not None

    def test_a_short_press_of_a_button_is_seen_once(self) -> None:
        assembly = LatestAssembly(Proprioception(0.1), decode, Freshness())
        self.fill(assembly, 1, 0.0)
        assembly.put("operator", STEP, OperatorInput(success=True), 0.01)
        assembly.put("operator", STEP, OperatorInput(active=True), 0.02)
        tick = assembly.take(0.1)
        assert tick is not None
        assert (tick.operator.success, tick.operator.active) == (True, True)
        tick = assembly.take(0.2)
        assert tick is not None
        assert (tick.operator.success, tick.operator.active) == (False, True)

    def test_a_button_pressed_between_episodes_does_not_end_the_next(self) -> None:
        assembly = LatestAssembly(Proprioception(0.1), decode, Freshness())
        self.fill(assembly, 9, 0.0)
        assembly.restart(10 * STEP, 0.1)
        self.fill(assembly, 11, 0.2)
        tick = assembly.take(0.2)
        assert tick is not None
        assert not tick.operator.success

    def test_images_from_before_the_reset_do_not_count(self) -> None:
        assembly = LatestAssembly(Proprioception(0.1), decode, Freshness())
        assembly.restart(10 * STEP, 0.0)
        self.fill(assembly, 9, 0.1)
        assert "side" in assembly.missing(0.1)
        self.fill(assembly, 10, 0.2)
        assert assembly.take(0.2) is not None


def test_rotation_vectors() -> None:
    def about_z(angle: float) -> tuple[float, float, float, float]:
        return (0.0, 0.0, np.sin(angle / 2), np.cos(angle / 2))

    np.testing.assert_allclose(rotation_between(about_z(0.3), about_z(1.0)), [0, 0, 0.7], atol=1e-12)
    np.testing.assert_allclose(
        rotation_between(about_z(0.3), tuple(-x for x in about_z(1.0))), [0, 0, 0.7], atol=1e-12
    )
    np.testing.assert_allclose(rotation_between(about_z(1.0), about_z(1.0)), 0, atol=1e-12)
    # in the base's axes: a turn about x after a turn about z is about x
    x = (np.sin(0.1), 0.0, 0.0, np.cos(0.1))
    zx, zy, zz, zw = about_z(0.8)
    product = (
        x[3] * zx + x[0] * zw + x[1] * zz - x[2] * zy,
        x[3] * zy - x[0] * zz + x[1] * zw + x[2] * zx,
        x[3] * zz + x[0] * zy - x[1] * zx + x[2] * zw,
        x[3] * zw - x[0] * zx - x[1] * zy - x[2] * zz,
    )
    np.testing.assert_allclose(rotation_between(about_z(0.8), product), [0.2, 0, 0], atol=1e-12)

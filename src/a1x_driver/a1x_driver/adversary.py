"""Adversarial command sequences through the driver's core, judged at a stand-in arm."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from a1x_driver.driver_config import DriverConfig
from a1x_driver.reset_path import NoSafePath
from a1x_driver.rig import Rig
from a1x_driver.standin_arm import Judgement
from worldsample_core.arm.a1x_kinematics import JOINT_HIGH, JOINT_LOW
from worldsample_core.config import TaskConfig

COMMANDS = 5
"""Per sequence."""

Attack = Callable[[Rig, np.random.Generator, np.ndarray], None]
"""Sends one command. The last argument is the task's (6,) limit of one step, m and rad."""


def _random(rig: Rig, rng: np.random.Generator, scale: np.ndarray) -> None:
    motion = rng.uniform(-1.0, 1.0, 6) * scale
    rig.send(motion[:3], motion[3:], int(rng.integers(-1, 2)))


def _bang_bang(rig: Rig, rng: np.random.Generator, scale: np.ndarray) -> None:
    motion = rng.choice([-1.0, 1.0], 6) * scale
    rig.send(motion[:3], motion[3:], int(rng.choice([-1, 1])))


def _push(rig: Rig, rng: np.random.Generator, scale: np.ndarray) -> None:
    """Always in one direction, against the box, a joint limit or the tilt limit."""
    motion = np.sign(np.sin(np.arange(6) * 2.3 + rig.now // 2.0)) * scale
    rig.send(motion[:3], motion[3:])


def _not_finite(rig: Rig, rng: np.random.Generator, scale: np.ndarray) -> None:
    motion = rng.uniform(-1.0, 1.0, 6) * scale
    motion[rng.integers(6)] = rng.choice([np.nan, np.inf, -np.inf])
    rig.send(motion[:3], motion[3:])


def _huge(rig: Rig, rng: np.random.Generator, scale: np.ndarray) -> None:
    motion = rng.choice([-1.0, 1.0], 6) * scale * 10.0 ** rng.uniform(0.01, 30.0)
    rig.send(motion[:3], motion[3:], int(rng.integers(-128, 128)))


def _stale(rig: Rig, rng: np.random.Generator, scale: np.ndarray) -> None:
    motion = rng.choice([-1.0, 1.0], 6) * scale
    rig.send(motion[:3], motion[3:], age=float(rng.uniform(0.2, 5.0)) * float(rng.choice([1.0, -1.0])))


def _reordered(rig: Rig, rng: np.random.Generator, scale: np.ndarray) -> None:
    motion = rng.choice([-1.0, 1.0], 6) * scale
    rig.send(motion[:3], motion[3:], age=float(rng.uniform(0.0, 0.4)))


def _wrong_frame(rig: Rig, rng: np.random.Generator, scale: np.ndarray) -> None:
    motion = rng.choice([-1.0, 1.0], 6) * scale
    rig.send(motion[:3], motion[3:], frame=str(rng.choice(["camera", "gripper_link", "world", "BASE_LINK"])))


def _flood(rig: Rig, rng: np.random.Generator, scale: np.ndarray) -> None:
    for _ in range(8):
        motion = rng.choice([-1.0, 1.0], 6) * scale
        rig.send(motion[:3], motion[3:])
        rig.run(rig.tick)


def _pauses(rig: Rig, rng: np.random.Generator, scale: np.ndarray) -> None:
    _bang_bang(rig, rng, scale)
    if rng.random() < 0.3:
        rig.run(float(rng.uniform(0.2, 0.6)))


def _feedback_gaps(rig: Rig, rng: np.random.Generator, scale: np.ndarray) -> None:
    _bang_bang(rig, rng, scale)
    if rng.random() < 0.3:
        rig.feedback = False
        rig.run(float(rng.uniform(0.02, 0.4)))
        rig.feedback = True


def _on_and_off(rig: Rig, rng: np.random.Generator, scale: np.ndarray) -> None:
    _bang_bang(rig, rng, scale)
    if rng.random() < 0.3:
        rig.driver.disable()
        rig.arm.forget_targets()
        rig.run(float(rng.uniform(0.0, 0.1)))
        rig.driver.enable()


def _go_on(rig: Rig, direction: np.ndarray) -> None:
    """The policy goes on for a while; then the arm is reset, as after every such accident."""
    for _ in range(8):
        rig.send(direction[:3], direction[3:])
        rig.run(0.1)
    rules, rig.arm.rules = rig.arm.rules, None  # the way to the reset pose leads outside the box
    rig.driver.clear_errors()
    with contextlib.suppress(NoSafePath):
        rig.reset()
    rig.run(0.5)
    rig.arm.forget_targets()  # those of the way back were not judged
    rig.arm.rules = rules


def _power_cut(repeats: bool) -> Attack:
    """Cut the power now and then, for a time in which the policy goes on, and give it back."""

    def attack(rig: Rig, rng: np.random.Generator, scale: np.ndarray) -> None:
        _bang_bang(rig, rng, scale)
        if rng.random() < 0.3:
            direction = rng.choice([-1.0, 1.0], 6) * scale
            rig.cut_power(
                float(rng.uniform(0.1, 2.0)), repeats, lambda: rig.send(direction[:3], direction[3:])
            )
            _go_on(rig, direction)

    return attack


def _nudges(rig: Rig, rng: np.random.Generator, scale: np.ndarray) -> None:
    """The arm is pushed aside: its feedback jumps."""
    _bang_bang(rig, rng, scale)
    if rng.random() < 0.2:
        pushed = rig.arm.joints + rng.choice([-1.0, 1.0], 6) * 10.0 ** rng.uniform(-2.5, -0.7)
        rig.arm.push(np.clip(pushed, JOINT_LOW + 0.05, JOINT_HIGH - 0.05))


ATTACKS: dict[str, Attack] = {
    "random": _random,
    "bang-bang": _bang_bang,
    "push": _push,
    "not finite": _not_finite,
    "huge": _huge,
    "stale": _stale,
    "reordered": _reordered,
    "wrong frame": _wrong_frame,
    "flood": _flood,
    "pauses": _pauses,
    "feedback gaps": _feedback_gaps,
    "on and off": _on_and_off,
    "emergency stop, frozen feedback": _power_cut(repeats=True),
    "power cut, sag": _power_cut(repeats=False),
    "nudges": _nudges,
}


@dataclass
class Verdict:
    """Result of many adversarial sequences.

    Attributes:
        sequences; accepted, rejected: commands. judgement: of all targets at the stand-in.
    """

    sequences: int = 0
    accepted: int = 0
    rejected: int = 0
    judgement: Judgement = field(default_factory=Judgement)


def attack(config: DriverConfig, task: TaskConfig, sequences: int, seed: int) -> Verdict:
    """Run ``sequences`` sequences of :data:`COMMANDS` commands, alternating with good ones.

    Every sequence has one kind of attack, in half of them mixed with good random commands; the arm goes on
    from where the sequence before left it, so that corners and limits are met too.
    """
    rng = np.random.default_rng(seed)
    scale = np.asarray(task.action_scale[:6])
    # The way back after a power cut is not judged: it may be quick.
    config = replace(config, reset=replace(config.reset, speed=1.0))
    verdict = Verdict()
    rig = Rig(config, task, np.asarray(task.reset_joints), tick=0.01, every=1)
    rig.run(0.5)
    rig.driver.enable()
    rig.arm.rules, rig.arm.judgement = rig.rules, verdict.judgement
    kinds = list(ATTACKS.values())
    for index in range(sequences):
        kind = kinds[index % len(kinds)]
        mixed = rng.random() < 0.5
        for _ in range(COMMANDS):
            (_random if mixed and rng.random() < 0.5 else kind)(rig, rng, scale)
            rig.run(float(rng.choice([0.02, 0.03, 0.1])))
        verdict.sequences += 1
    verdict.accepted = rig.driver.counters.applied
    verdict.rejected = rig.driver.counters.rejected
    return verdict

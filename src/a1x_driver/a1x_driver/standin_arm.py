"""A stand-in of the arm behind the vendor's topics, without ROS.

It follows joint targets with lag, and judges them as a strict arm would.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from a1x_driver.vendor_config import SDK_CODES, FunctionCodes
from worldsample_core.arm.a1x_kinematics import JOINT_HIGH, JOINT_LOW, Array, forward_kinematics

REST: Array = np.array([0.0, 0.02, np.radians(1.5), 0.0, 0.0, 0.0])
"""Folded, as an unpowered arm lies; joint 3 reads +1.5 deg, outside its limit."""
CLOCK_SET = 0.5
"""s by which stamps go back where the sender's clock was set."""


@dataclass
class Judgement:
    """Targets that broke a rule, by rule, and the worst figures.

    Attributes:
        joint_limit, box, velocity, acceleration, not_finite, jump: how many targets.
        released: how often it was asked to release its motors: the arm has no brakes and drops.
        power_cuts: how often it had no power for a while.
        worst_after_jump: m/s, largest speed of gripper_link along an axis in the 0.75 s after the power came
            back or somebody pushed it.
        targets: seen. worst_outside_box: m; worst_speed, worst_acceleration: as a multiple of the limit.
        examples: of broken rules, last_jump: for people.
    """

    targets: int = 0
    joint_limit: int = 0
    box: int = 0
    velocity: int = 0
    acceleration: int = 0
    not_finite: int = 0
    jump: int = 0
    released: int = 0
    power_cuts: int = 0
    worst_after_jump: float = 0.0
    worst_outside_box: float = 0.0
    worst_speed: float = 0.0
    worst_acceleration: float = 0.0
    examples: list[str] = field(default_factory=list)
    last_jump: str = ""

    @property
    def limit_violations(self) -> int:
        """All of them but jumps."""
        return self.joint_limit + self.box + self.velocity + self.acceleration + self.not_finite


@dataclass(frozen=True)
class Rules:
    """Rules that targets must obey at the stand-in.

    Attributes:
        velocity, acceleration: (6,) rad/s, rad/s^2. box_low, box_high: (3,) m, of gripper_link.
        box_tolerance: m; joint_tolerance: rad (a joint outside its limit at rest may come in slowly).
        jump: rad, the largest difference between a first target and where the arm is.
        longest: s; after a longer silence a target may be no further away than after this.
        slack: s of motion more than the stamps say is no jump yet: a message may be held up on its way.
    """

    velocity: Array
    acceleration: Array
    box_low: Array
    box_high: Array
    box_tolerance: float = 0.001
    joint_tolerance: float = 1e-6
    jump: float = 1e-3
    longest: float = 0.03
    slack: float = 0.0


IDLE = 16
"""Error bit at rest: no command is received."""
IDLE_AFTER = 0.3
"""s without a target after which the arm says so."""
SAG = np.array([0.0, -1.0, 1.0, 0.0, 0.0, 0.0])
"""Direction in which the arm sags without power, rad."""
SAG_ACCELERATION, SAG_FASTEST, SAG_DEEPEST = 4.0, 1.5, 0.35
"""rad/s^2, rad/s, rad."""
WATCHED = 0.75
"""s after a power cut in which the arm's speed is watched."""
NOTICE = 0.02
"""s after a push before the watch begins: the reading that shows it, and the next target."""
TREMBLE = 1e-5
"""rad; the reading of an arm that is blocked under power is never quite still."""
PUSHES, PUSHES_AFTER = 1e-3, 0.03
"""rad between target and arm beyond which it pushes, s after which that shows."""


class StandInArm:
    """Six joints that follow their targets with a first-order lag, and sag without power: no brakes.

    Args:
        joints: (6,) rad at the start. lag: s, time constant. codes: of its functions.

    Attributes:
        joints, velocities: (6,). enabled: follows targets. error: code, 0 for none. stuck: does not move.
        powered: has power.
        repeats: without power its feedback repeats one reading, as after an emergency stop.
        opening: of the gripper, 0 .. 100.
    """

    FASTEST = np.array([3.0, 3.0, 3.0, 5.0, 5.0, 5.0])

    def __init__(
        self,
        joints: Array = REST,
        lag: float = 0.05,
        rules: Rules | None = None,
        codes: FunctionCodes = SDK_CODES["a1x_2"],
    ) -> None:
        self.joints, self.velocities = joints.copy(), np.zeros(6)
        self.lag, self.rules, self._codes = lag, rules, codes
        self.enabled, self.error, self.stuck = True, 0, False
        self.powered, self.repeats = True, False
        self.opening = self.opening_target = 0.0
        self.judgement = Judgement()
        self._target: Array | None = None
        self._speeds = self.FASTEST
        self._before: tuple[Array, Array, float] | None = None  # target, velocity, time
        self._held, self._sag, self._sagged = joints.copy(), 0.0, 0.0
        self._time, self._heard = 0.0, -np.inf
        self._watch_from, self._pushes_for = np.inf, 0.0
        self._forced: tuple[Array, Array] | None = None  # corners of where it was pushed or fell

    def take_target(self, joints: Array, now: float, speeds: Array | None = None) -> None:
        """A joint target (6,). now: s, when it was sent. speeds: (6,) rad/s, the largest of each joint."""
        if self.rules is not None:
            self._judge(joints, now)
        self._heard = self._time
        if self.enabled and self.powered and not self.error and np.isfinite(joints).all():
            self._target = joints.copy()
            self._speeds = self.FASTEST if speeds is None else np.minimum(np.abs(speeds), self.FASTEST)

    def forget_targets(self) -> None:
        """The next target is a first one."""
        self._before = None

    def function(self, code: int) -> tuple[bool, str]:
        """Do what a function code asks for. Returns success and words.

        6 enables, too, in SDK 2.
        """
        if code in self._codes.release:
            self.judgement.released += 1
            self._note(f"function {code} releases the motors")
            self.cut_power(repeats=False)
            return True, "motors released"
        if code == self._codes.clear:
            self.error = 0
            return True, "errors cleared"
        if code in (self._codes.enable, 6):
            self.enabled = True
            self.forget_targets()
            return True, "enabled"
        return False, f"unknown function {code}"

    def cut_power(self, repeats: bool) -> None:
        """Cut the motors' power. repeats: the feedback repeats its last reading from now on."""
        self._held = self.reading()
        self.powered, self.repeats, self._target = False, repeats, None
        self._sag = self._sagged = 0.0
        self.judgement.power_cuts += 1

    def return_power(self) -> None:
        """Give the motors power again: the arm holds its pose until it hears a target."""
        self.powered, self.repeats = True, False
        self._watch_from = self._time

    def push(self, joints: Array) -> None:
        """Somebody pushes it to these joint angles (6,)."""
        self.joints = joints.copy()
        self._force_to(joints)
        self._watch_from = self._time + NOTICE

    def step(self, dt: float) -> None:
        """Move on by ``dt`` s."""
        self._time += dt
        before = self.joints
        pushes = self._target is not None and float(np.abs(self._target - before).max()) > PUSHES
        self._pushes_for = self._pushes_for + dt if pushes else 0.0
        if not self.powered:
            self._fall(dt)
        elif self._target is not None and not self.error and self.enabled and not self.stuck:
            wanted = (self._target - self.joints) * (1.0 - np.exp(-dt / self.lag))
            change = np.clip(wanted, -self._speeds * dt, self._speeds * dt)
            self.joints, self.velocities = self.joints + change, change / dt
        else:
            self.velocities = np.zeros(6)
        if self.powered and self._watch_from < self._time < self._watch_from + WATCHED:
            moved = forward_kinematics(self.joints)[0] - forward_kinematics(before)[0]
            speed = float(np.abs(moved).max()) / dt
            self.judgement.worst_after_jump = max(self.judgement.worst_after_jump, speed)
        self.opening += float(np.clip(self.opening_target - self.opening, -250.0 * dt, 250.0 * dt))

    def _fall(self, dt: float) -> None:
        self._sag = min(self._sag + SAG_ACCELERATION * dt, SAG_FASTEST)
        way = min(self._sag * dt, SAG_DEEPEST - self._sagged)
        self._sagged += way
        fallen = np.clip(self.joints + way * SAG, JOINT_LOW, JOINT_HIGH)
        self.joints, self.velocities = fallen, (fallen - self.joints) / dt
        self._force_to(fallen)

    def _force_to(self, joints: Array) -> None:
        at, _ = forward_kinematics(joints)
        low, high = self._forced or (at, at)
        self._forced = np.minimum(low, at), np.maximum(high, at)

    def reading(self) -> Array:
        """Reading of the arm's encoders, (6,) rad."""
        if not self.powered and self.repeats:
            return self._held.copy()
        if self.stuck and self._pushes_for > PUSHES_AFTER:
            return self.joints + TREMBLE * np.sin(1e3 * self._time)
        return self.joints.copy()

    def speeds(self) -> Array:
        """Reading of the joints' velocities, (6,) rad/s."""
        return np.zeros(6) if not self.powered and self.repeats else self.velocities.copy()

    @property
    def error_code(self) -> int:
        """Error code in its status: at rest it says that it receives no command."""
        idle = self._time - self._heard > IDLE_AFTER
        return self.error | (IDLE if idle else 0)

    def _judge(self, joints: Array, now: float) -> None:
        rules, verdict = self.rules, self.judgement
        assert rules is not None
        verdict.targets += 1
        if not np.isfinite(joints).all():
            verdict.not_finite += 1
            self._note(f"target {joints.tolist()}")
            return
        slack = rules.joint_tolerance
        low, high = np.minimum(JOINT_LOW, self.joints) - slack, np.maximum(JOINT_HIGH, self.joints) + slack
        if np.any(joints < low) or np.any(joints > high):
            verdict.joint_limit += 1
            self._note(f"joint limit: {joints.round(4).tolist()}")
        at, _ = forward_kinematics(joints)
        here = np.stack([at, forward_kinematics(self.joints)[0]])
        if np.all(here >= rules.box_low) and np.all(here <= rules.box_high):
            self._forced = None
        box = (rules.box_low, rules.box_high)
        if self._forced is not None:  # it was pushed or fell out of the box: a target may begin there
            box = np.minimum(box[0], self._forced[0]), np.maximum(box[1], self._forced[1])
        outside = float(np.maximum(box[0] - at, at - box[1]).max())
        verdict.worst_outside_box = max(verdict.worst_outside_box, outside)
        if outside > rules.box_tolerance:
            verdict.box += 1
            self._note(f"box: {at.round(4).tolist()}")
        speed = np.zeros(6)
        if self._before is None:
            if self.powered and float(np.abs(joints - self.joints).max()) > rules.jump:
                verdict.jump += 1
                verdict.last_jump = f"first target {np.abs(joints - self.joints).max():.4f} rad from the arm"
                self._note(verdict.last_jump)
        else:
            last, last_speed, at_time = self._before
            dt = now - at_time
            if dt < -CLOCK_SET:  # then the stamps say nothing about the time between these two targets
                self._before = (joints.copy(), last_speed, now)
                return
            step = np.abs(joints - last)
            from_arm = np.abs(joints - self.joints)
            if dt < 1e-6 and np.any(from_arm > 1e-6):  # sent twice
                verdict.jump += bool(np.any(step > 1e-9))
                return
            dt = max(dt, 1e-6)
            speed = (joints - last) / dt
            if np.any(
                np.minimum(step, from_arm)
                > 1.001 * rules.velocity * (min(dt, rules.longest) + rules.slack) + 1e-6
            ):
                verdict.jump += 1
                jump, away = float(step.max()), float(from_arm.max())
                verdict.last_jump = f"{jump:.4f} rad in {dt * 1e3:.1f} ms, {away:.4f} rad from the arm"
                self._note(verdict.last_jump)
            elif np.all(from_arm <= 1e-6):  # a target where the arm is asks for no motion: it is a first one
                speed = np.zeros(6)
            else:
                fast = float((np.abs(speed) / rules.velocity).max())
                sudden = float((np.abs(speed - last_speed) / (rules.acceleration * dt)).max())
                verdict.worst_speed = max(verdict.worst_speed, fast)
                verdict.worst_acceleration = max(verdict.worst_acceleration, sudden)
                verdict.velocity += fast > 1.001
                if sudden > 1.01:
                    verdict.acceleration += 1
                    self._note(f"acceleration {sudden:.2f} times the limit")
        self._before = (joints.copy(), speed, now)

    def _note(self, text: str) -> None:
        if len(self.judgement.examples) < 20:
            self.judgement.examples.append(text)

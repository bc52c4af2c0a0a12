"""A stand-in of the arm behind the vendor's topics, without ROS.

It follows joint targets with lag, and judges them as a strict arm would.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from worldsample_core.arm.a1x_kinematics import JOINT_HIGH, JOINT_LOW, Array, forward_kinematics

REST: Array = np.array([0.0, 0.02, np.radians(1.5), 0.0, 0.0, 0.0])
"""Folded, as an unpowered arm lies; joint 3 reads +1.5 deg, outside its limit."""


@dataclass
class Judgement:
    """Targets that broke a rule, by rule, and the worst figures.

    Attributes:
        joint_limit, box, velocity, acceleration, not_finite, jump: how many targets.
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


class StandInArm:
    """Six joints that follow their targets with a first-order lag.

    Args:
        joints: (6,) rad at the start. lag: s, time constant.

    Attributes:
        joints, velocities: (6,). enabled: follows targets. error: code, 0 for none. stuck: does not move.
        opening: of the gripper, 0 .. 100.
    """

    FASTEST = np.array([3.0, 3.0, 3.0, 5.0, 5.0, 5.0])

    def __init__(self, joints: Array = REST, lag: float = 0.05, rules: Rules | None = None) -> None:
        self.joints, self.velocities = joints.copy(), np.zeros(6)
        self.lag, self.rules = lag, rules
        self.enabled, self.error, self.stuck = True, 0, False
        self.opening = self.opening_target = 0.0
        self.judgement = Judgement()
        self._target: Array | None = None
        self._before: tuple[Array, Array, float] | None = None  # target, velocity, time

    def take_target(self, joints: Array, now: float) -> None:
        """A joint target (6,). now: s, when it was sent."""
        if self.rules is not None:
            self._judge(joints, now)
        if self.enabled and not self.error and np.isfinite(joints).all():
            self._target = joints.copy()

    def forget_targets(self) -> None:
        """The next target is a first one."""
        self._before = None

    def step(self, dt: float) -> None:
        """Move on by ``dt`` s."""
        if self._target is not None and not self.error and self.enabled and not self.stuck:
            wanted = (self._target - self.joints) * (1.0 - np.exp(-dt / self.lag))
            change = np.clip(wanted, -self.FASTEST * dt, self.FASTEST * dt)
            self.joints, self.velocities = self.joints + change, change / dt
        else:
            self.velocities = np.zeros(6)
        self.opening += float(np.clip(self.opening_target - self.opening, -250.0 * dt, 250.0 * dt))

    def reading(self) -> Array:
        """Reading of the arm's encoders, (6,) rad."""
        return self.joints.copy()

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
        outside = float(np.maximum(rules.box_low - at, at - rules.box_high).max())
        verdict.worst_outside_box = max(verdict.worst_outside_box, outside)
        if outside > rules.box_tolerance:
            verdict.box += 1
            self._note(f"box: {at.round(4).tolist()}")
        speed = np.zeros(6)
        if self._before is None:
            if float(np.abs(joints - self.joints).max()) > rules.jump:
                verdict.jump += 1
                verdict.last_jump = f"first target {np.abs(joints - self.joints).max():.4f} rad from the arm"
                self._note(verdict.last_jump)
        else:
            last, last_speed, at_time = self._before
            dt = now - at_time
            step = np.abs(joints - last)
            if dt < 1e-6:  # sent twice
                verdict.jump += bool(np.any(step > 1e-9))
                return
            from_arm = np.abs(joints - self.joints)
            speed = (joints - last) / dt
            if np.any(
                np.minimum(step, from_arm)
                > 1.001 * rules.velocity * (min(dt, rules.longest) + rules.slack) + 1e-6
            ):
                verdict.jump += 1
                jump, away = float(step.max()), float(from_arm.max())
                verdict.last_jump = f"{jump:.4f} rad in {dt * 1e3:.1f} ms, {away:.4f} rad from the arm"
                self._note(verdict.last_jump)
            elif np.any(from_arm > 1e-6):  # a target where the arm is asks for no motion
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

"""The driver's core and a stand-in arm in one process, on a clock of their own: for tests and the bench."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from a1x_driver.arm_driver import ArmDriver, Target
from a1x_driver.driver_config import DriverConfig
from a1x_driver.standin_arm import IDLE, REST, Rules, StandInArm
from worldsample_core.arm.a1x_kinematics import Array
from worldsample_core.arm.motion_command import Command
from worldsample_core.config import TaskConfig

EPOCH = 1_000_000_000_000
"""ns of the ROS clock at time 0."""


class Rig:
    """Steps both. Feedback comes with ``tick`` (s); the driver streams at every ``every``-th.

    Attributes:
        now: s. driver, arm: the two. target: the newest, None where none was sent.
        feedback: whether it comes.
    """

    def __init__(
        self,
        config: DriverConfig,
        task: TaskConfig,
        joints: Array | None = None,
        tick: float = 0.005,
        every: int = 2,
    ) -> None:
        self.now, self.tick, self._every, self._ticks = 0.0, tick, every, 0
        self.task = task
        self.driver = ArmDriver(config, task)
        self.arm = StandInArm(REST if joints is None else joints)
        limits = config.limits
        self.rules = Rules(
            np.asarray(limits.joint_velocity),
            np.asarray(limits.joint_acceleration),
            np.asarray(task.box_low),
            np.asarray(task.box_high),
        )
        self.target: Target | None = None
        self.feedback = True

    @property
    def clock(self) -> int:
        """Time of the ROS clock, ns."""
        return EPOCH + round(self.now * 1e9)

    def stream(self) -> None:
        """Send the driver's target of this moment to the arm."""
        self.target = self.driver.step(self.now)
        if self.target is not None:
            self.arm.take_target(self.target.joints, self.now, self.target.speeds)
            self.arm.opening_target = 100.0 * self.target.opening

    def run(self, seconds: float) -> None:
        """Let time pass."""
        for _ in range(round(seconds / self.tick)):
            self.now += self.tick
            self._ticks += 1
            self.arm.step(self.tick)
            if self.feedback:
                self.driver.take_feedback(self.arm.reading().tolist(), self.arm.speeds().tolist(), self.now)
                self.driver.take_gripper(self.arm.opening, self.now)
                self.driver.take_unheard(bool(self.arm.error_code & IDLE), self.now)
            if self._ticks % self._every == 0:
                self.stream()

    def cut_power(self, seconds: float, repeats: bool, command: Callable[[], object]) -> None:
        """Cut the arm's power for a while, under commands; meanwhile it falls, and nothing counts as a rule.

        Args:
            repeats: the feedback repeats one reading. command: sends one; called ten times a second.
        """
        self.arm.cut_power(repeats)
        for _ in range(round(seconds / 0.1)):
            command()
            self.run(0.1)
        self.arm.return_power()

    def reset(self, seconds: float = 30.0) -> tuple[bool, str]:
        """Reset, and wait for the answer. Raises :class:`a1x_driver.reset_path.NoSafePath`."""
        self.driver.start_reset(self.now)
        for _ in range(round(seconds / 0.05)):
            self.run(0.05)
            answer = self.driver.reset_answer()
            if answer is not None:
                return answer
        return False, "no answer"

    def send(
        self,
        translation: tuple[float, float, float] | Array = (0.0, 0.0, 0.0),
        rotation: tuple[float, float, float] | Array = (0.0, 0.0, 0.0),
        gripper: int = 0,
        frame: str = "base_link",
        age: float = 0.0,
    ) -> str:
        """A command that answers an observation ``age`` s old. Returns why it was refused, or ""."""
        command = Command(
            np.asarray(translation, np.float64),
            np.asarray(rotation, np.float64),
            gripper,
            frame,
            self.clock - round(age * 1e9),
        )
        problem = self.driver.command(command, self.now, self.clock)
        if not problem:
            self.stream()
        return problem

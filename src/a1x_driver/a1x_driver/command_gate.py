"""Which commands count: not stale, not reordered, not repeated, in the right frame, finite, small enough."""

from __future__ import annotations

import numpy as np

from worldsample_core.arm.motion_command import Command, Motion, RejectedCommand, check_command
from worldsample_core.config import TaskConfig


class CommandGate:
    """Refuses commands that must not move the arm.

    Args:
        task: its action scale is one command's limit. oldest: s, age of the answered observation.
        translation, rotation: limits per axis that no task may exceed, m and rad.
    """

    FUTURE = 0.1
    """s; a stamp further ahead of this machine's clock comes from another clock."""

    def __init__(self, task: TaskConfig, oldest: float, translation: float, rotation: float) -> None:
        self._task, self._oldest = task, oldest
        self._cap = np.array([translation] * 3 + [rotation] * 3)
        self.newest = 0

    def check(self, command: Command, clock: int) -> Motion:
        """The motion of a command that counts. clock: ns, of this machine's ROS clock.

        Raises:
            RejectedCommand: with the reason.
        """
        age = (clock - command.stamp) * 1e-9
        if age > self._oldest:
            raise RejectedCommand(f"the command answers an observation {age:.2f} s old")
        if age < -self.FUTURE:
            raise RejectedCommand(
                f"the command is stamped {-age:.2f} s in the future: do all machines have the same time?"
            )
        if command.stamp <= self.newest:
            if command.stamp == self.newest:
                raise RejectedCommand("a second command for the same observation")
            raise RejectedCommand("the command comes after a newer one")
        motion = check_command(
            command.translation, command.rotation, command.gripper, command.frame, self._task
        )
        if np.any(np.abs(np.concatenate([motion.translation, motion.rotation])) > 1.01 * self._cap):
            raise RejectedCommand("the command is over the arm's limit for one step")
        self.newest = command.stamp
        return motion

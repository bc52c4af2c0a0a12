"""Checks of end-effector commands: those of :mod:`worldsample_core.arm.motion_command`, as the real arm's."""

from worldsample_core.arm.motion_command import Motion, RejectedCommand, check_command

__all__ = ["Motion", "RejectedCommand", "check_command"]

"""Checks of end-effector commands before anything moves; the driver and the simulator apply the same ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worldsample_core.config import TaskConfig

Array = NDArray[np.float64]


class RejectedCommand(ValueError):
    """A command that must not be applied; the message says why."""


@dataclass(frozen=True)
class Command:
    """An end-effector command as it arrived.

    Attributes:
        translation: (3,) m. rotation: (3,) rad, rotation vector. gripper: -1, 0, 1.
        frame: must be base_link. stamp: ns, of the observation that it answers.
    """

    translation: Array
    rotation: Array
    gripper: int
    frame: str
    stamp: int


@dataclass(frozen=True)
class Motion:
    """A checked command: translation (3,) m, rotation vector (3,) rad, gripper -1, 0 or 1."""

    translation: Array
    rotation: Array
    gripper: int
    clipped: bool


def check_command(translation: Array, rotation: Array, gripper: int, frame: str, task: TaskConfig) -> Motion:
    """The motion of one control step, with dimensions that the task does not use at 0.

    Raises:
        RejectedCommand: non-finite, over the task's action scale (1 % tolerance), wrong frame or gripper.
    """
    if frame not in ("", "base_link"):
        raise RejectedCommand(f"the command is in frame {frame!r}, base_link expected")
    values = np.concatenate([translation, rotation])
    if values.shape != (6,) or not np.isfinite(values).all():
        raise RejectedCommand(f"the command has non-finite values: {values.tolist()}")
    if gripper not in (-1, 0, 1):
        raise RejectedCommand(f"the gripper command is {gripper}, expected -1 (close), 0 (hold) or 1 (open)")
    scale = np.asarray(task.action_scale[:6])
    active = np.asarray(task.active[:6])
    if np.any(active & (np.abs(values) > 1.01 * scale + 1e-9)):
        raise RejectedCommand(
            f"the command {np.round(values, 4).tolist()} is over one step's limit {scale.tolist()}"
        )
    used = np.where(active, values, 0.0)
    hold = 0 if not task.active[6] else gripper
    return Motion(used[:3], used[3:], hold, clipped=bool(np.any(used != values)) or hold != gripper)

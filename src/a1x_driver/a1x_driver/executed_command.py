"""The driver's answer to a command: executed, limited to what, or refused and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from worldsample_core.arm.a1x_kinematics import Array
from worldsample_core.arm.motion_command import Motion
from worldsample_core.arm.rotation import matrix_to_rotvec

Outcome = Literal["executed", "limited", "refused"]


@dataclass(frozen=True)
class Executed:
    """Result of one command.

    Attributes:
        translation, rotation: (3,) m and rad, by which the commanded pose was moved. gripper: -1, 0 or 1.
        reason: what limited or forbade it, for people; "" where it was executed as it is.
    """

    outcome: Outcome
    translation: Array
    rotation: Array
    gripper: int
    reason: str = ""


def refused(reason: str) -> Executed:
    """A command because of which nothing moves."""
    return Executed("refused", np.zeros(3), np.zeros(3), 0, reason)


NOTHING = refused("no command yet")


def executed(
    motion: Motion, before: tuple[Array, Array], after: tuple[Array, Array], reason: str
) -> Executed:
    """The result of a command that counts.

    Args:
        before, after: commanded position (3,) m and rotation (3, 3), without and with the command.
        reason: what limited it; "" where nothing did.
    """
    if not reason:
        return Executed("executed", motion.translation, motion.rotation, motion.gripper)
    turned = matrix_to_rotvec(after[1] @ before[1].T)
    return Executed("limited", after[0] - before[0], turned, motion.gripper, reason)

"""Arm feedback -> the proprioception of an observation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worldsample_core.observation import PROPRIO_DIM

Quaternion = tuple[float, float, float, float]
"""x, y, z, w."""

MAX_GAP = 5
"""Control periods between two poses beyond which no velocity is told from them."""


@dataclass(frozen=True, slots=True)
class Pose:
    """Pose of the end effector (gripper_link) in base_link.

    Attributes:
        position: ``(3,) float64``, m.
        orientation: unit quaternion x, y, z, w.
        stamp: ns.
    """

    position: NDArray[np.float64]
    orientation: Quaternion
    stamp: int


def rotation_between(reference: Quaternion, orientation: Quaternion) -> NDArray[np.float64]:
    """Rotation vector ``(3,)``, rad in [0, pi], that turns ``reference`` into ``orientation``.

    It is given in the base's axes.
    """
    x1, y1, z1, w1 = orientation
    x0, y0, z0, w0 = reference
    # orientation * conjugate(reference)
    w = w1 * w0 + x1 * x0 + y1 * y0 + z1 * z0
    vector = np.array(
        [
            -w1 * x0 + x1 * w0 - y1 * z0 + z1 * y0,
            -w1 * y0 + x1 * z0 + y1 * w0 - z1 * x0,
            -w1 * z0 - x1 * y0 + y1 * x0 + z1 * w0,
        ]
    )
    if w < 0.0:  # the short way round
        w, vector = -w, -vector
    sine = float(np.linalg.norm(vector))
    if sine < 1e-9:
        return 2.0 * vector
    return vector * (2.0 * np.arctan2(sine, w) / sine)


class Proprioception:
    """Builds the ``(10,)`` proprioception of successive control steps.

    The rotation is relative to the first pose after :meth:`restart`: the task's reset orientation, which the
    arm has just been brought to. The velocity is the motion since the step before over the time between the
    two stamps.
    """

    def __init__(self, control_period: float) -> None:
        self.control_period = control_period
        self.restart()

    def restart(self) -> None:
        """A new episode: the next pose is the reference."""
        self._reference: Quaternion | None = None
        self._last: Pose | None = None

    def observe(self, pose: Pose, opening: float) -> NDArray[np.float32]:
        """``(10,) float32``: position, rotation vector, opening, velocity."""
        if self._reference is None:
            self._reference = pose.orientation
        velocity = np.zeros(3)
        if self._last is not None:
            elapsed = (pose.stamp - self._last.stamp) * 1e-9
            if 0.0 < elapsed < MAX_GAP * self.control_period:
                velocity = (pose.position - self._last.position) / elapsed
        self._last = pose
        result = np.empty(PROPRIO_DIM, np.float32)
        result[0:3] = pose.position
        result[3:6] = rotation_between(self._reference, pose.orientation)
        result[6] = opening
        result[7:10] = velocity
        return result

"""The workspace: a box for the position, a cone for the rotation, both in base_link."""

from __future__ import annotations

import numpy as np

from worldsample_core.arm.a1x_kinematics import Array
from worldsample_core.arm.rotation import matrix_to_rotvec, rotvec_to_matrix


def clip_tilt(rotation: Array, reference: Array, limit: float) -> tuple[Array, bool]:
    """A rotation (3, 3) within ``limit`` rad of ``reference`` (3, 3), turned back along the shortest way.

    The angle is measured as a rotation vector, not as roll, pitch and yaw: there is no wrap at half a turn
    that would clip a small negative angle to the positive limit and shake the arm (hil-serl#51).

    Returns:
        the rotation, and whether it was clipped.
    """
    turn = matrix_to_rotvec(rotation @ reference.T)
    angle = float(np.sqrt(turn @ turn))
    if angle <= limit:
        return rotation, False
    return rotvec_to_matrix(turn * (limit / angle)) @ reference, True


class Workspace:
    """Bounds of the commanded pose.

    An arm that starts outside (unboxed, moved by hand) is not thrown into the workspace: the bounds are
    widened to where it is, and :meth:`narrow` takes that back as it comes inside.

    Args:
        low, high: (3,) m. reference: (3, 3), the reset orientation. tilt: rad, largest angle from it.
    """

    def __init__(self, low: Array, high: Array, reference: Array, tilt: float) -> None:
        self._low, self._high, self.reference, self._tilt = low, high, reference, tilt
        self.low, self.high, self.tilt = low, high, tilt

    def widen(self, position: Array, rotation: Array) -> bool:
        """Make the pose a part of the workspace. Returns whether it was outside."""
        self.low, self.high = np.minimum(self._low, position), np.maximum(self._high, position)
        self.tilt = max(self._tilt, self.angle(rotation))
        return bool(np.any(position < self._low - 1e-3) or np.any(position > self._high + 1e-3))

    def narrow(self, position: Array, rotation: Array) -> None:
        """Give up what was widened, as far as the pose allows."""
        self.low = np.minimum(self._low, np.maximum(self.low, position))
        self.high = np.maximum(self._high, np.minimum(self.high, position))
        self.tilt = max(self._tilt, min(self.tilt, self.angle(rotation)))

    def angle(self, rotation: Array) -> float:
        """From the reset orientation, rad."""
        turn = matrix_to_rotvec(rotation @ self.reference.T)
        return float(np.sqrt(turn @ turn))

    def clip(self, position: Array, rotation: Array) -> tuple[Array, Array, bool]:
        """The nearest pose inside, and whether it is another one."""
        inside = np.minimum(np.maximum(position, self.low), self.high)
        turned, tilted = clip_tilt(rotation, self.reference, self.tilt)
        return inside, turned, tilted or bool(np.any(np.abs(inside - position) > 1e-9))

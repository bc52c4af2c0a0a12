"""Feedback of the arm: joints, gripper, errors; how fresh it is, and whether it is believable."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from worldsample_core.arm.a1x_kinematics import ARM_JOINTS, JOINT_HIGH, JOINT_LOW, forward_kinematics

FASTEST = 20.0
"""rad/s; a reading that has moved faster since the last one is not believed."""


class Feedback:
    """The newest believable reading.

    Attributes:
        joints, velocities: (6,) rad, rad/s. position (3,) m and rotation (3, 3): of gripper_link.
        arrived: s, monotonic; -inf before the first reading. since: start of the present unbroken row of
            readings. bad: readings that were not believed; complaint: why the last one was not.
        opening, opening_speed: of the gripper, 0 closed .. 1 open, per s.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self.joints, self.velocities = np.zeros(6), np.zeros(6)
        self.position, self.rotation = forward_kinematics(self.joints)
        self.arrived = self.since = -np.inf
        self.bad, self.complaint = 0, ""
        self.opening, self.opening_speed = 0.0, 0.0
        self._opening_at = -np.inf
        self._doubted = 0
        self._excused = 0.0

    def excuse(self, stall: float) -> None:
        """Note that this process did not run for ``stall`` s: readings may be waiting to be heard.

        Between two readings at most one timeout is excused, so that a loss is noticed on an overloaded
        computer, too.
        """
        self._excused = min(self._excused + stall, self._timeout)

    def take(self, positions: Sequence[float], velocities: Sequence[float], now: float) -> bool:
        """A reading of the arm; elements beyond the sixth are the gripper's, in no useful unit.

        Returns:
            Whether it is believed.
        """
        joints = np.asarray(positions[:6], np.float64)
        if joints.shape != (6,) or not np.isfinite(joints).all():
            return self._refuse(f"the arm's feedback is not six finite joint angles: {list(positions)}")
        gap = now - self.arrived
        if gap < 1.0 and self._doubted < 5:
            moved = float(np.abs(joints - self.joints).max())
            if moved > 0.1 + FASTEST * gap:
                self._doubted += 1  # five such readings in a row are not an outlier
                return self._refuse(f"the arm's feedback jumped by {moved:.2f} rad within {gap * 1e3:.0f} ms")
        silence, self._doubted, self._excused = self.age(now), 0, 0.0
        speeds = np.asarray(velocities[:6], np.float64)
        if speeds.shape != (6,) or not np.isfinite(speeds).all():
            speeds = (joints - self.joints) / gap if 0.0 < gap < 1.0 else np.zeros(6)
        if silence > self._timeout:
            self.since = now
        self.joints, self.velocities, self.arrived = joints, speeds, now
        self.position, self.rotation = forward_kinematics(joints)
        self.complaint = ""
        return True

    def take_gripper(self, position: float, now: float) -> bool:
        """A reading of the gripper, 0 closed .. 100 open."""
        if not np.isfinite(position):
            return False
        opening = float(np.clip(position / 100.0, 0.0, 1.0))
        gap = now - self._opening_at
        self.opening_speed = (opening - self.opening) / gap if 1e-4 < gap < 1.0 else 0.0
        self.opening, self._opening_at = opening, now
        return True

    def age(self, now: float) -> float:
        """Age of the newest believable reading, s, without the time in which nothing could be heard."""
        return now - self.arrived - self._excused

    def unbroken(self, now: float) -> float:
        """For how long readings have been coming without a gap, s."""
        return now - self.since if self.age(now) <= self._timeout else 0.0

    def outside(self, tolerance: float) -> str:
        """Joints that read outside their limits by more than ``tolerance`` rad, in words; "" if none does."""
        over = np.maximum(JOINT_LOW - self.joints, self.joints - JOINT_HIGH)
        return ", ".join(
            f"{joint.name} reads {np.degrees(value):+.1f} deg (limits {np.degrees(joint.low):+.0f} .. "
            f"{np.degrees(joint.high):+.0f})"
            for joint, value, beyond in zip(ARM_JOINTS, self.joints, over, strict=True)
            if beyond > tolerance
        )

    def _refuse(self, complaint: str) -> bool:
        self.bad += 1
        self.complaint = complaint
        return False

"""Feedback of the arm: joints, gripper, errors; how fresh it is, and whether it is believable."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from a1x_driver.vendor_config import GripperRange
from worldsample_core.arm.a1x_kinematics import ARM_JOINTS, JOINT_HIGH, JOINT_LOW, forward_kinematics
from worldsample_core.content_liveness import ContentLiveness

FASTEST = 20.0
"""rad/s; a reading that has moved faster since the last one is not believed."""
OVERTAKEN = 1_000_000_000
"""ns; a reading that is older by less has been overtaken; by more, the arm's clock was set back."""
LONGEST = 0.02
"""s; a longer silence between two readings is no reason to believe more."""
OUTLIERS = 5
"""Readings in a row that are not believed; if they agree with each other, the arm is there indeed."""
MUST_BE_SEEN = 0.02
"""rad; a target that moves further must show in the arm's feedback."""
HALF_STROKE = 0.5
"""A gripper's target that moves further, of 0 .. 1, must show in its feedback."""
AGREE = 0.1
"""rad between two such readings that agree."""


class Feedback:
    """The newest believable reading.

    Attributes:
        joints, velocities: (6,) rad, rad/s. position (3,) m and rotation (3, 3): of gripper_link.
        arrived: s, monotonic; -inf before the first reading. since: start of the present unbroken row of
            readings. gap: s between the last two readings, in which the arm may have moved.
        bad: readings that were not believed; complaint: why the last one was not.
        opening, opening_speed: of the gripper, 0 closed .. 1 open, per s. opening_arrived: s, monotonic.
        content: whether the readings change while the arm's target does; opening_content: likewise.
    """

    def __init__(self, timeout: float, frozen: float = 0.2, gripper: GripperRange | None = None) -> None:
        self._timeout, self._frozen = timeout, frozen
        self._range = gripper or GripperRange()
        self.content = ContentLiveness(frozen, MUST_BE_SEEN)
        self.opening_content = ContentLiveness(self._range.frozen, HALF_STROKE)
        self.joints, self.velocities = np.zeros(6), np.zeros(6)
        self.position, self.rotation = forward_kinematics(self.joints)
        self.arrived = self.since = -np.inf
        self.gap = np.inf
        self.bad, self.complaint = 0, ""
        self.opening, self.opening_speed = 0.0, 0.0
        self.opening_arrived = -np.inf
        self._newest = 0
        self._doubted, self._doubtful = 0, np.zeros(6)
        self._excused = 0.0

    def excuse(self, stall: float) -> None:
        """Note that this process did not run for ``stall`` s: readings may be waiting to be heard.

        Between two readings at most one timeout is excused, so that a loss is noticed on an overloaded
        computer, too.
        """
        self._excused = min(self._excused + stall, self._timeout)

    def take(
        self, positions: Sequence[float], velocities: Sequence[float], now: float, stamp: int = 0
    ) -> bool:
        """A reading of the arm; elements beyond the sixth are the gripper's, in no useful unit.

        Args:
            stamp: ns, of the arm's own clock: a reading that comes after a newer one is old. 0: unknown.

        Returns:
            Whether it is believed.
        """
        joints = np.asarray(positions[:6], np.float64)
        if joints.shape != (6,) or not np.isfinite(joints).all():
            return self._refuse(f"the arm's feedback is not six finite joint angles: {list(positions)}")
        if stamp and 0 < self._newest - stamp < OVERTAKEN:
            return False
        apart = (stamp - self._newest) * 1e-9 if stamp and self._newest else 0.0
        self._newest = stamp
        gap = now - self.arrived
        moved = float(np.abs(joints - self.joints).max())
        if np.isfinite(gap) and moved > 0.1 + FASTEST * min(gap, LONGEST):
            agrees = float(np.abs(joints - self._doubtful).max()) < AGREE
            self._doubted = self._doubted + 1 if agrees else 1
            self._doubtful = joints
            if self._doubted <= OUTLIERS:
                return self._refuse(f"the arm's feedback jumped by {moved:.2f} rad within {gap * 1e3:.0f} ms")
        silence, self._doubted, self._excused = self.age(now), 0, 0.0
        speeds = np.asarray(velocities[:6], np.float64)
        if speeds.shape != (6,) or not np.isfinite(speeds).all():
            speeds = (joints - self.joints) / gap if 0.0 < gap < 1.0 else np.zeros(6)
        if silence > self._timeout:
            self.since = now
        self.content.take(joints.tobytes(), now)
        # Readings that were held up arrive together, but show the arm as long apart as it stamped them.
        self.gap = max(gap, min(apart, self._timeout))
        self.joints, self.velocities, self.arrived = joints, speeds, now
        self.position, self.rotation = forward_kinematics(joints)
        self.complaint = ""
        return True

    def take_gripper(self, position: float, now: float) -> bool:
        """A reading of the gripper, in the vendor's numbers."""
        if not np.isfinite(position):
            return False
        closed, open_ = self._range.closed, self._range.open
        opening = float(np.clip((position - closed) / (open_ - closed), 0.0, 1.0))
        gap = now - self.opening_arrived
        self.opening_speed = (opening - self.opening) / gap if 1e-4 < gap < 1.0 else 0.0
        self.opening_content.take(np.float64(position).tobytes(), now)
        self.opening, self.opening_arrived = opening, now
        return True

    def gripper_fault(self, now: float) -> str:
        """Words for a gripper whose state is not known; "" for one whose state is."""
        age = now - self.opening_arrived
        if not np.isfinite(age):
            return "no feedback from the gripper yet"
        if age > self._range.timeout:
            return f"no feedback from the gripper for {age:.1f} s"
        frozen = self.opening_content.frozen(now)
        if frozen:
            return (
                f"the gripper repeats one reading for {frozen:.1f} s although its target moves: is it "
                "blocked or without power, or is its range another (driver.gripper.open)?"
            )
        return ""

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

    def trust_again(self) -> None:
        """Take the readings for live ones until the target has moved again without them."""
        self.content = ContentLiveness(self._frozen, MUST_BE_SEEN)

    def _refuse(self, complaint: str) -> bool:
        self.bad += 1
        self.complaint = complaint
        return False

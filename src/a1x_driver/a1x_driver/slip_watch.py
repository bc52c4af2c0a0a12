"""Notices an arm that moves away from its target, or whose feedback jumps: the target must be set anew then.

An arm without brakes sags when its power goes, and is pushed by hand. If its target stayed where it was, the
arm would snap back to it, as fast as the vendor's controller can, once the power returns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from a1x_driver.driver_config import Limits
from worldsample_core.arm.a1x_kinematics import Array

JUMP = 0.05
"""rad; a reading that is further from the last one than this, and than the arm can have moved, is a jump."""
DISTURBED = 1.0
"""rad/s; an arm that somebody pushes may move so fast without a jump."""
FORGET = 0.5
"""s, time constant with which motion away from the target is forgotten."""
LATE = 0.04
"""s by which a reading may come late."""
MEMORY = 0.2
"""s for which the arm may still follow a speed that its target has had."""


@dataclass(frozen=True)
class Reading:
    """Joint angles (6,) rad and the position (3,) m of gripper_link at them."""

    joints: Array
    position: Array


class SlipWatch:
    """Sums up how far readings lead away from the target.

    Attributes:
        speeds: (6,) rad/s, of the target's joints within the last moments.
        slid: rad, within the last moments. at: s, monotonic, of the last slip.
        words: what happened, for people.
        count: slips since the start.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._away, self.speeds = np.zeros(6), np.zeros(6)
        self._displaced, self._speed = 0.0, 0.0
        self.slid, self.at, self.count, self.words = 0.0, -np.inf, 0, ""

    def pace(self, velocity: Array, speed: float, dt: float) -> None:
        """Note how fast the target moves: joints (6,) rad/s, gripper_link m/s."""
        fades = np.exp(-dt / MEMORY)
        self.speeds = np.maximum(np.abs(velocity), self.speeds * fades)
        self._speed = max(speed, self._speed * float(fades))

    def take(self, before: Reading, after: Reading, target: Reading, gap: float, now: float) -> bool:
        """Compare two readings in a row with the target. gap: s between the readings.

        Returns:
            Whether the target must be set anew at ``after``.
        """
        fades = float(np.exp(-gap / FORGET))
        moved = np.abs(after.joints - before.joints)
        jumped = bool(np.any(moved > JUMP + (2.0 * self.speeds + DISTURBED) * gap))
        further = np.abs(target.joints - after.joints) - np.abs(target.joints - before.joints)
        self._away = np.maximum(0.0, self._away * fades + further)
        distance = _norm(target.position - after.position) - _norm(target.position - before.position)
        self._displaced = max(0.0, self._displaced * fades + distance)
        limits = self._limits
        # A reading that comes late shows where a moving arm was before.
        slipped = bool(np.any(self._away > limits.slip + LATE * self.speeds))
        slipped |= self._displaced > limits.slip_distance + LATE * self._speed
        if not jumped and not slipped:
            return False
        amount = float(moved.max()) if jumped else float(self._away.max())
        self.slid = amount + (self.slid if now - self.at < FORGET else 0.0)
        self.at, self.count = now, self.count + 1
        self._away[:], self._displaced = 0.0, 0.0
        what = "jumped" if jumped else "moved away from its target"
        self.words = f"the arm {what} by {self.slid:.2f} rad: its target is set anew where it is"
        return True

    def fault(self, now: float, recovery: float) -> str:
        """Words for an arm that has slid far within the last ``recovery`` s; "" for one that has not."""
        if self.slid <= self._limits.slip_fault or now - self.at >= recovery:
            return ""
        return f"{self.words}; is it powered, and was it pushed?"


def _norm(vector: Array) -> float:
    return float(np.sqrt(vector @ vector))

"""The measured joints of the arm at one observation, for viewers; no policy sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worldsample_core.arm.a1x_kinematics import ARM_JOINT_NAMES, FINGER_JOINT_NAMES
from worldsample_core.observation import InvalidObservation

JOINT_NAMES: tuple[str, ...] = (*ARM_JOINT_NAMES, *FINGER_JOINT_NAMES)
"""Names of the URDF, in the order of a reading."""
Values = Sequence[float] | NDArray[np.float64]
MAX_READING = 100.0
"""rad, m, and per second; no joint of the arm is beyond."""


@dataclass(frozen=True, slots=True)
class JointReading:
    """Positions and velocities of :data:`JOINT_NAMES`.

    Attributes:
        positions: ``(8,) float64``, rad; of the fingers m.
        velocities: ``(8,) float64``, rad/s; of the fingers m/s.
    """

    positions: NDArray[np.float64]
    velocities: NDArray[np.float64]

    @classmethod
    def of(cls, names: Sequence[str], positions: Values, velocities: Values) -> JointReading:
        """A reading of joints in any order.

        Raises:
            InvalidObservation: a joint of the URDF is missing, or a value is none of an arm's.
        """
        if not len(names) == len(positions) == len(velocities):
            raise InvalidObservation("joints have as many names as positions and velocities")
        places = {name: place for place, name in enumerate(names)}
        missing = [name for name in JOINT_NAMES if name not in places]
        if missing:
            raise InvalidObservation(f"the joints {', '.join(missing)} are missing")
        order = [places[name] for name in JOINT_NAMES]
        read = np.array([positions, velocities], np.float64)[:, order]
        if not np.abs(read).max() <= MAX_READING:
            raise InvalidObservation(f"joints {read} are not finite, or beyond {MAX_READING:g}")
        return cls(read[0], read[1])

"""Observations and actions: two camera views and proprioception in, seven numbers out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

VIEWS: tuple[str, str] = ("side", "wrist")
"""Order of the views in every image array."""

PROPRIO_DIM = 10
"""ee position xyz (3), ee rotation vector (3), gripper opening (1), ee linear velocity xyz (3)."""

PROPRIO_FLOOR = (0.01,) * 3 + (0.05,) * 3 + (0.1,) + (0.02,) * 3
"""Smallest deviations by which proprioception is divided: m, rad, opening, m/s.

A value that hardly varies in the demonstrations (a gripper that stays closed) may vary a lot afterwards.
"""

ACTION_DIM = 7
"""delta xyz (3), delta rotation (3), gripper (1)."""

GRIPPER = 6
"""Index of the gripper in an action."""


class InvalidObservation(ValueError):
    """An observation or action whose shape, type or values cannot be used."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One synchronised observation of the cell.

    Attributes:
        images: ``(2, H, W, 3) uint8`` rgb, in the order of :data:`VIEWS`.
        proprio: ``(10,) float32``: ee position [m, base_link], ee rotation vector [rad, relative to the
            task's reset orientation], gripper opening [0 closed .. 1 open], ee linear velocity [m/s].
        stamp: time of the observation, s.
    """

    images: NDArray[np.uint8]
    proprio: NDArray[np.float32]
    stamp: float = 0.0

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the images, pixels."""
        return int(self.images.shape[1]), int(self.images.shape[2])

    def validate(self) -> Observation:
        """Return self. Raises :class:`InvalidObservation`, with the reason, where it cannot be used."""
        images, proprio = self.images, self.proprio
        if (
            images.dtype != np.uint8
            or images.ndim != 4
            or images.shape[0] != len(VIEWS)
            or images.shape[3] != 3
        ):
            raise InvalidObservation(f"images must be (2, H, W, 3) uint8, got {images.shape} {images.dtype}")
        if proprio.dtype != np.float32 or proprio.shape != (PROPRIO_DIM,):
            raise InvalidObservation(
                f"proprio must be ({PROPRIO_DIM},) float32, got {proprio.shape} {proprio.dtype}"
            )
        if not np.isfinite(proprio).all():
            raise InvalidObservation(f"proprio has non-finite values: {proprio}")
        return self


def clean_action(
    action: NDArray[np.floating], active: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """The action as ``(7,) float32`` clipped to [-1, 1], with inactive dimensions at 0.

    Raises:
        InvalidObservation: wrong shape, or a value that is not finite (a NaN is never clipped into a motion).
    """
    array = np.asarray(action, dtype=np.float32)
    if array.shape != (ACTION_DIM,):
        raise InvalidObservation(f"an action is ({ACTION_DIM},), got {array.shape}")
    if not np.isfinite(array).all():
        raise InvalidObservation(f"the action has non-finite values: {array}")
    array = np.clip(array, -1.0, 1.0)
    if active is not None:
        array = np.where(active, array, np.float32(0.0)).astype(np.float32)
    return array

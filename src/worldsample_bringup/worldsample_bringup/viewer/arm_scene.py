"""Logs the arm in space: its links, the measured gripper, the commanded motion and the workspace."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import rerun as rr
from numpy.typing import NDArray

from worldsample_bringup.viewer import entities
from worldsample_core.arm.a1x_kinematics import joint_positions

LINK_RADIUS = 0.025  # m
AXIS_LENGTH = 0.06  # m
COMMAND_SCALE = 4.0
"""A commanded motion of one step, 1 to 3 cm, is drawn so many times as long."""
_ARM, _COMMAND, _BOX = (120, 130, 150), (240, 140, 20), (90, 160, 240)


def log_workspace(stream: rr.RecordingStream, low: Sequence[float], high: Sequence[float]) -> None:
    """Log the box that the gripper never leaves, and which way is up. low, high: corners, m, base_link."""
    stream.log("scene", rr.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
    bottom, top = np.asarray(low[:3], dtype=float), np.asarray(high[:3], dtype=float)
    box = rr.Boxes3D(mins=[bottom], sizes=[top - bottom], colors=[_BOX])
    stream.log(entities.WORKSPACE, box, static=True)


class ArmScene:
    """Draws the arm as it was measured.

    Args:
        stream: of the recording.
    """

    def __init__(self, stream: rr.RecordingStream) -> None:
        self._stream = stream
        self._position: NDArray[np.float64] | None = None

    def joints(self, angles: NDArray[np.float64]) -> None:
        """Log the arm's links. angles: ``(6,)`` rad."""
        points = np.vstack([np.zeros(3), joint_positions(angles)])
        strip = rr.LineStrips3D([points], radii=[LINK_RADIUS], colors=[_ARM])
        self._stream.log(entities.ARM, strip)

    def gripper(self, position: NDArray[np.float64], quaternion: NDArray[np.float64] | None = None) -> None:
        """Log the measured pose of the gripper. position: m; quaternion: x y z w; both in base_link."""
        self._position = position
        rotation = None if quaternion is None else rr.Quaternion(xyzw=quaternion)
        self._stream.log(entities.GRIPPER, rr.Transform3D(translation=position, quaternion=rotation))
        self._stream.log(entities.GRIPPER, rr.TransformAxes3D(AXIS_LENGTH))

    def command(self, translation: NDArray[np.float64]) -> None:
        """Log the commanded motion of a step as an arrow at the gripper. translation: m, base_link."""
        if self._position is None:
            return
        arrow = rr.Arrows3D(
            origins=[self._position], vectors=[COMMAND_SCALE * translation], colors=[_COMMAND], radii=[0.006]
        )
        self._stream.log(entities.COMMAND, arrow)

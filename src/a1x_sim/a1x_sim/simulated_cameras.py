"""Calibration of the simulated cameras, as the scene places them."""

from __future__ import annotations

import numpy as np

from a1x_sim.arm_model import WRIST_AXES, WRIST_FOVY, WRIST_POSITION
from a1x_sim.tasks.base import Task
from worldsample_core.arm.rotation import matrix_to_roll_pitch_yaw
from worldsample_core.camera_calibration import CameraCalibration


def calibrations(task: Task, size: tuple[int, int]) -> dict[str, CameraCalibration]:
    """Lens and place of both cameras in a task's cell.

    Args:
        size: (width, height) of the images, pixels.
    """
    side = task.scene().side_camera
    return {
        "side": _calibration(side.position, side.xyaxes, side.fovy, size),
        "wrist": _calibration(WRIST_POSITION, WRIST_AXES, WRIST_FOVY, size),
    }


def _calibration(
    position: tuple[float, float, float], xyaxes: str, fovy: float, size: tuple[int, int]
) -> CameraCalibration:
    """Calibration of a camera in MJCF, which looks along -z with y up; square pixels, a centred image."""
    x, y = np.array(xyaxes.split(), np.float64).reshape(2, 3)
    x /= np.linalg.norm(x)
    y -= (x @ y) * x
    y /= np.linalg.norm(y)
    body = np.stack([-np.cross(x, y), -x, y], axis=1)  # forward, left, up
    width, height = size
    focal = height / 2 / float(np.tan(np.radians(fovy) / 2))
    return CameraCalibration(
        position, matrix_to_roll_pitch_yaw(body), (focal, focal, width / 2 - 0.5, height / 2 - 0.5)
    )

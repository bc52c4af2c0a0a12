"""Logs where each camera is and what it looks at, where its calibration is known."""

from __future__ import annotations

import numpy as np
import rerun as rr

from worldsample_bringup.viewer import entities
from worldsample_core.arm.rotation import matrix_to_quaternion, roll_pitch_yaw_to_matrix
from worldsample_core.camera_calibration import OPTICAL, PARENTS, Lens, lens_of_square, optical_frame
from worldsample_core.observation import VIEWS
from worldsample_core.settings import Settings

DEPTH = 0.15
"""Distance from the lens at which a picture is drawn in space, m."""
_FRUSTUM = (150, 150, 160)


def log_frusta(stream: rr.RecordingStream, settings: Settings, trained_on: bool = False) -> None:
    """Log lens and place of the cameras; of a camera that is not calibrated, nothing.

    Args:
        stream: of the recording.
        settings: of the run.
        trained_on: the pictures are those that the policy saw, and not the cameras' own.
    """
    run, cameras = settings.run, settings.cameras
    for view in VIEWS:
        known = cameras.calibration(view)
        if known.position is None or known.lens is None:
            continue
        lens, size = known.lens, (cameras.width or run.image_size, cameras.height or run.image_size)
        if trained_on:
            lens = lens_of_square(lens, size, run.image_size, known.crop)
            size = (run.image_size, run.image_size)
        turned = roll_pitch_yaw_to_matrix(known.rotation) @ roll_pitch_yaw_to_matrix(OPTICAL)
        w, x, y, z = matrix_to_quaternion(turned)
        place = rr.Transform3D(
            translation=known.position,
            quaternion=rr.Quaternion(xyzw=[x, y, z, w]),
            parent_frame=PARENTS[view],
            child_frame=optical_frame(view),
        )
        stream.log(entities.PLACES[view], place, static=True)
        stream.log(entities.CAMERAS[view], _pinhole(lens, size, optical_frame(view)), static=True)


def _pinhole(lens: Lens, size: tuple[int, int], frame: str) -> rr.Pinhole:
    fx, fy, cx, cy = lens
    matrix = np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])
    return rr.Pinhole(
        image_from_camera=matrix,
        resolution=size,
        parent_frame=frame,
        image_plane_distance=DEPTH,
        color=_FRUSTUM,
        line_width=0.001,
    )

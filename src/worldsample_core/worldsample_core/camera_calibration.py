"""Lens and place of a camera, and the frames that it spans (REP 103 and 105).

``<view>_link`` is the camera's body: x forward, y left, z up. ``<view>_color_optical_frame`` is the frame of
its pixels: z forward, x right, y down. These are the names that ``realsense2_camera`` gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worldsample_core.arm.a1x_kinematics import BASE_FRAME, EE_FRAME
from worldsample_core.arm.rotation import matrix_to_quaternion, roll_pitch_yaw_to_matrix
from worldsample_core.messages.images import Crop, square_of
from worldsample_core.units import Metres, Pixels, Radians

PARENTS: Mapping[str, str] = {"side": BASE_FRAME, "wrist": EE_FRAME}
"""The frame that each camera is fixed to."""

Lens = tuple[float, float, float, float]
"""Focal lengths fx, fy and centre cx, cy, pixels; the centre of the first pixel is (0, 0)."""

OPTICAL = (-np.pi / 2, 0.0, -np.pi / 2)
"""Roll, pitch, yaw of an optical frame in its camera's frame, rad (REP 103)."""


@dataclass(frozen=True)
class CameraCalibration:
    """Lens and place of one camera."""

    position: tuple[Metres, Metres, Metres] | None = None
    """Place x, y, z of the camera's body (``side_link``, ``wrist_link``): the side camera's in base_link, the
    wrist camera's in gripper_link. null: not known, and no transform of it is published. In simulation the
    task's scene gives all three."""
    rotation: tuple[Radians, Radians, Radians] = (0.0, 0.0, 0.0)
    """Roll, pitch, yaw of the camera's body in the same frame, as in URDF. At 0 it looks along x."""
    lens: Lens | None = None
    """fx, fy, cx, cy in pixels of the camera's images, ``cameras.width`` x ``cameras.height``, without
    distortion. null: not known, and recorded episodes have no CameraInfo."""
    crop: tuple[Pixels, Pixels, Pixels] | None = None
    """Region of interest: left, top and side, in pixels of the camera's images, of the square that becomes
    the training image. null: the largest centred square. Episodes remember it, and a run with another one
    refuses them."""

    def __post_init__(self) -> None:
        if self.crop is not None and self.crop[2] < 1:
            raise ValueError(f"the side of a crop is above 0, got {list(self.crop)}")
        numbers = (*(self.position or ()), *self.rotation, *(self.lens or ()))
        if not np.isfinite(numbers).all():
            raise ValueError("position, rotation and lens must be finite")
        if self.lens is not None and min(self.lens[:2]) <= 0.0:
            raise ValueError(f"a focal length is above 0, got {self.lens[:2]}")


@dataclass(frozen=True)
class Transform:
    """Pose of the frame ``child`` in the frame ``parent``.

    Attributes:
        translation: x, y, z, m.
        rotation: unit quaternion x, y, z, w.
    """

    parent: str
    child: str
    translation: tuple[float, float, float]
    rotation: tuple[float, float, float, float]

    @classmethod
    def of(
        cls, parent: str, child: str, position: NDArray[np.float64], rotation: NDArray[np.float64]
    ) -> Transform:
        """From a position ``(3,)`` and a rotation matrix ``(3, 3)``."""
        x, y, z = (float(value) for value in position)
        w, *vector = (float(value) for value in matrix_to_quaternion(rotation))
        return cls(parent, child, (x, y, z), (vector[0], vector[1], vector[2], w))


def optical_frame(view: str) -> str:
    """Name of the frame in which a camera's pixels lie."""
    return f"{view}_color_optical_frame"


def camera_transforms(view: str, camera: CameraCalibration, *, inner: bool = True) -> tuple[Transform, ...]:
    """The fixed transforms of a camera; none where its place is not known.

    Args:
        inner: with those inside the camera, from its body to the optical frame. The driver of a RealSense
            camera publishes these itself, as its factory has measured them.
    """
    if camera.position is None:
        return ()
    body, lens = f"{view}_link", f"{view}_color_frame"
    nothing, straight = np.zeros(3), np.eye(3)
    place = np.asarray(camera.position), roll_pitch_yaw_to_matrix(camera.rotation)
    outer = (Transform.of(PARENTS[view], body, *place),)
    if not inner:
        return outer
    return (
        *outer,
        Transform.of(body, lens, nothing, straight),
        Transform.of(lens, optical_frame(view), nothing, roll_pitch_yaw_to_matrix(OPTICAL)),
    )


def lens_of_square(lens: Lens, size: tuple[int, int], side: int, crop: Crop | None = None) -> Lens:
    """The lens of a training image: of a square of the camera's image, averaged down.

    Args:
        lens: of the camera's images.
        size: (width, height) of the camera's images.
        side: of the training images, pixels.
        crop: see :func:`worldsample_core.messages.images.square_of`.

    Raises:
        InvalidObservation: there is no such square in the image.
    """
    fx, fy, cx, cy = lens
    left, top, square = square_of(*size, side, crop)
    scale = side / square
    return (
        fx * scale,
        fy * scale,
        (cx - left + 0.5) * scale - 0.5,
        (cy - top + 0.5) * scale - 0.5,
    )

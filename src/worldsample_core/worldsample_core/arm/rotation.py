"""Rotation vectors and matrices, plain NumPy (float64, rad)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def rotvec_to_matrix(rotvec: Array) -> Array:
    """Rodrigues' formula: rotation vector (3,) rad -> rotation matrix (3, 3)."""
    angle = float(np.sqrt(rotvec @ rotvec))
    x, y, z = rotvec
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    if angle < 1e-8:
        return np.eye(3) + cross
    return np.eye(3) + np.sin(angle) / angle * cross + (1 - np.cos(angle)) / angle**2 * (cross @ cross)


def matrix_to_rotvec(matrix: Array) -> Array:
    """Rotation matrix (3, 3) -> rotation vector (3,) rad, angle in [0, pi]."""
    axis = np.array([matrix[2, 1] - matrix[1, 2], matrix[0, 2] - matrix[2, 0], matrix[1, 0] - matrix[0, 1]])
    sine, cosine = 0.5 * float(np.sqrt(axis @ axis)), 0.5 * (float(np.trace(matrix)) - 1.0)
    if sine > 1e-7:
        return axis * (np.arctan2(sine, cosine) / (2.0 * sine))
    if cosine > 0:
        return axis * 0.5
    # Half a turn: the axis is the column of (R + I) / 2 with the largest diagonal element.
    outer = 0.5 * (matrix + np.eye(3))
    column = outer[:, int(np.argmax(np.diag(outer)))]
    return np.pi * column / np.sqrt(column @ column)


def roll_pitch_yaw_to_matrix(angles: tuple[float, float, float]) -> Array:
    """Roll, pitch, yaw about the fixed axes x, y, z, rad, as in URDF -> rotation matrix (3, 3)."""
    turns = (rotvec_to_matrix(np.eye(3)[axis] * angle) for axis, angle in enumerate(angles))
    roll, pitch, yaw = turns
    return yaw @ pitch @ roll


def matrix_to_roll_pitch_yaw(matrix: Array) -> tuple[float, float, float]:
    """Rotation matrix (3, 3) -> roll, pitch, yaw about the fixed axes x, y, z, rad; pitch in +-pi/2."""
    pitch = np.arctan2(-matrix[2, 0], np.hypot(matrix[0, 0], matrix[1, 0]))
    if np.cos(pitch) < 1e-9:  # looking straight up or down: roll and yaw turn about one axis
        return 0.0, float(pitch), float(np.arctan2(-matrix[0, 1], matrix[1, 1]))
    return (
        float(np.arctan2(matrix[2, 1], matrix[2, 2])),
        float(pitch),
        float(np.arctan2(matrix[1, 0], matrix[0, 0])),
    )


def matrix_to_quaternion(matrix: Array) -> Array:
    """Rotation matrix (3, 3) -> unit quaternion (4,) as w, x, y, z."""
    rotvec = matrix_to_rotvec(matrix)
    angle = float(np.sqrt(rotvec @ rotvec))
    if angle < 1e-9:
        return np.array([1.0, 0.0, 0.0, 0.0])
    return np.array([np.cos(angle / 2), *(rotvec * (np.sin(angle / 2) / angle))])


def quaternion_to_matrix(quaternion: Array) -> Array:
    """Quaternion (4,) as w, x, y, z, of any length above 0 -> rotation matrix (3, 3)."""
    w, x, y, z = quaternion / np.sqrt(quaternion @ quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )

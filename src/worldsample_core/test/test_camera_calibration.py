"""Camera frames lie as REP 103 says, and the lens of a training image fits its pixels."""

import numpy as np
import pytest

from worldsample_core.arm.rotation import (
    matrix_to_quaternion,
    matrix_to_roll_pitch_yaw,
    roll_pitch_yaw_to_matrix,
    rotvec_to_matrix,
)
from worldsample_core.camera_calibration import (
    CameraCalibration,
    Transform,
    camera_transforms,
    lens_of_square,
)
from worldsample_core.config import ConfigError, from_mapping, to_mapping
from worldsample_core.messages.images import to_training_size


def matrix_of(transform: Transform) -> np.ndarray:
    """Rotation matrix of a transform."""
    *vector, w = transform.rotation
    angle = 2 * np.arctan2(np.linalg.norm(vector), w)
    axis = np.asarray(vector) / max(float(np.linalg.norm(vector)), 1e-12)
    return rotvec_to_matrix(axis * angle)


def test_an_optical_frame_looks_along_z_with_x_to_the_right() -> None:
    camera = CameraCalibration(position=(0.1, 0.2, 0.3))
    body, color, optical = camera_transforms("side", camera)
    assert [(each.parent, each.child) for each in (body, color, optical)] == [
        ("base_link", "side_link"),
        ("side_link", "side_color_frame"),
        ("side_color_frame", "side_color_optical_frame"),
    ]
    np.testing.assert_allclose(body.translation, (0.1, 0.2, 0.3))
    turned = matrix_of(body) @ matrix_of(color) @ matrix_of(optical)
    right, down, forward = turned.T
    np.testing.assert_allclose(forward, (1, 0, 0), atol=1e-12)
    np.testing.assert_allclose(right, (0, -1, 0), atol=1e-12)
    np.testing.assert_allclose(down, (0, 0, -1), atol=1e-12)


def test_the_wrist_camera_is_fixed_to_the_gripper_and_turns_as_urdf_says() -> None:
    camera = CameraCalibration(position=(0.0, 0.0, 0.1), rotation=(0.0, np.pi / 2, 0.0))
    (body,) = camera_transforms("wrist", camera, inner=False)
    assert (body.parent, body.child) == ("gripper_link", "wrist_link")
    np.testing.assert_allclose(matrix_of(body)[:, 0], (0, 0, -1), atol=1e-12)  # pitch: x turns down


def test_an_unknown_place_gives_no_transform() -> None:
    assert camera_transforms("side", CameraCalibration()) == ()


@pytest.mark.parametrize("angles", [(0.1, -0.2, 3.0), (-3.0, 1.5, -0.4), (0.0, np.pi / 2, 0.7), (0.3, 0, 0)])
def test_roll_pitch_yaw_comes_back(angles: tuple[float, float, float]) -> None:
    matrix = roll_pitch_yaw_to_matrix(angles)
    again = roll_pitch_yaw_to_matrix(matrix_to_roll_pitch_yaw(matrix))
    np.testing.assert_allclose(again, matrix, atol=1e-9)
    assert np.linalg.norm(matrix_to_quaternion(matrix)) == pytest.approx(1.0)


@pytest.mark.parametrize(("width", "height"), [(640, 480), (480, 640), (64, 64)])
def test_a_point_is_where_the_lens_of_the_training_image_says(width: int, height: int) -> None:
    lens = (1.2 * min(width, height), 1.1 * min(width, height), width / 2 - 3.0, height / 2 + 5.0)
    fx, fy, cx, cy = lens_of_square(lens, (width, height), 32)
    x, y = 0.2, -0.15  # tangents of the ray
    column, row = lens[0] * x + lens[2], lens[1] * y + lens[3]
    image = np.zeros((height, width, 3), np.uint8)
    rows, columns = np.mgrid[:height, :width]
    image[np.hypot(rows - row, columns - column) < min(width, height) / 12] = 255
    small = to_training_size(image, 32)[..., 0].astype(float)
    rows, columns = np.mgrid[:32, :32]
    seen = (small * columns).sum() / small.sum(), (small * rows).sum() / small.sum()
    np.testing.assert_allclose(seen, (fx * x + cx, fy * y + cy), atol=0.15)


def test_settings_hold_a_calibration_and_refuse_nonsense() -> None:
    camera = CameraCalibration((0.1, 0.2, 0.3), (0.0, 0.5, 1.0), (600.0, 600.0, 319.5, 239.5))
    assert from_mapping(CameraCalibration, to_mapping(camera)) == camera
    assert from_mapping(CameraCalibration, {"position": None}) == CameraCalibration()
    with pytest.raises(ConfigError, match="3 values"):
        from_mapping(CameraCalibration, {"position": [1, 2]})
    with pytest.raises(ConfigError, match="focal"):
        from_mapping(CameraCalibration, {"lens": [0, 600, 1, 1]})
    with pytest.raises(ConfigError, match="finite"):
        from_mapping(CameraCalibration, {"rotation": [float("inf"), 0, 0]})

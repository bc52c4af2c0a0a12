"""A camera that repeats one picture at the usual rate is not alive (field report 3)."""

import numpy as np

from worldsample_policy.acting.camera_liveness import CameraLiveness


def watch(frozen: str, speed: float, seconds: float = 3.0) -> list[str]:
    rng = np.random.default_rng(0)
    cameras, still = CameraLiveness(), rng.integers(0, 255, 30_000, np.uint8)
    for now in np.arange(0.0, seconds, 1 / 30):
        cameras.pose(np.array([speed * now, 0.0, 0.2]), now)
        for view in ("side", "wrist"):
            picture = still if view == frozen else rng.integers(0, 255, 30_000, np.uint8)
            cameras.picture(view, picture.tobytes(), now)
    return cameras.frozen(seconds)


def test_field_report_03_a_frozen_camera_is_named_while_the_arm_moves() -> None:
    assert watch("wrist", speed=0.1) == ["wrist"]
    assert watch("side", speed=0.1) == ["side"]
    assert watch("", speed=0.1) == []


def test_field_report_03_pictures_of_a_still_cell_may_repeat() -> None:
    assert watch("wrist", speed=0.0, seconds=60.0) == []


def test_field_report_03_a_camera_that_is_back_counts_again() -> None:
    cameras = CameraLiveness()
    for number, now in enumerate(np.arange(0.0, 2.0, 0.05)):
        cameras.pose(np.array([0.1 * now, 0.0, 0.2]), now)
        cameras.picture("side", bytes([number % 256]) * 300, now)
        cameras.picture("wrist", b"same" * 75, now)
    assert cameras.frozen(2.0) == ["wrist"]
    cameras.picture("wrist", b"else" * 75, 2.01)
    assert cameras.frozen(2.02) == []

"""Moving pictures of evaluation episodes: the failures, one success, and nothing that costs a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from worldsample_policy.acting.evaluation_pictures import FAILURES, HOLD, EvaluationPictures


def play(pictures: EvaluationPictures, steps: int, scene: int, success: bool, frames: int = 3) -> Path | None:
    for brightness in range(frames):
        pictures.add(np.full((2, 32, 32, 3), 60 * brightness, np.uint8))
    return pictures.end(steps, scene, success)


def test_the_first_failures_and_one_success_of_each_evaluation_are_kept(tmp_path: Path) -> None:
    pictures = EvaluationPictures(tmp_path, 0.1)
    kept = [play(pictures, 500, scene, scene % 3 == 0) for scene in range(12)]
    names = sorted(path.name for path in kept if path is not None)
    assert names == [
        "step_0000500_scene_0_success.webp", "step_0000500_scene_1_failure.webp",
        "step_0000500_scene_2_failure.webp", "step_0000500_scene_4_failure.webp",
    ]  # fmt: skip
    again = EvaluationPictures(tmp_path, 0.1)  # a resumed run knows what is there
    assert play(again, 500, 99, False) is None and play(again, 1000, 99, False) is not None
    assert len(list((tmp_path / "rollouts").iterdir())) == FAILURES + 2


def test_a_picture_runs_in_real_time_with_both_views(tmp_path: Path) -> None:
    path = play(EvaluationPictures(tmp_path, 0.1), 0, 7, True, frames=4)
    assert path is not None
    with Image.open(path) as picture:
        assert picture.size == (256, 128) and picture.n_frames == 4
        durations = []
        for frame in range(4):
            picture.seek(frame)
            picture.load()
            durations.append(picture.info["duration"])
        assert durations == [100, 100, 100, HOLD]


def test_a_full_disk_and_an_empty_episode_cost_nothing(tmp_path: Path) -> None:
    (tmp_path / "rollouts").write_text("in the way")
    pictures = EvaluationPictures(tmp_path, 0.1)
    assert play(pictures, 0, 1, False) is None
    assert pictures.end(0, 2, False) is None

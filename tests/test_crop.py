"""The region of interest: the policy sees that square everywhere, and nothing else is mixed with it."""

from __future__ import annotations

import base64
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from a1x_sim.cell import Cell
from tests.short_runs import digests
from worldsample_bringup.crop.crop_page import crop_page
from worldsample_bringup.run import prepare
from worldsample_bringup.run.options import Request
from worldsample_bringup.run.run_folder import RunFolder
from worldsample_core.camera_calibration import lens_of_square
from worldsample_core.config import ConfigError
from worldsample_core.episodes.episode_bag import read_metadata, read_transitions
from worldsample_core.episodes.episode_store import find_bags
from worldsample_core.messages.images import to_training_size
from worldsample_core.observation import InvalidObservation

WIDE = ("cameras.width=128", "cameras.height=128")
CROPS = ("cameras.side.crop=[30,20,70]", "cameras.wrist.crop=[0,0,64]")


def settings(folder: Path, *overrides: str) -> prepare.Settings:
    return prepare.plan(Request("train", machine="cpu", overrides=overrides), folder).settings


def test_the_square_is_cut_out_and_averaged_down() -> None:
    image = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    cut = to_training_size(image, 16, (40, 8, 32))
    wanted = image[8:40, 40:72].reshape(16, 2, 16, 2, 3).mean((1, 3))
    assert np.abs(cut - wanted).max() <= 0.5
    assert np.array_equal(to_training_size(image, 32, (40, 8, 32)), image[8:40, 40:72])


@pytest.mark.parametrize("crop", [(100, 0, 32), (0, 70, 32), (0, 0, 8)])
def test_a_square_outside_of_the_picture_or_too_small_is_refused(crop: tuple[int, int, int]) -> None:
    with pytest.raises(InvalidObservation, match="crop"):
        to_training_size(np.zeros((96, 128, 3), np.uint8), 16, crop)


def test_the_lens_follows_the_square() -> None:
    """A point in the middle of the square is in the middle of the training image."""
    fx, fy, cx, cy = lens_of_square((100.0, 100.0, 63.5, 47.5), (128, 96), 16, (48, 32, 32))
    assert (fx, fy) == (50.0, 50.0) and (cx, cy) == (7.5, 7.5)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ("cameras.side.crop=[0,0,80]",),
            "cameras.side: the crop .* lies outside of the camera image, 64x64",
        ),
        ((*WIDE, "cameras.wrist.crop=[100,0,64]"), "cameras.wrist: .*128x128"),
        ((*WIDE, "cameras.side.crop=[0,0,32]"), "smaller than the training size"),
        (("cameras.side.crop=[-1,0,64]",), "cannot be negative"),
    ],
)
def test_what_cannot_be_cut_out_is_refused_before_anything_starts(
    tmp_path: Path, overrides: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        settings(tmp_path, *overrides)


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "worldsample_bringup.cli", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.slow
def test_recorded_and_trained_with_one_square_and_refused_with_another(tmp_path: Path) -> None:
    """The frames on disk are the square of the simulator's pictures, and a run must have the same square."""
    tiny = ("--quick", "--machine", "cpu", "--steps", "40", "run.demos=1", "run.image_size=64")
    said = ("train", "--one-process", "--method", "hil_serl", "--run-dir", "first", *tiny, *WIDE, *CROPS)
    done = run(tmp_path, *said)
    assert done.returncode == 0, done.stdout + done.stderr
    bag = find_bags(tmp_path / "first")[0]
    summary, custom = read_metadata(bag)
    assert custom["crops"] == "side [30, 20, 70], wrist [0, 0, 64]"
    cell = Cell("pushing", 128, 0, settings(tmp_path, *WIDE).task, rendered_lines=128)
    side, wrist = cell.reset(summary.seed).images
    seen = read_transitions(bag)[0].observation.images
    assert np.array_equal(seen[0], to_training_size(side, 64, (30, 20, 70)))
    assert np.array_equal(seen[1], wrist[:64, :64])

    other = run(tmp_path, "train", "--demos-from", "first", "--run-dir", "other", *WIDE)
    assert other.returncode == 2 and "regions of interest" in other.stderr, other.stderr
    changed = run(tmp_path, "train", "--resume", "first", "--steps", "50", "cameras.side.crop=[0,0,64]")
    assert changed.returncode == 2 and "was begun with the regions of interest" in changed.stderr
    evaluated = run(tmp_path, "eval", "--run-dir", "first", "--episodes", "1", "--json")
    assert evaluated.returncode == 0, evaluated.stderr
    assert digests(RunFolder(tmp_path / "first"))["transitions"] > 40
    covered = run(tmp_path, "bench", "coverage", "--run-dir", "first", "--scenes", "1", "--json")
    assert covered.returncode == 0, covered.stderr


def test_the_page_holds_both_pictures_and_the_squares_of_now() -> None:
    pictures = {
        view: np.random.default_rng(i).integers(0, 256, (48, 64, 3), dtype=np.uint8)
        for i, view in enumerate(("side", "wrist"))
    }
    page = crop_page(pictures, {"side": (10, 4, 32), "wrist": None}, 16)
    found = re.search(r"const data = (\{.*\});", page)
    assert found is not None
    data = json.loads(found[1])
    assert data["size"] == 16 and data["views"]["side"]["crop"] == [10, 4, 32]
    assert data["views"]["wrist"]["crop"] == [8, 0, 48], "the centred square"
    for view, picture in pictures.items():
        encoded = data["views"][view]["source"].partition("base64,")[2]
        shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))))
        assert np.array_equal(shown, picture)
    assert "http" not in page, "nothing is loaded from elsewhere"


def test_the_command_draws_the_simulated_cell_and_names_what_is_missing(
    tmp_path: Path, ros_domain: int
) -> None:
    done = run(tmp_path, "crop", "--sim", "cameras.side.crop=[30,20,170]")
    assert done.returncode == 0 and "256x256" in done.stdout, done.stderr
    assert "[30, 20, 170]" in (tmp_path / "crop.html").read_text()
    silent = run(tmp_path, "crop", "--seconds", "0.5", "--out", "no.html")
    assert silent.returncode == 2 and "/side/color/image_raw" in silent.stderr
    (tmp_path / "text.png").write_text("no picture")
    unreadable = run(tmp_path, "crop", "--pictures", "text.png", "text.png")
    assert unreadable.returncode == 2 and "text.png is no picture" in unreadable.stderr
    missing = run(tmp_path, "crop", "--pictures", "nowhere.png", "nowhere.png")
    assert missing.returncode == 2 and "nowhere.png" in missing.stderr and "Traceback" not in missing.stderr

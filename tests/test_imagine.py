"""``worldsample imagine``: a real segment above what the world model imagines, as a picture of each kind."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml
from PIL import Image

pytest.importorskip("worldsample_msgs")
from worldsample_bringup import cli
from worldsample_bringup.imagine.comparison_picture import LABEL, VIEW
from worldsample_bringup.run.run_folder import RunFolder
from worldsample_core.config import read_yaml

pytestmark = pytest.mark.usefixtures("one_thread")


def imagine(run: RunFolder, *options: object) -> int:
    return cli.main(["imagine", "--run-dir", str(run.path), *map(str, options)])


def test_a_strip_has_a_row_for_each_course_of_action(
    run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    heights = []
    for count in (0, 2):
        out = tmp_path / f"{count}.png"
        assert imagine(run, "--out", out, "--perturb", count, "--json") == 0
        told = json.loads(capsys.readouterr().out.splitlines()[-1])
        names = [f"other actions {number}" for number in range(1, count + 1)]
        assert list(told["success"]) == ["real", "imagined", *names] and told["success"]["real"]
        assert told["episode"] == 1 and told["psnr_side"] > 5
        with Image.open(out) as picture:
            heights.append(picture.height)
    assert heights[1] > 1.7 * heights[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.png", "2.png"]


@pytest.mark.parametrize("form", ["gif", "webp"])
def test_a_moving_picture_shows_every_step_and_then_the_end(
    run: RunFolder, tmp_path: Path, form: str
) -> None:
    out = tmp_path / "new" / f"imagined.{form}"
    assert imagine(run, "--out", out, "--episode", 0, "--from", 2, "--steps", 5) == 0
    with Image.open(out) as picture:
        assert picture.width >= LABEL + 2 * VIEW
        durations = []
        for frame in range(picture.n_frames):
            picture.seek(frame)
            picture.load()
            durations.append(picture.info["duration"])
    assert durations[:5] == [100] * 5 and sum(durations) == 100 * (6 + 12)


def test_an_mp4_plays(run: RunFolder, tmp_path: Path) -> None:
    av = pytest.importorskip("av", reason="the optional package av is not installed")
    out = tmp_path / "imagined.mp4"
    assert imagine(run, "--out", out, "--steps", 4) == 0
    with av.open(str(out)) as video:
        (stream,) = video.streams.video
        assert stream.codec_context.name == "h264" and float(stream.average_rate) == 10.0
        assert sum(1 for _ in video.decode(stream)) == 5 + 12


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--out", "FOLDER/a.webm"), "ends in .mp4, .webp, .gif, .png"),
        (("--out", "FOLDER/a.png", "--episode", 7), "there is no episode 7"),
        (("--out", "FOLDER/a.png", "--from", 900), "got 900"),
        (("--out", "FOLDER/a.png", "--perturb", 99), "--perturb is 0 .. 8"),
        (("--out", "FOLDER/a.png", "--steps", -2), "--steps is 1 .. "),
        (("--out", "FOLDER/a.png", "--steps", 0), "--steps is 1 .. "),
        (("--out", "FOLDER/a.png", "--steps", 1000), "got 1000"),
    ],
)
def test_what_cannot_be_shown_is_said(
    run: RunFolder, options: tuple[object, ...], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert imagine(run, *(str(option).replace("FOLDER", str(tmp_path)) for option in options)) == 2
    assert told in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_a_run_without_a_world_model_says_why(
    run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run.path, copy)
    shutil.rmtree(copy / "worldmodel")
    assert imagine(RunFolder(copy), "--out", tmp_path / "a.png") == 2
    assert "none has been saved yet" in capsys.readouterr().err
    config = read_yaml(copy / "config.yaml")
    config["worldmodel"]["enabled"], config["run"]["method"] = False, "hil_serl"
    (copy / "config.yaml").write_text(yaml.safe_dump(config))
    assert imagine(RunFolder(copy), "--out", tmp_path / "a.png") == 2
    assert "its method is hil_serl" in capsys.readouterr().err
    assert cli.main(["imagine", "--run-dir", "nothing", "--out", str(tmp_path / "a.png")]) == 2
    assert "there is no run 'nothing'" in capsys.readouterr().err

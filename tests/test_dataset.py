"""Demonstrations go out as a LeRobotDataset and come in again, to the bit; what cannot come in is explained.

What needs the package ``lerobot`` runs where the variable ``LEROBOT_PYTHON`` names a Python that has it:
``tests/lerobot_checks.py`` is run there, so that its torch and ours never meet.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("worldsample_msgs")
pytest.importorskip("pyarrow", reason="the optional package pyarrow is not installed")
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from a1x_sim.cell import Cell
from tests.expert_episodes import record_episode
from worldsample_bringup import cli
from worldsample_bringup.dataset import lerobot_format as fmt
from worldsample_bringup.dataset.recorded_episode import RecordedEpisode, read_episode
from worldsample_bringup.run import prepare
from worldsample_bringup.run.options import Request
from worldsample_core.episodes.episode_bag import read_metadata
from worldsample_core.episodes.episode_store import EpisodeStore, find_bags

LEROBOT = os.environ.get("LEROBOT_PYTHON", "")
CAMERAS = {"side": "front", "wrist": "hand"}
CHECKS = Path(__file__).with_name("lerobot_checks.py")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three demonstrations of pick and place, as ``worldsample demos`` leaves one."""
    path = tmp_path_factory.mktemp("recorded") / "demos"
    plan = prepare.plan(Request("demos", task="pick_place", machine="cpu", out=str(path)), path.parent)
    plan.begin().close()
    cell = Cell("pick_place", 64)
    store = EpisodeStore(path, "demos", custom={"task": "pick_place", "image_size": "64"})
    for seed in (1, 2, 3):
        record_episode(cell, store, seed)
    store.close()
    cell.close()
    return path


@pytest.fixture(scope="module")
def exported(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a LeRobotDataset."""
    out = tmp_path_factory.mktemp("exported") / "dataset"
    assert cli.main(["dataset", "export", str(run), "--lerobot", str(out)]) == 0
    return out


def episodes_of(folder: Path) -> list[RecordedEpisode]:
    return [read_episode(bag) for bag in find_bags(folder)]


def assert_equal(found: RecordedEpisode, wanted: RecordedEpisode) -> None:
    for name in (
        "images", "proprio", "actions", "rewards", "terminated", "truncated", "success", "intervention",
    ):  # fmt: skip
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name), err_msg=name)


def test_the_columns_are_the_bags_numbers_to_the_bit(run: Path, exported: Path) -> None:
    table = pq.read_table(exported / fmt.DATA.format(chunk_index=0, file_index=0))
    wanted = episodes_of(run)
    for column, name in ((fmt.STATE, "proprio"), (fmt.ACTION, "actions"), ("next.reward", "rewards")):
        numbers = np.array(table.column(column).to_pylist(), np.float32)
        expected = np.concatenate([getattr(episode, name)[: len(episode)] for episode in wanted])
        assert numbers.tobytes() == expected.tobytes(), column
    pictures = table.column("observation.images.wrist").to_pylist()
    expected = np.concatenate([episode.images[:-1, 1] for episode in wanted])
    for picture, image in zip(pictures, expected, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(picture["bytes"]))), image)
    info = json.loads((exported / fmt.INFO).read_text())
    assert info["total_frames"] == sum(map(len, wanted)) == table.num_rows and info["fps"] == 10
    done = np.flatnonzero(table.column("next.done").to_numpy())
    assert done.tolist() == (np.cumsum([len(episode) for episode in wanted]) - 1).tolist()
    assert list(table.column_names) == list(info["features"])


def test_what_was_exported_comes_back_the_same(run: Path, exported: Path, tmp_path: Path) -> None:
    out = tmp_path / "back"
    arguments = ["dataset", "import", "--lerobot", str(exported), "--task", "pick_place", "--out", str(out)]
    assert cli.main(arguments) == 0
    for found, wanted in zip(episodes_of(out), episodes_of(run), strict=True):
        assert_equal(found, wanted)
    summary, custom = read_metadata(find_bags(out)[0])
    assert summary.kind == "demo" and summary.success and custom["task"] == "pick_place"
    plan = prepare.plan(Request("train", task="pick_place", machine="cpu", demos_from=str(out)), tmp_path)
    assert plan.settings.run.demos == 3


def test_a_runs_bags_come_in_at_a_smaller_size(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "small"
    arguments = ["dataset", "import", "--bag", str(run), "--task", "pick_place", "--out", str(out)]
    assert cli.main([*arguments, "--image-size", "32"]) == 0
    for found, wanted in zip(episodes_of(out), episodes_of(run), strict=True):
        assert found.images.shape == (len(wanted) + 1, 2, 32, 32, 3)
        np.testing.assert_array_equal(found.actions, wanted.actions)
        np.testing.assert_array_equal(found.proprio, wanted.proprio)


def test_info_says_what_a_folder_holds(
    run: Path, exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = []
    for folder in (run, exported):
        assert cli.main(["dataset", "info", str(folder), "--json"]) == 0
        told.append(json.loads(capsys.readouterr().out.splitlines()[-1]))
    assert [facts["episodes"] for facts in told] == [3, 3]
    assert told[0]["task"] == "pick_place" and told[0]["demo"]["successes"] == 3
    assert told[1]["format"] == "LeRobotDataset v3.0" and told[1]["frames"] == told[0]["frames"]
    assert cli.main(["dataset", "info", str(tmp_path)]) == 2
    assert "holds no episodes" in capsys.readouterr().err


Edit = Callable[[pa.Table], pa.Table]


def changed(exported: Path, folder: Path, edit: Edit | None = None, **info: Any) -> Path:
    """A copy of the dataset without the files beside LeRobot's, with other columns or another description."""
    shutil.copytree(exported, folder)
    for name in (fmt.ORIGIN, fmt.FINAL_OBSERVATIONS):
        (folder / name).unlink()
    described = json.loads((folder / fmt.INFO).read_text())
    if edit is not None:
        path = folder / fmt.DATA.format(chunk_index=0, file_index=0)
        pq.write_table(edit(pq.read_table(path)), path)
    (folder / fmt.INFO).write_text(json.dumps({**described, **info}))
    return folder


def renamed(exported: Path, folder: Path, **names: str) -> Path:
    """A copy with other names of columns; ``__`` stands for a dot."""
    new = {old.replace("__", "."): name for old, name in names.items()}
    features = json.loads((exported / fmt.INFO).read_text())["features"]
    features = {new.get(name, name): feature for name, feature in features.items()}

    def edit(table: pa.Table) -> pa.Table:
        return table.rename_columns([new.get(name, name) for name in table.column_names])

    return changed(exported, folder, edit, features=features)


def import_code(folder: Path, out: Path, *options: str, task: str = "pick_place") -> int:
    arguments = ["dataset", "import", "--lerobot", str(folder), "--task", task, "--out", str(out)]
    return cli.main([*arguments, *options])


def test_foreign_names_are_mapped_and_explained(
    run: Path, exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = {f"observation__images__{ours}": f"observation.images.{theirs}" for ours, theirs in CAMERAS.items()}
    folder = renamed(exported, tmp_path / "foreign", **new, next__success="found", next__reward="paid")
    assert import_code(folder, tmp_path / "out") == 2
    assert "which camera is the view 'side'?" in (told := capsys.readouterr().err)
    assert "observation.images.front" in told and "--map side=NAME" in told
    assert import_code(folder, tmp_path / "out", "--map", "side=front", "--map", "wrist=hnad") == 2
    assert "did you mean 'hand'" in capsys.readouterr().err
    assert import_code(folder, tmp_path / "out", "--map", "side=front", "--map", "wrist=hand") == 0
    told = capsys.readouterr().out
    assert "side    <- observation.images.front" in told and "dx <- dx" in told
    assert "all are taken as successes" in told
    for found, wanted in zip(episodes_of(tmp_path / "out"), episodes_of(run), strict=True):
        assert len(found) == len(wanted) - 1  # the last action's result is not in the format
        np.testing.assert_array_equal(found.images, wanted.images[:-1])
        np.testing.assert_array_equal(found.actions, wanted.actions[:-1])
        assert found.rewards.tolist() == [0.0] * (len(found) - 1) + [1.0]


def test_velocities_are_computed_and_elements_chosen(run: Path, exported: Path, tmp_path: Path) -> None:
    features = json.loads((exported / fmt.INFO).read_text())["features"]
    features[fmt.STATE] = fmt.vector(("ee_x", "ee_y", "ee_z", "g"))

    def edit(table: pa.Table) -> pa.Table:
        state = np.array(table.column(fmt.STATE).to_pylist(), np.float32)[:, [0, 1, 2, 6]]
        place = table.column_names.index(fmt.STATE)
        kept = pa.FixedSizeListArray.from_arrays(pa.array(state.reshape(-1)), 4)
        return table.set_column(place, fmt.STATE, kept)

    folder = changed(exported, tmp_path / "few", edit, features=features)
    nothing = [part for axis in ("rx", "ry", "rz") for part in ("--map", f"state.{axis}=none")]
    assert import_code(folder, tmp_path / "out", "--map", "state.gripper=g", *nothing) == 0
    for found, wanted in zip(episodes_of(tmp_path / "out"), episodes_of(run), strict=True):
        np.testing.assert_array_equal(found.proprio[:, :3], wanted.proprio[:-1, :3])
        np.testing.assert_allclose(found.proprio[:, 7:], wanted.proprio[:-1, 7:], atol=1e-5)
        assert not found.proprio[:, 3:6].any()


def scaled(column: str, factor: float) -> Edit:
    def edit(table: pa.Table) -> pa.Table:
        values = np.array(table.column(column).to_pylist(), np.float32) * np.float32(factor)
        array = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])
        return table.set_column(table.column_names.index(column), column, array)

    return edit


@pytest.mark.parametrize(
    ("edit", "info", "options", "told"),
    [
        (scaled(fmt.ACTION, 3.0), {}, (), "outside [-1, 1]"),
        (scaled(fmt.STATE, 1000.0), {}, (), "Is it the position of the end effector, in m?"),
        (None, {"fps": 30}, (), "30 frames per second"),
        (None, {"codebase_version": "v2.1"}, (), "convert_dataset_v21_to_v30"),
        (None, {"total_frames": 7}, (), "the dataset is incomplete"),
        (None, {"data_path": "../../{chunk_index}"}, (), "leads out of the dataset"),
        (lambda table: table.slice(3), {}, (), "frames in file-000.parquet, not"),
        (None, {}, ("--image-size", "128"), "choose a smaller one with --image-size"),
        (None, {}, ("--map", "action.dxx=0"), "did you mean 'action.dx'"),
        (None, {}, ("--map", "action.dx=state:x"), "the dataset has no vector 'state'"),
    ],
)
def test_what_cannot_be_taken_in_is_explained_and_leaves_nothing(
    exported: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    edit: Edit | None,
    info: dict[str, Any],
    options: tuple[str, ...],
    told: str,
) -> None:
    folder = changed(exported, tmp_path / "wrong", edit, **info)
    assert import_code(folder, tmp_path / "out", *options) == 2
    assert told in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["wrong"]


def test_another_tasks_demonstrations_are_refused(
    run: Path, exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert import_code(exported, tmp_path / "out", task="pushing") == 2
    assert "shows the task pick_place, not pushing" in capsys.readouterr().err
    bags = ["dataset", "import", "--bag", str(run), "--task", "sorting", "--out", str(tmp_path / "out")]
    assert cli.main(bags) == 2
    assert "shows the task pick_place, not sorting" in capsys.readouterr().err
    assert import_code(exported, tmp_path / "out", "--map", "action.dry=action:dx") == 2
    assert "moves in dry, which pick_place does not use" in capsys.readouterr().err
    assert import_code(exported, tmp_path / "out", "--check") == 0
    assert "all of it can be imported" in capsys.readouterr().out and not (tmp_path / "out").exists()


def test_a_folder_is_not_overwritten(run: Path, exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["dataset", "export", str(run), "--lerobot", str(exported)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert import_code(exported, run) == 2
    assert "exists already" in capsys.readouterr().err


def record_raw(folder: Path, cell: Cell, seed: int) -> list[np.ndarray]:
    """One demonstration as ``ros2 bag record`` keeps the cell's topics; returns the actions."""
    from rclpy.serialization import serialize_message
    from rosbags.rosbag2 import StoragePlugin, Writer
    from rosbags.typesys import get_types_from_msg

    from a1x_sim.cell_messages import ee_pose, gripper_state
    from worldsample_bringup.dataset.bag_import import TOPICS, TYPES
    from worldsample_core.episodes.episode_bag import message_types
    from worldsample_core.messages.conversions import image_to_message, motion_to_message, time_of_ns
    from worldsample_core.observation import GRIPPER, clean_action

    types = message_types()
    folder_of_types = Path(__file__).resolve().parent.parent / "src" / "worldsample_msgs" / "msg"
    for name in ("GripperState", "EndEffectorCommand"):
        if f"worldsample_msgs/msg/{name}" not in types.fielddefs:
            text = (folder_of_types / f"{name}.msg").read_text()
            types.register(get_types_from_msg(text, f"worldsample_msgs/msg/{name}"))
    kinds = {name: next(iter(kinds)) for name, kinds in TYPES.items()}
    writer = Writer(folder, version=Writer.VERSION_LATEST, storage_plugin=StoragePlugin.MCAP)
    writer.open()
    topics = {
        name: writer.add_connection(TOPICS[name], kind, typestore=types) for name, kind in kinds.items()
    }
    observation, actions = cell.reset(seed), []
    for step in range(cell.config.horizon):
        stamp = 1_000_000_000 + step * 100_000_000
        action = clean_action(cell.task.expert(cell.state()), cell.config.active_mask)
        action[GRIPPER] = np.rint(action[GRIPPER])
        motion = action.astype(np.float64) * cell.config.scale
        time = time_of_ns(stamp)
        messages = {
            "side": image_to_message(observation.images[0], "side", time),
            "wrist": image_to_message(observation.images[1], "wrist", time),
            "pose": ee_pose(cell, time),
            "gripper": gripper_state(cell, time),
            "command": motion_to_message(motion[:GRIPPER], int(action[GRIPPER]), stamp),
        }
        for number, (name, message) in enumerate(messages.items()):
            writer.write(topics[name], stamp + number, bytes(serialize_message(message)))
        actions.append(action)
        observation = cell.step(action)
        if cell.success:
            break
    writer.close()
    return actions


def test_a_bag_of_raw_topics_is_one_demonstration(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cell = Cell("pick_place", 64)
    actions = record_raw(tmp_path / "bag", cell, 1)
    cell.close()
    out = tmp_path / "out"
    arguments = [
        "dataset",
        "import",
        "--bag",
        str(tmp_path / "bag"),
        "--task",
        "pick_place",
        "--out",
        str(out),
    ]
    assert cli.main(arguments) == 0
    (found,), wanted = episodes_of(out), episodes_of(run)[0]
    np.testing.assert_allclose(found.actions, np.stack(actions)[:-1], atol=1e-6)
    np.testing.assert_array_equal(found.images, wanted.images[: len(found.images)])
    np.testing.assert_allclose(found.proprio[:, [0, 1, 2, 6]], wanted.proprio[:-1, [0, 1, 2, 6]], atol=1e-6)
    np.testing.assert_allclose(found.proprio[:, 7:], wanted.proprio[:-1, 7:], atol=1e-5)
    assert found.success[-1]
    assert cli.main([*arguments[:-1], str(tmp_path / "other"), "--map", "side=/front/image"]) == 2
    assert "has no topic /front/image for side; it has /a1x/command" in capsys.readouterr().err


def test_a_damaged_bag_is_named(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "damaged_run"
    shutil.copytree(run, folder)
    data = next(find_bags(folder)[0].glob("*.mcap"))
    data.write_bytes(data.read_bytes()[: data.stat().st_size // 2])
    arguments = [
        "dataset",
        "import",
        "--bag",
        str(folder),
        "--task",
        "pick_place",
        "--out",
        str(tmp_path / "o"),
    ]
    assert cli.main(arguments) == 2
    assert "episode_000000 is damaged" in capsys.readouterr().err and not (tmp_path / "o").exists()


def import_bags(folder: Path, out: Path) -> int:
    """Exit code."""
    said = ["dataset", "import", "--bag", str(folder), "--task", "pick_place", "--out", str(out)]
    return cli.main(said)


@pytest.mark.parametrize("metadata", ["", "rosbag2_bagfile_information: {version: 9}\n"])
def test_field_12_bags_with_lost_or_remade_metadata_come_in_from_their_data(
    run: Path, tmp_path: Path, metadata: str
) -> None:
    folder = tmp_path / "lost"
    shutil.copytree(run, folder)
    file = find_bags(folder)[1] / "metadata.yaml"
    file.write_text(metadata) if metadata else file.unlink()
    assert import_bags(folder, tmp_path / "out") == 0
    for found, wanted in zip(episodes_of(tmp_path / "out"), episodes_of(run), strict=True):
        assert_equal(found, wanted)
    taken = prepare.plan(
        Request("train", task="pick_place", demos_from=str(folder), machine="cpu"), tmp_path / "runs"
    )
    assert taken.settings.run.demos == 3, "train --demos-from takes it, too"


def test_field_12_raw_topics_without_metadata_come_in_and_a_wrong_count_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cell = Cell("pick_place", 64)
    record_raw(tmp_path / "bag", cell, 7)
    cell.close()
    metadata = tmp_path / "bag" / "metadata.yaml"
    text = metadata.read_text()
    count = text.rpartition("message_count: ")[2].partition("\n")[0]
    metadata.write_text(text.replace(f"message_count: {count}", "message_count: 3"))
    assert import_bags(tmp_path / "bag", tmp_path / "wrong") == 2
    assert "its metadata count 3" in capsys.readouterr().err
    metadata.unlink()
    assert import_bags(tmp_path / "bag", tmp_path / "out") == 0


def test_field_12_a_recording_that_was_cut_off_is_named_with_the_remedy(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "cut_off"
    shutil.copytree(run, folder)
    data = next(find_bags(folder)[0].glob("*.mcap"))
    data.write_bytes(data.read_bytes()[:-40])
    assert import_bags(folder, tmp_path / "out") == 2
    told = capsys.readouterr().err
    assert f"mcap recover {data}" in told and "move" in told
    plan = prepare.plan(
        Request("train", task="pick_place", demos_from=str(folder), machine="cpu"), tmp_path / "runs"
    )
    assert plan.settings.run.demos == 2, "the whole ones are used"
    told = capsys.readouterr().err
    assert "episode_000000" in told and "left out" in told and "verify" in told


def test_field_12_a_folder_of_another_format_is_named(
    run: Path, exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = tmp_path / "bag"
    shutil.copytree(find_bags(run)[0], bag)
    for folder, option in ((exported, "--lerobot"), (bag, "--bag")):
        assert cli.main(["train", "--task", "pick_place", "--demos-from", str(folder)]) == 2
        assert f"dataset import {option} {folder}" in capsys.readouterr().err
    assert import_bags(exported, tmp_path / "out") == 2
    assert f"--lerobot {exported}" in capsys.readouterr().err
    assert import_code(run, tmp_path / "out") == 2
    assert f"--bag {run}" in capsys.readouterr().err


# With the real package, in an environment of its own.

needs_lerobot = pytest.mark.skipif(not LEROBOT, reason="LEROBOT_PYTHON names no Python with lerobot 0.6")


def lerobot(what: str, *arguments: object) -> str:
    """Runs one of tests/lerobot_checks.py with the Python that has lerobot; returns what it printed."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [LEROBOT, str(CHECKS), what, *map(str, arguments)],
        capture_output=True, text=True, env={**environment, "HF_HUB_OFFLINE": "1"}, timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@needs_lerobot
def test_lerobot_loads_what_was_exported(run: Path, exported: Path, tmp_path: Path) -> None:
    expected = episodes_of(run)
    np.savez(
        tmp_path / "expected.npz",
        images=np.concatenate([episode.images[:-1] for episode in expected]),
        state=np.concatenate([episode.proprio[:-1] for episode in expected]),
        action=np.concatenate([episode.actions for episode in expected]),
    )
    assert "equal" in lerobot("load", exported, tmp_path / "expected.npz")


@needs_lerobot
@pytest.mark.slow
def test_lerobots_training_script_takes_a_step_on_it(exported: Path, tmp_path: Path) -> None:
    assert "loss" in lerobot("train", exported, tmp_path / "training")


@needs_lerobot
@pytest.mark.slow
@pytest.mark.parametrize("videos", [False, True])
def test_a_dataset_that_lerobot_wrote_comes_in(run: Path, tmp_path: Path, videos: bool) -> None:
    wanted = episodes_of(run)
    folder = tmp_path / "arrays"
    folder.mkdir()
    for number, episode in enumerate(wanted):
        np.savez(
            folder / f"{number}.npz",
            images=episode.images[:-1], state=episode.proprio[:-1], action=episode.actions,
        )  # fmt: skip
    lerobot("write", folder, tmp_path / "theirs", int(videos))
    out = tmp_path / "out"
    assert import_code(tmp_path / "theirs", out, "--map", "side=front", "--map", "wrist=hand") == 0
    for found, episode in zip(episodes_of(out), wanted, strict=True):
        np.testing.assert_array_equal(found.proprio, episode.proprio[:-1])
        np.testing.assert_array_equal(found.actions, episode.actions[:-1])
        error = np.abs(found.images.astype(int) - episode.images[:-1]).mean()
        assert error < 4.0 if videos else error == 0.0

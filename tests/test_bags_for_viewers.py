"""Bags of a run, read with the public libraries ``mcap`` and ``rosbags``, by the definitions in the bag."""

from __future__ import annotations

import dataclasses
import io
import json
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("worldsample_msgs")
pytest.importorskip("mujoco")
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory
from rosbags.highlevel import AnyReader

from a1x_sim.cell import Cell
from tests.expert_episodes import record_episode
from worldsample_bringup import cli
from worldsample_bringup.run import prepare
from worldsample_bringup.run.options import Request
from worldsample_bringup.run.run_folder import RunFolder
from worldsample_core.arm.a1x_kinematics import forward_kinematics
from worldsample_core.arm.joint_reading import JOINT_NAMES
from worldsample_core.arm.rotation import matrix_to_quaternion, rotvec_to_matrix
from worldsample_core.episodes.episode_bag import read_joints, read_transitions
from worldsample_core.episodes.episode_store import EpisodeStore, find_bags
from worldsample_core.episodes.standard_messages import StandardMessages
from worldsample_core.observation import VIEWS, Observation
from worldsample_policy.replay.demonstrations import import_demonstrations

PICTURES = tuple(f"/{view}/color/image_raw/compressed" for view in VIEWS)
LENSES = tuple(f"/{view}/color/camera_info" for view in VIEWS)
MESSAGES = dict[str, list[tuple[int, Any]]]
"""(log time, message) by topic, in the order of reading."""


class WatchedCell(Cell):
    """A cell that notes where the end effector and the joints are at each observation."""

    def _observe(self, before: Any) -> Observation:
        if not hasattr(self, "poses"):
            self.poses: list[tuple[Any, Any]] = []
            self.joints: list[tuple[Any, Any]] = []
        self.poses.append(self.ee_pose())
        self.joints.append(self.joint_states()[1:])
        return super()._observe(before)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, WatchedCell]]:
    """A folder of one demonstration as ``worldsample demos`` leaves it, and the cell that it was made in."""
    path = tmp_path_factory.mktemp("recorded") / "demos"
    plan = prepare.plan(Request("demos", task="insertion", machine="cpu", out=str(path)), path.parent)
    plan.begin().close()
    cell = WatchedCell("insertion", plan.settings.run.image_size)
    store = EpisodeStore(
        path, "demos", custom={"task": "insertion"}, standard=StandardMessages.of(plan.settings)
    )
    cell.poses.clear()
    cell.joints.clear()
    record_episode(cell, store, 1)
    store.close()
    yield path, cell
    cell.close()


def by_mcap(bag: Path) -> MESSAGES:
    """Messages as Foxglove's library reads them."""
    found: MESSAGES = defaultdict(list)
    with (bag / f"{bag.name}.mcap").open("rb") as file:
        reader = make_reader(file, validate_crcs=True, decoder_factories=[DecoderFactory()])
        for _, channel, message, decoded in reader.iter_decoded_messages():
            assert message.log_time == message.publish_time
            found[channel.topic].append((message.log_time, decoded))
    return found


def by_rosbags(bag: Path) -> MESSAGES:
    """Messages as the library rosbags reads them, with the metadata."""
    found: MESSAGES = defaultdict(list)
    with AnyReader([bag]) as reader:
        for connection, stamp, data in reader.messages():
            found[connection.topic].append((stamp, reader.deserialize(data, connection.msgtype)))
    return found


def stamp_of(message: Any) -> int:
    stamp = message.header.stamp
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec if hasattr(stamp, "nanosec") else stamp.nsec)


@pytest.mark.parametrize("read", [by_mcap, by_rosbags])
def test_public_libraries_find_pictures_in_order(recorded: tuple[Path, WatchedCell], read: Any) -> None:
    (bag,) = find_bags(recorded[0])
    found, steps = read(bag), read_transitions(bag)
    assert Counter({topic: len(messages) for topic, messages in found.items()}) == {
        "/transitions": len(steps),
        "/episodes": 1,
        "/tf_static": 1,
        **dict.fromkeys((*PICTURES, *LENSES, "/a1x/ee_pose", "/joint_states", "/tf"), len(steps) + 1),
    }
    seen = [step.observation for step in steps] + [steps[-1].next_observation]
    for view, topic in enumerate(PICTURES):
        times = [stamp for stamp, _ in found[topic]]
        assert times == sorted(set(times)) == [stamp_of(message) for _, message in found[topic]]
        for observation, (stamp, message) in zip(seen, found[topic], strict=True):
            assert stamp == pytest.approx(observation.stamp * 1e9, abs=1e3)
            with Image.open(io.BytesIO(bytes(message.data))) as picture:
                assert picture.format == "JPEG"
                error = np.asarray(picture).astype(int) - observation.images[view]
            assert np.abs(error).mean() < 4


def test_poses_are_where_the_arm_was(recorded: tuple[Path, WatchedCell]) -> None:
    path, cell = recorded
    found = by_mcap(find_bags(path)[0])
    for (position, rotation), (_, message) in zip(cell.poses, found["/a1x/ee_pose"], strict=True):
        at, turn = message.pose.position, message.pose.orientation
        np.testing.assert_allclose((at.x, at.y, at.z), position, atol=1e-5)
        wanted = matrix_to_quaternion(rotation)
        same = abs(np.dot((turn.w, turn.x, turn.y, turn.z), wanted))
        assert same == pytest.approx(1.0, abs=1e-6)


def test_joints_are_those_of_the_urdf_where_the_arm_was(recorded: tuple[Path, WatchedCell]) -> None:
    """They are in step with the poses, and lead to them."""
    path, cell = recorded
    found = by_mcap(find_bags(path)[0])
    poses = found["/a1x/ee_pose"]
    for measured, (at, message), (stamp, pose) in zip(
        cell.joints, found["/joint_states"], poses, strict=True
    ):
        assert at == stamp == stamp_of(message)
        assert tuple(message.name) == JOINT_NAMES and not message.effort
        np.testing.assert_array_equal((message.position, message.velocity), measured)
        place = pose.pose.position
        reached = forward_kinematics(np.array(message.position[:6]))[0]
        np.testing.assert_allclose(reached, (place.x, place.y, place.z), atol=1e-4)
    assert np.abs(found["/joint_states"][-1][1].velocity[:6]).max() > 0


def test_a_rebuilt_bag_and_a_run_with_these_demonstrations_keep_the_joints(
    recorded: tuple[Path, WatchedCell], tmp_path: Path
) -> None:
    path, _ = recorded
    (bag,) = find_bags(path)
    wanted = [tuple(reading.positions) for reading in read_joints(bag) if reading is not None]
    assert len(wanted) == len(read_transitions(bag)) + 1
    damaged = tmp_path / "damaged"
    shutil.copytree(path, damaged)
    with (find_bags(damaged)[0] / "metadata.yaml").open("a") as file:
        file.write("rot\n")
    settings = RunFolder(path).settings()
    EpisodeStore(damaged, "demos", standard=StandardMessages.of(settings)).close()
    run = dataclasses.replace(settings.run, demos=1, demos_from=str(path), mode="train")
    store = EpisodeStore(tmp_path / "run", "demos", standard=StandardMessages.of(settings))
    assert import_demonstrations(store, dataclasses.replace(settings, run=run)) == 1
    store.close()
    for folder in (damaged, tmp_path / "run"):
        again = read_joints(find_bags(folder)[0])
        assert [tuple(reading.positions) for reading in again if reading is not None] == wanted


def test_transforms_and_lens_lead_a_point_to_its_pixel(recorded: tuple[Path, WatchedCell]) -> None:
    """The end effector's last place, seen by the side camera: through the bag, and by the simulator."""
    path, cell = recorded
    found = by_mcap(find_bags(path)[0])
    places = {each.child_frame_id: each for each in found["/tf_static"][0][1].transforms}
    at = found["/tf"][-1][1].transforms[0].transform.translation
    point, chain = np.array([at.x, at.y, at.z]), []
    frame = "side_color_optical_frame"
    while frame != "base_link":
        chain.append(places[frame])
        frame = places[frame].header.frame_id
    for each in reversed(chain):
        shift, turn = each.transform.translation, each.transform.rotation
        angle = 2 * np.arctan2(np.linalg.norm((turn.x, turn.y, turn.z)), turn.w)
        axis = np.array([turn.x, turn.y, turn.z]) / max(np.sin(angle / 2), 1e-12)
        point = rotvec_to_matrix(axis * angle).T @ (point - (shift.x, shift.y, shift.z))
    lens = found["/side/color/camera_info"][-1][1]
    fx, _, cx, _, fy, cy = lens.k[:6]
    pixel = fx * point[0] / point[2] + cx, fy * point[1] / point[2] + cy
    camera = cell.data.camera("side")
    x, y, z = camera.xmat.reshape(3, 3).T @ (cell.poses[-1][0] - camera.xpos)
    focal, middle = cell.intrinsics("side"), lens.width / 2 - 0.5
    np.testing.assert_allclose(pixel, (middle - focal * x / z, middle + focal * y / z), atol=0.02)


def test_everything_that_reads_a_run_reads_it(
    recorded: tuple[Path, WatchedCell], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, _ = recorded
    (bag,) = find_bags(path)
    assert cli.main(["verify", str(path)]) == 0
    out = tmp_path / "imported"
    assert cli.main(["dataset", "import", "--bag", str(path), "--task", "insertion", "--out", str(out)]) == 0
    capsys.readouterr()
    assert cli.main(["dataset", "info", str(out), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out.splitlines()[-1])
    before, (again,) = read_transitions(bag), find_bags(out)
    assert (facts["episodes"], facts["frames"]) == (1, len(before))
    for one, other in zip(before, read_transitions(again), strict=True):
        np.testing.assert_array_equal(one.observation.images, other.observation.images)
        np.testing.assert_array_equal(one.action, other.action)
    assert len(by_rosbags(again)[PICTURES[0]]) == len(before) + 1


def test_a_setting_leaves_them_out(tmp_path: Path) -> None:
    asked = Request("demos", task="pushing", machine="cpu", overrides=("run.bag_pictures=none",))
    assert StandardMessages.of(prepare.plan(asked, tmp_path).settings) is None

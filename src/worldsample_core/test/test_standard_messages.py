"""A bag holds ROS 2's own messages beside the transitions, and the transitions are as they were."""

import dataclasses
import functools
import io
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from worldsample_core.arm.joint_reading import JointReading
from worldsample_core.camera_calibration import CameraCalibration, camera_transforms
from worldsample_core.observation import VIEWS, Observation
from worldsample_core.transition import EpisodeSummary, Transition

pytest.importorskip("rclpy")
episode_bag = pytest.importorskip("worldsample_core.episodes.episode_bag")
from worldsample_core.episodes import standard_messages  # noqa: E402
from worldsample_core.episodes.episode_store import EpisodeStore, find_bags  # noqa: E402
from worldsample_core.episodes.standard_messages import StandardMessages  # noqa: E402

STEPS = 5
SIZE = 32
SUMMARY = EpisodeSummary("train", 0, STEPS, 0.0, success=False, truncated=True)
LENS = (40.0, 40.0, 15.5, 15.5)
FIXED = tuple(
    transform for view in VIEWS for transform in camera_transforms(view, CameraCalibration((0.5, -0.4, 0.4)))
)


def standard(encoding: Any = "png") -> StandardMessages:
    return StandardMessages(encoding, {"side": LENS, "wrist": LENS}, FIXED, np.eye(3))


def observation(number: int) -> Observation:
    """Smooth pictures, different at each step and in each view."""
    across = np.linspace(0, 200, SIZE)[None, None, :, None] + np.zeros((2, SIZE, SIZE, 3))
    images = (across + 8 * number + np.array([0, 10])[:, None, None, None]).astype(np.uint8)
    proprio = np.full(10, 0.1 * number, np.float32)
    return Observation(images, proprio, stamp=2.0 + number * 0.1)


@functools.cache  # the bytes that pad a message are not the same twice
def records() -> list[bytes]:
    return [
        episode_bag.encode_transition(
            Transition(
                observation(step),
                np.zeros(7, np.float32),
                0.0,
                observation(step + 1),
                terminated=False,
                truncated=step == STEPS - 1,
                success=False,
                intervention=False,
                seq=step,
                episode=0,
                step=step,
                run="r",
            )
        )
        for step in range(STEPS)
    ]


def read(bag: Path) -> dict[str, list[tuple[int, Any]]]:
    """(log time, message) of each topic, in the order of reading, by the definitions in the bag."""
    from rosbags.highlevel import AnyReader

    found: dict[str, list[tuple[int, Any]]] = defaultdict(list)
    with AnyReader([bag]) as reader:
        for connection, stamp, data in reader.messages():
            found[connection.topic].append((stamp, reader.deserialize(data, connection.msgtype)))
    return found


def stamp_of(message: Any) -> int:
    return int(message.header.stamp.sec) * 1_000_000_000 + int(message.header.stamp.nanosec)


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    path = tmp_path / "episode_000000"
    episode_bag.write_bag(path, records(), SUMMARY, {"task": "t"}, standard())
    return path


def test_each_observation_gives_one_of_each(bag: Path) -> None:
    counts = Counter({topic: len(messages) for topic, messages in read(bag).items()})
    assert counts.pop("/transitions") == STEPS
    assert counts.pop("/episodes") == 1
    assert counts.pop("/tf_static") == 1
    assert counts == {
        topic: STEPS + 1
        for topic in (
            "/side/color/image_raw/compressed",
            "/wrist/color/image_raw/compressed",
            "/side/color/camera_info",
            "/wrist/color/camera_info",
            "/a1x/ee_pose",
            "/tf",
        )
    }


def test_stamps_ascend_and_a_transition_comes_with_what_it_led_to(bag: Path) -> None:
    found = read(bag)
    wanted = [round((2.0 + 0.1 * number) * 1e9) for number in range(STEPS + 1)]
    for topic, messages in found.items():
        if topic in ("/transitions", "/episodes", "/tf_static"):
            continue
        times = [stamp for stamp, _ in messages]
        np.testing.assert_allclose(times, wanted, atol=1000)
        assert times == sorted(set(times))
        heads = [m.transforms[0] if topic == "/tf" else m for _, m in messages]
        assert [stamp_of(head) for head in heads] == times
    assert [t for t, _ in found["/transitions"]] == [t for t, _ in found["/a1x/ee_pose"]][1:]


def test_pictures_are_those_of_the_observations(bag: Path, tmp_path: Path) -> None:
    lossy = tmp_path / "lossy"
    episode_bag.write_bag(lossy, records(), SUMMARY, {}, standard("jpeg"))
    for view, name in enumerate(VIEWS):
        topic, frame = f"/{name}/color/image_raw/compressed", f"{name}_color_optical_frame"
        exact, near = read(bag)[topic], read(lossy)[topic]
        for number in range(STEPS + 1):
            wanted = observation(number).images[view]
            for message, encoding in ((exact[number][1], "PNG"), (near[number][1], "JPEG")):
                assert message.header.frame_id == frame
                assert message.format == encoding.lower()
                with Image.open(io.BytesIO(bytes(message.data))) as picture:
                    assert picture.format == encoding
                    seen = np.asarray(picture)
                if encoding == "PNG":
                    np.testing.assert_array_equal(seen, wanted)
                else:
                    assert np.abs(seen.astype(int) - wanted).mean() < 3


def test_poses_and_lenses_are_the_observations(bag: Path) -> None:
    found = read(bag)
    for number, ((_, pose), (_, moved)) in enumerate(zip(found["/a1x/ee_pose"], found["/tf"], strict=True)):
        at, turn = pose.pose.position, pose.pose.orientation
        np.testing.assert_allclose((at.x, at.y, at.z), [0.1 * number] * 3, atol=1e-6)
        angle = 0.1 * number * np.sqrt(3)
        wanted = [np.sin(angle / 2) / np.sqrt(3)] * 3 + [np.cos(angle / 2)]
        np.testing.assert_allclose((turn.x, turn.y, turn.z, turn.w), wanted, atol=1e-6)
        (transform,) = moved.transforms
        assert (pose.header.frame_id, transform.child_frame_id) == ("base_link", "gripper_link")
        assert transform.transform.translation.x == at.x
        assert transform.transform.rotation.w == turn.w
    lens = found["/side/color/camera_info"][0][1]
    assert (lens.width, lens.height) == (SIZE, SIZE)
    assert tuple(lens.k[[0, 4, 2, 5]]) == LENS
    assert lens.header.frame_id == "side_color_optical_frame"
    fixed = found["/tf_static"][0][1].transforms
    assert {each.child_frame_id for each in fixed} >= {f"{view}_color_optical_frame" for view in VIEWS}


def test_the_transitions_are_the_same_with_and_without(bag: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    episode_bag.write_bag(plain, records(), SUMMARY, {"task": "t"})
    assert episode_bag.read_records(bag) == episode_bag.read_records(plain) == records()
    assert episode_bag.read_summary(bag) == episode_bag.read_summary(plain)
    assert episode_bag.check_bag(bag) == SUMMARY
    assert set(read(plain)) == {"/transitions", "/episodes"}


def test_a_wrong_count_of_steps_is_seen_beside_other_topics(tmp_path: Path) -> None:
    path = tmp_path / "episode_000000"
    episode_bag.write_bag(path, records(), dataclasses.replace(SUMMARY, steps=STEPS + 1), {}, standard())
    with pytest.raises(episode_bag.DamagedBag, match=f"{STEPS} steps"):
        episode_bag.check_bag(path)


def test_a_changed_bit_in_a_picture_is_seen(bag: Path) -> None:
    file = bag / f"{bag.name}.mcap"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(episode_bag.DamagedBag, match="damaged"):
        episode_bag.check_bag(bag)


def test_pictures_that_cannot_be_made_cost_no_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise OSError("encoder error")

    monkeypatch.setattr(standard_messages.Image, "frombuffer", broken)
    path = tmp_path / "episode_000000"
    episode_bag.write_bag(path, records(), SUMMARY, {}, standard())
    assert episode_bag.read_records(path) == records()
    assert "encoder error" in caplog.text
    assert episode_bag.check_bag(path) == SUMMARY


def test_the_thread_that_acts_goes_first_between_observations(
    bag: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused: list[float] = []
    monkeypatch.setattr(standard_messages.time, "sleep", paused.append)
    episode_bag.write_bag(tmp_path / "other", records(), SUMMARY, {}, standard())
    assert paused == [standard_messages.PAUSE] * STEPS


def test_a_store_writes_them_and_rebuilds_them(tmp_path: Path) -> None:
    def open_store() -> EpisodeStore:
        return EpisodeStore(tmp_path, "r", min_free_bytes=0, standard=standard())

    store = open_store()
    store.begin("train")
    for record in records():
        store.append(record)
    store.finish(dataclasses.replace(SUMMARY, run="r"))
    store.close()
    (bag,) = find_bags(tmp_path)
    before = {topic: len(messages) for topic, messages in read(bag).items()}
    (bag / "metadata.yaml").unlink()
    open_store().close()
    assert {topic: len(messages) for topic, messages in read(bag).items()} == before
    assert before["/wrist/color/image_raw/compressed"] == STEPS + 1


def test_metadata_have_the_version_that_humble_and_jazzy_read(bag: Path) -> None:
    information = episode_bag.read_information(bag)
    assert information["version"] == 8
    for topic in information["topics_with_message_count"]:
        assert isinstance(topic["topic_metadata"]["offered_qos_profiles"], str)  # a list from version 9 on
    latched = next(
        topic["topic_metadata"]["offered_qos_profiles"]
        for topic in information["topics_with_message_count"]
        if topic["topic_metadata"]["name"] == "/tf_static"
    )
    assert "durability: 1" in latched


def test_joints_stand_where_they_are_known(tmp_path: Path) -> None:
    """An observation without joints has no message; a bag of before, without any, is read as it is."""
    path, old = tmp_path / "episode_000000", tmp_path / "episode_000001"
    joints = [JointReading(np.full(8, 0.1 * number), np.full(8, 0.2)) for number in range(STEPS + 1)]
    episode_bag.write_bag(path, records(), SUMMARY, {}, standard(), [None, *joints[1:3], None, *joints[4:]])
    episode_bag.write_bag(old, records(), SUMMARY, {}, standard())
    said = read(path)
    poses = [stamp for stamp, _ in said["/a1x/ee_pose"]]
    assert [stamp for stamp, _ in said["/joint_states"]] == [poses[1], poses[2], poses[4], poses[5]]
    again = episode_bag.read_joints(path)
    assert [None if reading is None else reading.positions[0] for reading in again] == pytest.approx(
        [None, 0.1, 0.2, None, 0.4, 0.5]
    )
    assert episode_bag.read_joints(old) == [None] * (STEPS + 1)
    assert episode_bag.read_records(path) == episode_bag.read_records(old) == records()


def reading(number: int) -> JointReading:
    return JointReading(np.full(8, 0.1 * number), np.full(8, 0.2))


@pytest.mark.parametrize("damage", ["", "short", "rotten", "gone"])
def test_an_episode_that_a_crash_has_cut_short_keeps_its_joints(tmp_path: Path, damage: str) -> None:
    store = EpisodeStore(tmp_path, "mine", standard=standard(), min_free_bytes=0)
    store.begin("train", 5)
    for step, record in enumerate(records()):
        store.append(record, reading(step), None if step == 1 else reading(step + 1))
    store._closing.put(None)  # as kill -9: nothing is closed but the lock
    store._writer.join()
    store._lock_file.close()
    (beside,) = (tmp_path / "episodes").glob("*.joints")
    data, known = beside.read_bytes(), [0.0, 0.1, None, 0.3, 0.4, 0.5]
    if damage == "short":
        beside.write_bytes(data[:-5])
        known[5] = None
    elif damage == "rotten":
        beside.write_bytes(b"\xff" * 8 + data[8:])  # not a number
        known[0] = None
    elif damage == "gone":
        beside.unlink()
        known = [None] * (STEPS + 1)
    (tmp_path / "episodes" / "000007.joints").write_bytes(b"left over")
    with_joints = EpisodeStore(tmp_path, "mine", standard=standard(), min_free_bytes=0)
    (bag,) = find_bags(tmp_path / "episodes")
    again = episode_bag.read_joints(bag)
    assert [None if one is None else one.positions[0] for one in again] == pytest.approx(known)
    assert len(episode_bag.read_records(bag)) == STEPS
    with_joints.close()
    assert not list((tmp_path / "episodes").glob("*.j*")), "the journal and what is beside it are gone"

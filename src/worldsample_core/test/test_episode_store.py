"""Nothing real is ever lost.

The store gives back every appended step exactly once, through crashes and damage.
"""

import dataclasses
import errno
import json
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worldsample_core.episodes.journal import DiskFull, StorageError
from worldsample_core.observation import Observation
from worldsample_core.transition import EpisodeKind, EpisodeSummary, Transition

pytest.importorskip("rclpy")
episode_bag = pytest.importorskip("worldsample_core.episodes.episode_bag")
from worldsample_core.episodes.episode_store import EpisodeStore, bag_name, find_bags  # noqa: E402

SUMMARY = EpisodeSummary("train", 0, 0, 0.0, success=False, truncated=True)


def observation(number: int) -> Observation:
    image = np.full((2, 16, 16, 3), number % 256, np.uint8)
    return Observation(image, np.full(10, number, np.float32), stamp=number * 0.1)


def transition(
    seq: int, episode: int, step: int, last: bool = False, kind: EpisodeKind = "train"
) -> Transition:
    return Transition(
        observation(seq),
        np.zeros(7, np.float32),
        float(last),
        observation(seq + 1),
        terminated=last,
        truncated=False,
        success=last,
        intervention=step % 2 == 0,
        seq=seq,
        episode=episode,
        step=step,
        source="demo" if kind == "demo" else "policy",
        run="r",
    )


def record_steps(
    store: EpisodeStore, steps: int, kind: EpisodeKind = "train", finish: bool = True
) -> EpisodeSummary | None:
    episode = store.begin(kind, seed=5)
    for step in range(steps):
        last = finish and step == steps - 1
        store.append(episode_bag.encode_transition(transition(store.next_seq, episode, step, last, kind)))
    if not finish:
        return None
    return store.finish(dataclasses.replace(SUMMARY, success=True, truncated=False, episode_return=1.0))


def crash(store: EpisodeStore) -> None:
    """Leave the store as kill -9 does: bags that are due may or may not be there; the folder is free."""
    store._closing.put(None)
    store._writer.join()
    store._lock_file.close()


def open_store(path: Path) -> EpisodeStore:
    return EpisodeStore(path, "r", custom={"task": "pushing"}, min_free_bytes=0)


def test_episodes_become_bags_that_read_back_exactly(tmp_path: Path) -> None:
    closed: list[EpisodeSummary] = []
    store = EpisodeStore(tmp_path, "r", min_free_bytes=0, on_closed=closed.append)
    first = record_steps(store, 3, "demo")
    second = record_steps(store, 5)
    store.close()
    assert [s.path for s in closed] == ["episodes/episode_000000", "episodes/episode_000001"]
    assert closed == [first, second]
    assert (closed[1].first_seq, closed[1].steps, closed[1].real_steps) == (3, 5, 5)
    assert sorted(p.name for p in (tmp_path / "episodes").iterdir() if not p.name.startswith(".")) == [
        "episode_000000",
        "episode_000001",
    ]
    got = [t for bag in find_bags(tmp_path) for t in episode_bag.read_transitions(bag)]
    assert [t.seq for t in got] == list(range(8))
    assert got[2].source == "demo"
    np.testing.assert_array_equal(got[7].next_observation.images, observation(8).images)


def test_the_public_library_reads_a_bag(tmp_path: Path) -> None:
    from rosbags.highlevel import AnyReader

    store = open_store(tmp_path)
    record_steps(store, 4)
    store.close()
    bag = find_bags(tmp_path)[0]
    with AnyReader([bag]) as reader:  # with the definitions that stand in the bag
        got = [(c.topic, reader.deserialize(data, c.msgtype)) for c, _, data in reader.messages()]
    assert [topic for topic, _ in got] == ["/transitions"] * 4 + ["/episodes"]
    assert [message.seq for _, message in got[:4]] == [0, 1, 2, 3]
    assert got[4][1].steps == 4


def test_message_definitions_match_the_generated_ones() -> None:
    from ament_index_python.packages import get_package_share_directory

    share = Path(get_package_share_directory("worldsample_msgs")) / "msg"
    for name in ("Transition", "EpisodeSummary"):
        generated = json.loads((share / f"{name}.json").read_text())["type_hashes"]
        full = f"worldsample_msgs/msg/{name}"
        expected = next(h["hash_string"] for h in generated if h["type_name"] == full)
        assert episode_bag.message_types().hash_rihs01(full) == expected


def test_numbering_goes_on_after_a_restart(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    record_steps(store, 3, "demo")
    record_steps(store, 5)
    store.close()
    store = open_store(tmp_path)
    assert (store.next_seq, store.next_episode, store.real_steps) == (8, 2, 5)
    record_steps(store, 2)
    assert [t.seq for t in store.transitions()] == list(range(10))
    store.close()
    assert store.problems == []


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 4), max_size=3), st.integers(0, 4), st.data())
def test_a_crash_at_any_byte_loses_at_most_the_unfinished_step(
    tmp_path_factory: pytest.TempPathFactory, finished: list[int], running: int, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("run")
    store = open_store(path)
    for steps in finished:
        record_steps(store, steps)
    record_steps(store, running, finish=False)
    crash(store)
    journal = next((path / "episodes").glob("*.journal"))
    size = journal.stat().st_size
    record_size = len(episode_bag.encode_transition(transition(0, 0, 0))) + 8
    cut = data.draw(st.integers(0, record_size), label="bytes cut off")
    os.truncate(journal, max(0, size - cut))
    lost = min(1, running) if cut else 0

    store = open_store(path)
    expected = sum(finished) + running - lost
    assert [t.seq for t in store.transitions()] == list(range(expected))
    assert (store.next_seq, store.real_steps) == (expected, expected)
    assert not list((path / "episodes").glob("*.journal"))
    record_steps(store, 2)
    for from_seq in range(expected + 3):
        assert [episode_bag.decode_transition(r).seq for r in store.fetch(from_seq, 3)] == list(
            range(expected + 2)
        )[from_seq : from_seq + 3]
    store.close()
    assert store.problems == []


def test_an_interrupted_episode_is_closed_as_truncated(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    record_steps(store, 3, finish=False)
    crash(store)
    store = open_store(tmp_path)
    summary = store.summaries[0]
    assert (summary.steps, summary.truncated, summary.aborted, summary.success) == (3, True, True, False)
    assert (summary.intervention_steps, summary.seed) == (2, 5)
    flags = [(t.terminated, t.truncated) for t in store.transitions()]
    assert flags == [(False, False), (False, False), (False, True)]
    store.close()


def test_a_crash_between_the_bag_and_its_journal(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    record_steps(store, 3, finish=False)
    journal = (tmp_path / "episodes/000000.journal").read_bytes()
    store.finish(SUMMARY)
    store.close()
    (tmp_path / "episodes/000000.journal").write_bytes(journal)  # as if killed before it was removed
    half = tmp_path / "episodes/.writing/episode_000001"
    half.mkdir(parents=True)
    (half / "episode_000001.mcap").write_bytes(b"half")
    store = open_store(tmp_path)
    assert [t.seq for t in store.transitions()] == [0, 1, 2]
    assert not (tmp_path / "episodes/.writing").exists()
    store.close()


def test_steps_are_read_while_their_episode_runs(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    record_steps(store, 3)
    record_steps(store, 4, finish=False)
    assert [t.seq for t in store.transitions(2)] == [2, 3, 4, 5, 6]
    assert store.fetch(7, 10) == []
    assert len(store.fetch(0, 100, max_bytes=1)) == 1
    store.close()


def test_reading_while_writing_misses_nothing(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    seen: list[int] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set() or len(seen) < store.next_seq:
            for record in store.fetch(len(seen), 7):
                seen.append(episode_bag.decode_transition(record).seq)

    reader = threading.Thread(target=read)
    reader.start()
    for steps in (3, 1, 6, 2, 9, 4):
        record_steps(store, steps)
    done.set()
    reader.join()
    store.close()
    assert seen == list(range(25))


def test_an_episode_without_steps_leaves_nothing(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    record_steps(store, 0)
    assert record_steps(store, 1).episode == 0  # type: ignore[union-attr]
    store.close()
    assert [p.name for p in find_bags(tmp_path)] == [bag_name(0)]


@pytest.mark.parametrize("damage", ["metadata", "data", "both", "truncated"])
def test_a_damaged_bag_is_set_aside_and_costs_no_other(tmp_path: Path, damage: str) -> None:
    store = open_store(tmp_path)
    for _ in range(3):
        record_steps(store, 2)
    store.close()
    bag = tmp_path / "episodes/episode_000001"
    data = bag / "episode_000001.mcap"
    if damage in ("metadata", "both"):
        (bag / "metadata.yaml").write_text("rosbag2_bagfile_information: {nothing")
    if damage in ("data", "both"):
        contents = bytearray(data.read_bytes())
        contents[100:200] = bytes(100)
        data.write_bytes(contents)
    if damage == "truncated":
        os.truncate(data, 500)
    store = open_store(tmp_path)
    seqs = [t.seq for t in store.transitions()]
    if damage == "metadata":  # the data stand on their own
        assert seqs == [0, 1, 2, 3, 4, 5]
    else:
        assert seqs == [0, 1, 4, 5]
    assert len(store.problems) == 1
    assert "episode_000001" in store.problems[0]
    assert (store.next_seq, store.next_episode) == (6, 3)
    assert list((tmp_path / "episodes/damaged").iterdir())
    store.close()
    store = open_store(tmp_path)
    assert store.next_episode == 3
    store.close()


def test_a_rotten_journal_keeps_its_good_part(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    record_steps(store, 4, finish=False)
    crash(store)
    journal = tmp_path / "episodes/000000.journal"
    contents = bytearray(journal.read_bytes())
    contents[len(contents) * 5 // 8] ^= 255
    journal.write_bytes(contents)
    store = open_store(tmp_path)
    assert [t.seq for t in store.transitions()] == [0, 1]
    assert "damaged after 2 steps" in store.problems[0]
    assert (tmp_path / "episodes/damaged/000000.journal").exists()
    store.close()


def test_a_full_disk_is_said_at_the_start_and_per_episode(tmp_path: Path) -> None:
    with pytest.raises(DiskFull, match="free some space"):
        EpisodeStore(tmp_path, "r", min_free_bytes=1 << 60)
    store = open_store(tmp_path)
    store.min_free_bytes = 1 << 60
    with pytest.raises(DiskFull):
        store.begin("train")
    store.close()


def test_a_disk_that_fills_while_a_bag_is_written_keeps_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(tmp_path)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(episode_bag, "_write", full)
    record_steps(store, 3)
    store._closing.put(None)
    store._writer.join()
    with pytest.raises(DiskFull, match="--resume"):
        store.begin("train")
    monkeypatch.undo()
    assert [t.seq for t in store.transitions()] == [0, 1, 2]
    store.close()
    store = open_store(tmp_path)
    assert [t.seq for t in store.transitions()] == [0, 1, 2]
    store.close()


def test_two_writers_of_one_run_folder_are_refused(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    with pytest.raises(StorageError, match="another process"):
        open_store(tmp_path)
    store.close()
    open_store(tmp_path).close()

"""Damage on disk is found, mended from what is whole, and never believed.

The numbers in the names of the tests are those of the findings that they hold.
"""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")
from rosbags.rosbag2 import Reader

from worldsample_bringup.dashboard.metrics import MetricsLog
from worldsample_bringup.graph.announcement import closing
from worldsample_bringup.graph.runner import Outcome
from worldsample_bringup.report.report import write_report
from worldsample_bringup.run.configuration import layers, make_settings, write_config
from worldsample_bringup.run.history import read_history
from worldsample_bringup.run.run_folder import RunFolder
from worldsample_bringup.run.verify_run import verify, worst
from worldsample_core.config import merge
from worldsample_core.episodes.episode_bag import (
    DamagedBag,
    check_bag,
    encode_transition,
    read_metadata,
    read_transitions,
)
from worldsample_core.episodes.episode_store import EpisodeStore, find_bags
from worldsample_core.messages.conversions import transition_to_message
from worldsample_core.observation import Observation
from worldsample_core.transition import EpisodeSummary, Transition
from worldsample_policy.acting.run_plan import EvaluationLog

SUMMARY = EpisodeSummary("train", 0, 0, 1.0, success=True, truncated=False)


def record_episode(store: EpisodeStore, steps: int, seed: int = 0) -> None:
    random_numbers = np.random.default_rng(seed)
    episode = store.begin("train", seed=seed)
    for step in range(steps):
        images = random_numbers.integers(0, 255, (2, 16, 16, 3), np.uint8)
        here = Observation(images, random_numbers.random(10, np.float32), stamp=0.1 * step)
        last = step == steps - 1
        action = random_numbers.uniform(-1, 1, 7).astype(np.float32)
        numbers = (store.next_seq, episode, step)
        done = Transition(here, action, float(last), here, last, False, last, False, *numbers, run="r")
        store.append(encode_transition(done))
    store.finish(SUMMARY)


def open_store(path: Path) -> EpisodeStore:
    return EpisodeStore(path, "r", custom={"task": "pushing"}, min_free_bytes=0)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run folder with a configuration, three episodes and their metrics."""
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    said = {"run": {"name": "r", "directory": str(folder.path), "mode": "train"}}
    write_config(folder.config, make_settings(merge(layers("cpu", "hil_serl", "pushing", True), said)))
    store = open_store(folder.path)
    log = MetricsLog(folder)
    log.start(False, "abc")
    for number in range(3):
        record_episode(store, 3, number)
    store.drain()
    for summary in store.summaries:
        log.episode(summary)
    store.close()
    log.close()
    return folder


def flip(path: Path, byte: int, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[byte] ^= 1 << bit
    path.write_bytes(data)


def same_episode(left: list[Transition], right: list[Transition]) -> bool:
    """Equal in every field; encoded bytes are not compared, because CDR's padding has any value."""
    return [transition_to_message(t) for t in left] == [transition_to_message(t) for t in right]


def test_attack_02_every_flipped_bit_of_an_episode_is_found(run: RunFolder, tmp_path: Path) -> None:
    bag, dice = find_bags(run.path)[1], random.Random(2)
    for name in (f"{bag.name}.mcap", "metadata.yaml"):
        size = (bag / name).stat().st_size
        for _ in range(150):
            copy = tmp_path / bag.name
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(bag, copy)
            flip(copy / name, dice.randrange(size), dice.randrange(8))
            with pytest.raises(DamagedBag):
                check_bag(copy)


def test_attack_02_the_data_of_another_episode_do_not_pass_for_this_one(run: RunFolder) -> None:
    first, second, _ = find_bags(run.path)
    shutil.copy(second / f"{second.name}.mcap", first / f"{first.name}.mcap")
    with pytest.raises(DamagedBag, match="not the one"):
        check_bag(first)
    with pytest.raises(DamagedBag, match="not the one"):
        read_transitions(first)
    assert worst(verify(run)) == "lost"


def test_attack_02_a_changed_action_is_not_read(run: RunFolder) -> None:
    bag = find_bags(run.path)[0]
    flip(bag / f"{bag.name}.mcap", (bag / f"{bag.name}.mcap").stat().st_size // 3, 4)
    with pytest.raises(DamagedBag):
        read_transitions(bag)


def test_attack_02_chunks_carry_checksums_that_other_readers_verify(run: RunFolder) -> None:
    bag = find_bags(run.path)[0]
    data = (bag / f"{bag.name}.mcap").read_bytes()
    place = data.index(b"\x06", 8)
    while data[place + 9 + 28 : place + 9 + 32] != b"\x04\0\0\0":  # the length of "zstd"
        place = data.index(b"\x06", place + 1)
    assert data[place + 9 + 24 : place + 9 + 28] != b"\0\0\0\0"
    with Reader(bag) as reader:  # rosbags compares them as it reads
        assert len(list(reader.messages())) == 4


def test_attack_02_damaged_metadata_are_rebuilt_and_damaged_data_set_aside(run: RunFolder) -> None:
    first, second, _ = find_bags(run.path)
    before = read_transitions(first)
    text = (first / "metadata.yaml").read_text()
    (first / "metadata.yaml").write_text(text.replace("pushing", "pulling"))
    flip(second / f"{second.name}.mcap", 400, 3)
    assert worst(verify(run)) == "lost"
    store = open_store(run.path)
    assert len(store.problems) == 2
    assert same_episode(read_transitions(first), before)
    assert read_metadata(first)[1]["task"] == "pushing"
    assert [s.episode for s in store.summaries] == [0, 2]
    store.close()


def test_attack_minor_numbers_of_a_damaged_newest_bag_are_not_used_again(run: RunFolder) -> None:
    newest = find_bags(run.path)[-1]
    for file in newest.iterdir():
        file.write_bytes(b"rubbish")
    store = open_store(run.path)
    assert (store.next_seq, store.next_episode) == (9, 3)
    record_episode(store, 2)
    store.close()
    assert [t.seq for t in read_transitions(find_bags(run.path)[-1])] == [9, 10]


def test_attack_minor_a_deleted_bag_is_told_on_open_and_by_verify(run: RunFolder) -> None:
    shutil.rmtree(find_bags(run.path)[1])
    assert any("steps 3 to 5 are missing" in f.detail for f in verify(run) if f.state == "lost")
    store = open_store(run.path)
    assert any("steps 3 to 5 are missing" in problem for problem in store.problems)
    store.close()


def test_field_12_a_wrong_count_of_steps_is_found_and_mended(run: RunFolder) -> None:
    """As a bag of an earlier version, without a digest of its metadata."""
    bag = find_bags(run.path)[1]
    body = (bag / "metadata.yaml").read_text().partition("\n# sha256")[0]
    (bag / "metadata.yaml").write_text(body.replace('"steps": 3', '"steps": 7') + "\n")
    with pytest.raises(DamagedBag):
        check_bag(bag)
    store = open_store(run.path)
    assert [s.steps for s in store.summaries] == [3, 3, 3]
    store.close()


def test_field_12_the_data_file_is_the_one_that_the_metadata_name(run: RunFolder) -> None:
    bag = find_bags(run.path)[0]
    before = read_transitions(bag)
    shutil.copy(find_bags(run.path)[1] / "episode_000001.mcap", bag / "a_copy_from_elsewhere.mcap")
    assert same_episode(read_transitions(bag), before)


def test_field_12_missing_metadata_are_rebuilt(run: RunFolder) -> None:
    bag = find_bags(run.path)[2]
    (bag / "metadata.yaml").unlink()
    assert worst(verify(run)) == "mended"
    store = open_store(run.path)
    store.close()
    assert check_bag(bag).steps == 3
    assert worst(verify(run)) == "whole"


def test_attack_08_a_changed_letter_in_the_metrics_costs_nothing(run: RunFolder) -> None:
    text = run.metrics.read_text()
    run.metrics.write_text(text.replace("episode_kind", "episode_kine", 1))
    assert worst(verify(run)) == "mended"
    log = MetricsLog(run)  # what a resumed run does first
    for bag in find_bags(run.path):
        log.episode(read_metadata(bag)[0], from_disk=True)
    log.close()
    assert [r["episode"] for r in read_history(run.metrics).train] == [0, 1, 2]
    assert write_report(run)["episodes"] == 3


@pytest.mark.parametrize(
    "line",
    [
        '{"kind": "episode", "t": 1.0}',
        '{"kind": "learner", "t": "soon", "updates": 1, "real_steps": 0}',
        '{"kind": "learner", "t": 1, "updates": [1], "real_steps": 0}',
        '{"kind": ["x"], "t": 1}',
        '{"kind": "policy", "t": 1, "real_steps": 1e999}',
        '{"kind": "worldmodel", "t": 1, "psnr": {"a": 1}}',
        "[" * 3000,
    ],
)
def test_attack_08_a_damaged_line_of_the_metrics_is_left_out(run: RunFolder, line: str) -> None:
    with run.metrics.open("a") as file:
        file.write(line + "\n")
    MetricsLog(run).close()
    assert write_report(run)["episodes"] == 3


def test_attack_08_a_damaged_line_of_the_evaluations_is_repeated_not_fatal(run: RunFolder) -> None:
    log = EvaluationLog(run.path)
    for episode in range(2):
        log.append(EpisodeSummary("eval", episode, 4, 1.0, success=True, truncated=False), final=False)
    path = run.path / "evaluations.jsonl"
    path.write_text(path.read_text().replace('"episode": 0', '"epis\\u00f6de": 0'))
    again = EvaluationLog(run.path)
    assert ([e.summary.episode for e in again.entries], again.damaged) == ([1], 1)
    assert EvaluationLog(run.path).damaged == 0


@pytest.mark.parametrize(
    "text",
    [
        "5",
        "[" * 100_000,
        '{"finished": "yes"}',
        '{"finished": true, "real_steps": "many"}',
        '{"finished": true, "real_steps": -1}',
        '{"finished": false, "eval_success_rate": 0.5}',
        '{"finished": false, "wall_seconds": 1e999}',
        '{"finished": true, "eval_history": [[1, 2]]}',
    ],
)
def test_attack_08_a_damaged_summary_is_none(run: RunFolder, text: str) -> None:
    run.summary.write_text(text)
    assert run.read_summary() == {}
    assert worst(verify(run)) == "mended"
    assert closing(run, run.settings(), Outcome(0))
    assert write_report(run)["episodes"] == 3 and run.read_summary()["episodes"] == 3


def test_attack_08_a_summary_that_knows_nothing_is_told(run: RunFolder) -> None:
    names = ("real_steps", "demo_successes", "label_successes", "wall_seconds", "intervention_rate")
    run.summary.write_text(json.dumps({**dict.fromkeys(names), "demo_episodes": 3}))
    assert any("0 real steps" in line for line in closing(run, run.settings(), Outcome(0)))


def test_attack_07_summaries_of_episodes_that_never_were_do_not_count(run: RunFolder) -> None:
    log = MetricsLog(run)
    for episode in range(3, 500):
        log.episode(EpisodeSummary("train", episode, 1, 1.0, success=True, truncated=False, real_steps=9))
    log.close()
    assert write_report(run)["episodes"] == 3


def test_verify_is_a_command_with_an_exit_code(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    from worldsample_bringup.cli import main

    def said() -> tuple[int, dict[str, Any]]:
        code = main(["verify", str(run.path), "--json"])
        return code, json.loads(capsys.readouterr().out.splitlines()[-1])

    code, result = said()
    assert (code, result["state"], result["whole"]) == (0, "whole", 5)
    run.summary.write_text("{")
    assert said()[0] == 3
    flip(find_bags(run.path)[0] / "episode_000000.mcap", 500, 1)
    code, result = said()
    assert (code, result["lost"]) == (1, 1)

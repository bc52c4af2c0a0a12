"""``bench fuzz``: a piece of it on every run of the suite, and the proof that it finds what it is to find."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("worldsample_msgs")
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from worldsample_bringup.bench import bench_fuzz
from worldsample_bringup.bench.bench_fuzz import Fuzzing, all_decoders, measure, quiet, table
from worldsample_bringup.bench.fuzz import fuzzed_decoder, fuzzed_episodes, fuzzed_files
from worldsample_bringup.bench.fuzz.fuzzed_decoder import FuzzedDecoder, FuzzVerdict
from worldsample_core.episodes.episode_bag import read_metadata
from worldsample_core.episodes.journal import JournalContents, read_journal

SECONDS = 15.0
"""The quick piece takes no longer; the bench itself takes as many inputs as it is given."""


@pytest.fixture(scope="module")
def fuzzing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fuzzing]:
    """All decoders of the bench."""
    with quiet():
        yield Fuzzing(all_decoders(tmp_path_factory.mktemp("fuzz")), seed=1)


def decoder_of(fuzzing: Fuzzing, name: str) -> FuzzedDecoder[Any]:
    return next(decoder for decoder in fuzzing.decoders if decoder.name == name)


def must_be_whole(verdict: FuzzVerdict) -> None:
    assert verdict.result in ("refused", "accepted"), verdict.detail
    assert not verdict.one_bit or verdict.result == "refused"


def test_attack_01_every_decoder_withstands_its_first_inputs(fuzzing: Fuzzing) -> None:
    for decoder in fuzzing.decoders:
        for number in range(8):
            must_be_whole(fuzzing.feed(decoder, number))


@pytest.mark.slow
def test_attack_01_no_damaged_input_is_uncaught_and_no_damage_silent(fuzzing: Fuzzing) -> None:
    """New inputs each time; a failing one is printed with its number, and tried again first."""
    decoders = {decoder.name: decoder for decoder in fuzzing.decoders}
    names = [name for decoder in fuzzing.decoders for name in [decoder.name] * round(decoder.share)]
    until = time.monotonic() + SECONDS

    @settings(max_examples=3000, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(names), st.integers(0, 1 << 62))
    def piece(name: str, number: int) -> None:
        if time.monotonic() < until:  # on a busy machine fewer
            must_be_whole(fuzzing.feed(decoders[name], number))

    piece()


class BrokenDecoder(FuzzedDecoder[int]):
    name, share, declared = "broken", 1.0, (ValueError,)

    def mutate(self, dice: Random) -> int:
        return dice.randrange(6)

    def decode(self, made: int) -> str:
        if made == 0:
            raise ValueError("declared")
        if made == 1:
            raise KeyError("not declared")
        if made == 2:
            raise SystemExit  # no Exception, as a panic in Rust is none
        return "a step differs" if made == 3 else ""


def test_what_is_not_declared_is_uncaught_and_what_differs_is_silent() -> None:
    fuzzing = Fuzzing([BrokenDecoder()], seed=0)
    for number in range(300):
        fuzzing.feed(fuzzing.decoders[0], number)
    assert sum(fuzzing.counts["broken"].results.values()) == 300
    assert fuzzing.total("uncaught") > 60 and fuzzing.total("silent") > 25
    assert any("KeyError: 'not declared'" in words for words in fuzzing.examples["uncaught in broken"])
    assert len(fuzzing.examples["silent in broken"]) == bench_fuzz.EXAMPLES


def test_a_decoder_that_hangs_is_uncaught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzzed_decoder, "SLOW", 0.01)
    monkeypatch.setattr(BrokenDecoder, "decode", lambda self, made: time.sleep(0.02) or "")
    verdict = BrokenDecoder().try_one(Random(0))
    assert verdict.result == "uncaught" and "took" in verdict.detail


def found(decoder: FuzzedDecoder[Any], result: str, inputs: int = 60) -> int:
    return sum(decoder.try_one(Random(number)).result == result for number in range(inputs))


def test_a_check_of_bags_that_reads_no_data_is_found_out(
    fuzzing: Fuzzing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fuzzed_episodes, "check_bag", lambda path: read_metadata(path)[0])
    monkeypatch.setattr(fuzzed_episodes, "read_transitions", lambda path: [])
    bags = decoder_of(fuzzing, "episode bags")
    assert found(bags, "silent") > 5


def test_a_journal_that_drops_records_is_found_out(fuzzing: Fuzzing, monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(path: Path) -> JournalContents:
        contents = read_journal(path)
        return JournalContents(contents.header, contents.records)

    monkeypatch.setattr(fuzzed_episodes, "read_journal", forgetful)
    assert found(decoder_of(fuzzing, "journals"), "silent") > 5


def test_a_reader_of_checkpoints_without_digests_is_found_out(
    fuzzing: Fuzzing, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trusting(path: Path) -> Any:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, {}  # noqa: SIM118

    monkeypatch.setattr(fuzzed_files.model_file, "read", trusting)
    assert found(decoder_of(fuzzing, "model files"), "silent") > 5


def test_equal_seeds_give_equal_inputs_and_every_decoder_gets_its_share(fuzzing: Fuzzing) -> None:
    for decoder in fuzzing.decoders:
        left, right = (decoder.mutate(Random("7/x/3")) for _ in range(2))
        assert left == right, decoder.name
    order = [decoder.name for decoder, _ in fuzzing.order(2000)]
    total = sum(decoder.share for decoder in fuzzing.decoders)
    for decoder in fuzzing.decoders:
        assert order.count(decoder.name) == pytest.approx(2000 * decoder.share / total, abs=1.0)


def test_the_result_counts_every_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_fuzz, "all_decoders", lambda folder: [BrokenDecoder()])
    result = measure(400)
    assert result["inputs"] == 400 and result["finished"]
    assert result["uncaught"] == result["decoders"]["broken"]["uncaught"] > 60
    assert result["rss_growth_mb"] is not None
    assert "silent in broken: input" in table(result)


def test_ctrl_c_ends_it_with_what_was_done(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "worldsample_bringup.cli",
        "bench",
        "fuzz",
        "--inputs",
        "5000000",
        "--json",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        while "inputs" not in (line := process.stderr.readline()):
            assert line
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130 and "Traceback" not in err
    assert '"finished": false' in out.splitlines()[-1]

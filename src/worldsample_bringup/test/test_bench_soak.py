"""``bench soak``: what grows is found, and what does not is left in peace; the schedule, without nodes."""

from __future__ import annotations

import os
from typing import Any

import pytest

pytest.importorskip("rclpy")
from worldsample_bringup.bench import bench_soak
from worldsample_bringup.bench.bench_soak import SETTLING, SoakWatch, table, worst_of
from worldsample_bringup.bench.process_memory import MemorySample, MemoryTrack, read_sample, slope_per_minute
from worldsample_bringup.graph.runner import Outcome


def test_the_slope_is_per_minute() -> None:
    assert slope_per_minute([(10.0, 100.0), (40.0, 101.0), (70.0, 102.0)]) == pytest.approx(2.0)
    assert slope_per_minute([(0.0, 1.0), (1.0, 2.0)]) is None


def test_a_sample_of_this_process() -> None:
    before = read_sample(os.getpid(), 0.0)
    held, opened = bytearray(os.urandom(1 << 16) * 400), [os.open(os.devnull, os.O_RDONLY) for _ in range(7)]
    after = read_sample(os.getpid(), 1.0)
    assert before is not None and after is not None and len(held) > 26_000_000
    assert 22.0 < after.resident - before.resident < 60.0, "MB; what else the process has taken is in it, too"
    assert after.descriptors - before.descriptors == 7
    for file in opened:
        os.close(file)
    assert read_sample(1 << 30, 0.0) is None


def test_a_process_that_takes_anothers_place_is_counted_and_measured_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "worldsample_bringup.bench.process_memory.read_sample",
        lambda pid, at: MemorySample(at, 100.0 * pid + at / 60.0, 5.0, 10),
    )
    track = MemoryTrack()
    for at in range(0, 120, 10):
        track.look(1 if at < 40 else 2, float(at))
    figures = track.figures(warm_up=60.0)
    assert figures["restarts"] == 1 and figures["samples"] == 6
    assert figures["mb_per_minute"] == pytest.approx(1.0) and figures["resident_mb"] == [201.0, 201.8]


class GrowingGraph:
    """Two nodes, one of which grows by 3 MB a minute; it stands in for the runner."""

    names = ("policy", "worldmodel")

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
        self.now, self.learns_at, self.outcome = 0.0, 0.0, Outcome(9)
        self.said: list[str] = []
        monkeypatch.setattr(bench_soak.time, "monotonic", lambda: self.now)
        monkeypatch.setattr("worldsample_bringup.bench.process_memory.read_sample", self._sample)
        self.watch = SoakWatch(seconds, lambda: self.now >= self.learns_at, self.said.append)

    def _sample(self, pid: int, at: float) -> MemorySample:
        return MemorySample(at, 300.0 + (3.0 * at / 60.0 if pid == 2 else 0.0), 1.0, 20)

    def pid(self, name: str) -> int:
        return self.names.index(name) + 1

    def stop(self, outcome: Outcome) -> None:
        self.outcome = outcome


def test_it_looks_tells_and_ends_in_time_and_names_what_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = GrowingGraph(monkeypatch, seconds=600.0)
    while graph.outcome == Outcome(9):
        graph.watch(graph)  # type: ignore[arg-type]
        graph.now += 1.0
    assert graph.now == pytest.approx(601.0) and graph.outcome == Outcome(0)
    assert graph.watch.warm_up == 200.0
    processes = graph.watch.figures()
    assert worst_of(processes) == ("worldmodel", pytest.approx(3.0))
    assert processes["policy"]["mb_per_minute"] == 0.0
    assert len(graph.said) == 21 and "worst worldmodel +3.00 MB/min" in graph.said[-1]
    assert "ETA" in graph.said[0]


def test_the_table_names_what_grows_too_fast() -> None:
    figures: dict[str, Any] = {
        **{"samples": 9, "restarts": 0, "mb_per_minute": 3.0, "resident_mb": [300.0, 310.0]},
        **{"shared_mb": [1.0, 1.0], "descriptors": [20, 21]},
    }
    result = {
        **{
            "processes": {"learner": figures},
            "too_fast": ["learner"],
            "judged": True,
            "warm_up_minutes": 5.0,
            "finished": True,
        },
        **{"real_steps": 9, "updates": None, "limit_mb_per_minute": 1.0, "machine": {"note": "2 CPU cores"}},
    }
    assert "faster than 1 MB a minute: learner" in table(result)
    assert "20 to 21" in table(result)
    assert "too short to judge" in table({**result, "judged": False, "warm_up_minutes": None})


@pytest.mark.parametrize(
    ("learns_at", "judged"), [(100.0, True), (400.0, True), (500.0, False), (1e9, False)]
)
def test_what_grows_before_anything_learns_is_no_fault(
    monkeypatch: pytest.MonkeyPatch, learns_at: float, judged: bool
) -> None:
    """A slow machine still records demonstrations when the first minutes are over."""
    graph = GrowingGraph(monkeypatch, seconds=600.0)
    graph.learns_at = learns_at
    while graph.outcome == Outcome(9):
        graph.watch(graph)  # type: ignore[arg-type]
        graph.now += 1.0
    assert graph.watch.judged == judged
    assert graph.watch.warm_up >= learns_at + SETTLING

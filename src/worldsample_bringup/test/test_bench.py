"""The schedule and the figures of ``bench loop``, without nodes."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from worldsample_bringup.bench import bench_loop
from worldsample_bringup.bench.bench_loop import LoopProbe, Samples, percentile, rate
from worldsample_bringup.graph.runner import Outcome


def test_rate_and_percentile() -> None:
    assert rate([0.0, 0.1, 0.2, 0.3]) == 10.0
    assert rate([1.0]) is None and percentile([], 95) is None
    assert percentile([1.0, 2.0, 3.0], 50) == 2.0


class FakeRunner:
    def __init__(self) -> None:
        self.outcome: Outcome | None = None

    def pid(self, name: str) -> int:
        return {"learner": 4711}[name]

    def stop(self, outcome: Outcome) -> None:
        self.outcome = outcome


class ProbeBench:
    """A probe with a clock that the test moves, and ears that hear what the test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.signals: list[tuple[int, int]] = []
        monkeypatch.setattr(bench_loop.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(bench_loop.os, "kill", lambda pid, number: self.signals.append((pid, number)))
        monkeypatch.setattr(LoopProbe, "_listen", lambda probe: setattr(probe, "_node", object()))
        monkeypatch.setattr(LoopProbe, "_heard", lambda probe: 0)
        self.probe, self.runner = LoopProbe(60.0), FakeRunner()

    @property
    def samples(self) -> Samples:
        return self.probe._samples

    def look(self) -> None:
        self.probe(self.runner)  # type: ignore[arg-type]


def test_it_waits_measures_stops_the_learner_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = ProbeBench(monkeypatch)
    bench.look()
    bench.samples.commands.append(0.0)  # before the learner trains: not counted
    bench.samples.training, bench.samples.weights_version = True, 2
    bench.look()
    for tick in range(600):
        bench.now = 0.1 * tick
        bench.samples.commands.append(bench.now)
        bench.samples.jitters.append(40.0 if tick < 300 else 6.0)  # windows that reach back before the start
        bench.samples.latencies.append(50.0)
    bench.now = 60.1
    bench.look()
    assert bench.signals == [(4711, signal.SIGSTOP)]
    for tick in range(300):
        bench.samples.commands.append(60.1 + 0.1 * tick)
    bench.now = 91.0
    bench.look()
    assert bench.signals[-1] == (4711, signal.SIGCONT) and bench.runner.outcome == Outcome(0)
    result: dict[str, Any] = bench.probe.result
    assert result["tick_p99_jitter_ms"] == 6.0 and result["weights_latency_p95_ms"] == 50.0
    assert result["rate_while_learner_stopped_hz"] == pytest.approx(10.0)


def test_a_learner_that_never_trains_ends_the_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = ProbeBench(monkeypatch)
    bench.now = bench_loop.START_PATIENCE + 1.0
    bench.look()
    assert bench.runner.outcome is not None and bench.runner.outcome.code == 1

"""``bench faults``: its account finds what is lost, doubled and silent; its schedule, without nodes."""

from __future__ import annotations

import io
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("worldsample_msgs")
from worldsample_bringup.bench.bench_faults import FAULTS, table
from worldsample_bringup.bench.faults import fault_watch, surroundings, told_lines
from worldsample_bringup.bench.faults.fault import NODES, TOPICS, Fault, draw_faults
from worldsample_bringup.bench.faults.fault_account import RecordedStep, account, recoveries
from worldsample_bringup.bench.faults.fault_watch import SETTLED, STOPPED, FaultWatch
from worldsample_bringup.bench.faults.graph_ears import signature
from worldsample_bringup.bench.faults.moved_clock import MovedClock, find_compiler
from worldsample_bringup.bench.faults.surroundings import FILLER, Surroundings, fill
from worldsample_bringup.bench.faults.told_lines import ToldLines
from worldsample_bringup.bench.faults.two_computers import WORKSTATION, two_computers
from worldsample_bringup.graph.node_command import ProcessSpec
from worldsample_bringup.graph.runner import Outcome
from worldsample_core.messages.conversions import transition_to_message
from worldsample_msgs.msg import LearnerStatus
from worldsample_policy.tiny_learner import make_episode


def steps(count: int, without: tuple[int, ...] = (), demos: int = 2) -> list[RecordedStep]:
    return [RecordedStep(seq, 100 + seq, seq >= demos) for seq in range(count) if seq not in without]


def faults(*begins: int) -> list[Fault]:
    return [Fault("kill", "policy", next_seq=begin) for begin in begins]


def heard(count: int) -> dict[int, int]:
    return {seq: 100 + seq for seq in range(count)}


def test_nothing_lost_is_nothing_charged() -> None:
    done = faults(3, 6)
    done[0].learner = (8, 6, 2)
    assert account(done, steps(10), heard(10)) == 0
    assert [(fault.lost, fault.doubled) for fault in done] == [(0, 0), (0, 0)]


def test_what_the_disk_lacks_is_charged_to_the_fault_before_it() -> None:
    done = faults(3, 6)
    account(done, steps(10, without=(4, 7, 8)), heard(10))
    assert [fault.lost for fault in done] == [1, 2]
    done = faults(3)
    account(done, steps(9), heard(11))  # the last two were heard and never recorded
    assert done[0].lost == 2


def test_what_is_twice_on_disk_or_counted_twice_by_the_learner_is_doubled() -> None:
    done = faults(3)
    account(done, [*steps(6), RecordedStep(5, 105, True)], heard(6))
    assert (done[0].lost, done[0].doubled) == (0, 1)
    done = faults(3)
    done[0].learner = (8, 7, 2)
    account(done, steps(10), heard(10))
    assert (done[0].lost, done[0].doubled) == (0, 1)


def test_what_the_learner_lacks_is_lost() -> None:
    done = faults(3)
    done[0].learner = (8, 4, 2)
    account(done, steps(10), heard(10))
    assert done[0].lost == 2


def test_a_step_that_differs_on_disk_is_altered() -> None:
    changed = [RecordedStep(4, 7, True) if step.seq == 4 else step for step in steps(6)]
    assert account(faults(0), changed, heard(6)) == 1


def test_the_signature_tells_steps_apart() -> None:
    messages = [transition_to_message(t) for t in make_episode(np.random.default_rng(0), 3, size=16)]
    assert len({signature(message) for message in messages}) == 3
    changed = signature(messages[0])
    messages[0].action[3] += 0.01
    assert signature(messages[0]) != changed


def test_every_node_and_input_has_its_turn() -> None:
    drawn = draw_faults(100, seed=3)
    names = {fault.name for fault in drawn}
    assert len(drawn) == 100 and {f"kill {node}" for node in NODES} | {"disk full"} <= names
    assert {"clock set -30 s", "clock set +30 s", "network cut 5 s", "network cut 30 s"} <= names
    assert {f"garbage {topic}" for topic in TOPICS} | {f"stop {node}" for node in NODES} <= names
    assert not any(fault.kind == "disk full" for fault in draw_faults(100, 3, {"disk full": "no root"}))
    assert [f.name for f in drawn] == [f.name for f in draw_faults(100, 3)]


def test_recoveries_by_kind() -> None:
    done = faults(1, 2, 3)
    for fault, seconds in zip(done, (1.0, 2.0, None), strict=True):
        fault.acting_s = fault.learning_s = seconds
    done[0].told, done[1].told = ["learner starts again in 1 s"], ["learner starts again in 20.5 s"]
    done[1].lost = 2
    figures = recoveries(done)["kill"]
    assert (figures["n"], figures["acting_s_p50"], figures["learning_s_p95"]) == (3, 1.5, 1.95)
    assert (figures["lost"], figures["doubled"], figures["told_nothing"]) == (2, 0, 1)
    assert figures["told"] == ["learner starts again in … s"]


class Ears:
    """Ears that hear what the test says."""

    def __init__(self) -> None:
        self.heard_step_at = self.updates_grew_at = -1.0
        self.learner = LearnerStatus(state=LearnerStatus.TRAINING, next_seq=40, real_steps=38, demo_steps=2)
        self.next_seq = 40
        self.fed: list[str] = []
        self.resets: list[Any] = []

    def close(self) -> None: ...

    def feed(self, what: str, dice: Any) -> None:
        self.fed.append(what)


class FaultyGraph:
    """A watch with a clock that the test moves, and nodes that die when they are killed."""

    names = ("policy", "learner")

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fault: Fault, folder: Path = Path()) -> None:
        self.now, self.pids = 100.0, {"policy": 11, "learner": 22}
        self.outcome: Outcome | None = None
        self.signals: list[tuple[int, int]] = []
        self.ears, self.told = Ears(), ToldLines(io.StringIO())
        for module in (fault_watch, told_lines):
            monkeypatch.setattr(module.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(fault_watch.os, "kill", lambda pid, number: self.signals.append((pid, number)))
        self.said: list[str] = []
        self.watch = FaultWatch(
            [fault],
            None,
            0.0,
            lambda: self.ears,  # type: ignore[arg-type,return-value]
            self.told,
            Surroundings(folder),
            lambda f: self.said.append(f.name),
        )

    def pid(self, name: str) -> int | None:
        return self.pids.get(name)

    def stop(self, outcome: Outcome) -> None:
        self.outcome = self.outcome or outcome

    def pass_time(self, seconds: float, acts: bool = True, learns: bool = True) -> None:
        end = self.now + seconds
        while self.now < end and self.outcome is None:
            self.now += 0.1
            self.ears.heard_step_at = self.now if acts else self.ears.heard_step_at
            self.ears.updates_grew_at = self.now if learns else self.ears.updates_grew_at
            self.watch(self)  # type: ignore[arg-type]


def test_a_killed_learner_is_seen_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    fault = Fault("kill", "learner")
    graph = FaultyGraph(monkeypatch, fault)
    graph.pass_time(SETTLED + 0.5)
    assert graph.signals == [(22, signal.SIGKILL)] and fault.next_seq == 40
    del graph.pids["learner"]
    print("learner    | WARN ended with exit code 137; it starts again in 1 s (1 of 5)", file=graph.told)
    graph.pass_time(2.0, learns=False)
    graph.pids["learner"] = 33
    graph.pass_time(3.0, learns=False)
    graph.pass_time(1.0)
    assert graph.watch.done == [fault] and graph.said == ["kill learner"]
    assert fault.acting_s == pytest.approx(2.5, abs=0.6) and fault.learning_s == pytest.approx(5.5, abs=0.6)
    assert (fault.restarted, fault.silent, fault.learner) == (["learner"], 0, (40, 38, 2))
    graph.pass_time(SETTLED + 1.0)
    assert graph.outcome == Outcome(0)


def test_a_restart_of_which_nothing_is_said_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    fault = Fault("kill", "learner")
    graph = FaultyGraph(monkeypatch, fault)
    graph.pass_time(SETTLED + 0.5)
    graph.pids["learner"] = 33
    graph.pass_time(2.0)
    assert (fault.restarted, fault.silent) == (["learner"], 1)


def test_a_stopped_node_goes_on_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    fault = Fault("stop", "policy")
    graph = FaultyGraph(monkeypatch, fault)
    graph.pass_time(SETTLED + 0.5)
    graph.pass_time(STOPPED - 1.0, acts=False)
    assert graph.signals == [(11, signal.SIGSTOP)]
    graph.pass_time(1.5, acts=False)
    assert graph.signals[-1] == (11, signal.SIGCONT)
    graph.pass_time(1.0)
    assert fault.acting_s == pytest.approx(STOPPED + 1.0, abs=0.7) and not fault.silent


def test_what_does_not_recover_ends_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    fault = Fault("garbage", "weights")
    graph = FaultyGraph(monkeypatch, fault)
    graph.pass_time(SETTLED + 0.5)
    assert graph.ears.fed == ["weights"]
    graph.pass_time(fault_watch.PATIENCE + 10.0, acts=False)
    assert graph.outcome is not None and graph.outcome.code == 1
    assert fault.acting_s is None and graph.watch.done == [fault]


def test_a_full_disk_is_emptied_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(surroundings, "fill", lambda path: path.write_bytes(b"x"))
    graph = FaultyGraph(monkeypatch, Fault("disk full", ""), tmp_path)
    graph.pass_time(SETTLED + 0.5)
    assert (tmp_path / FILLER).exists()
    graph.watch.end()  # the run has ended by it
    assert not (tmp_path / FILLER).exists() and graph.watch.current is not None


def test_filling_stops_where_nothing_more_fits(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3 << 20, before[1]))
    try:
        fill(tmp_path / FILLER)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert (tmp_path / FILLER).stat().st_size == 3 << 20


def test_only_warnings_since_the_fault_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1.0]
    monkeypatch.setattr(told_lines.time, "monotonic", lambda: now[0])
    log = io.StringIO()
    told = ToldLines(log)
    told.write("a | WARN early\nb | all is well\n")
    now[0] = 5.0
    told.write("a | WARN la")
    told.write("te\na | WARN late\nStopped early: x.\n")
    assert told.warnings(2.0) == ["a | WARN late", "Stopped early: x."]
    assert log.getvalue().count("\n") == 5


def test_the_table_says_when_faults_are_fewer_than_meant() -> None:
    result: dict[str, Any] = {name: 0 for name in FAULTS} | {
        "faults": 30,
        "aim": 100,
        "ended_without_a_fault": [],
        "skipped": {"disk full": "no root"},
    }
    result |= {"recovery": recoveries(faults(1)), "finished": True, "machine": {"note": "2 CPU cores"}}
    text = table(result)
    assert "30 faults; 100 or more are meant" in text and "skipped: disk full: no root" in text


class NotedCable:
    """A cable that notes what is done to it."""

    on_robot = ("on", "robot")

    def __init__(self) -> None:
        self.done: list[str] = []

    def cut(self) -> None:
        self.done.append("cut")

    def mend(self) -> None:
        self.done.append("mend")


def test_a_cut_cable_is_mended_also_where_the_run_ends_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = FaultyGraph(monkeypatch, Fault("network cut", "5 s"))
    cable = graph.watch._around.cable = NotedCable()  # type: ignore[assignment]
    graph.pass_time(SETTLED + 1.0)
    graph.pass_time(3.0, acts=False)
    assert cable.done == ["cut"]
    graph.pass_time(2.0, acts=False)
    assert cable.done == ["cut", "mend"]
    graph = FaultyGraph(monkeypatch, Fault("network cut", "30 s"))
    cable = graph.watch._around.cable = NotedCable()  # type: ignore[assignment]
    graph.pass_time(SETTLED + 1.0)
    graph.watch.end()
    assert cable.done == ["cut", "mend"]


def test_the_robots_nodes_run_on_its_side_of_the_cable() -> None:
    around = Surroundings(Path())
    policy, learner = (ProcessSpec(name, ["python"]) for name in ("policy", "learner"))
    assert around.placed(policy) == policy
    around.cable = NotedCable()  # type: ignore[assignment]
    assert list(around.placed(policy).command) == ["on", "robot", "python"]
    assert around.placed(learner) == learner


@pytest.mark.skipif(not find_compiler(), reason="no C compiler")
def test_a_moved_clock_is_that_of_the_processes_with_its_library(tmp_path: Path) -> None:
    clock = MovedClock(tmp_path)
    clock.set(-30.0)
    said = subprocess.run(
        [sys.executable, "-c", "import time; print(time.time(), time.monotonic())"],
        env={**os.environ, **clock.environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert float(said[0]) - time.time() == pytest.approx(-30.0, abs=5.0)
    assert float(said[1]) - time.monotonic() == pytest.approx(0.0, abs=5.0)


def test_two_computers_hear_each_other_until_the_cable_is_cut() -> None:
    """Over real networks of their own, where this machine allows them."""
    with ExitStack() as stack:
        try:
            cable = stack.enter_context(two_computers())
        except OSError as problem:
            pytest.skip(f"no networks of its own: {problem}")
        listen = "import socket; s = socket.create_server(('10.231.0.2', 7411)); print(flush=True)"
        command = [*cable.on_robot, sys.executable, "-c", f"{listen}\nwhile True: s.accept()"]
        robot = subprocess.Popen(command, stdout=subprocess.PIPE)
        stack.callback(robot.wait)
        stack.callback(robot.kill)
        assert robot.stdout is not None
        stack.enter_context(robot.stdout).readline()

        def answers() -> bool:
            try:
                socket.create_connection(("10.231.0.2", 7411), timeout=2.0).close()
            except OSError:
                return False
            return True

        assert answers()
        cable.cut()
        assert not answers()
        cable.mend()
        assert answers()
    assert not (Path("/sys/class/net") / WORKSTATION).exists()

"""Between the control steps: signs of life, statuses in time, the end of a run and what it may lack."""

from pathlib import Path

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("worldsample_msgs")
from worldsample_core.node.stopping import RunFailed
from worldsample_policy.acting.housekeeping import Housekeeping
from worldsample_policy.acting.watchdogs import CellWatch, LearnerReport

from .test_policy_loop import RunInMemory


class Silence:
    """A cell of which nothing is known but that its cameras are missing."""

    def __init__(self) -> None:
        self.types_checked = 0

    def explain_missing(self) -> str:
        return "no cameras"

    def check_types(self) -> None:
        self.types_checked += 1


class Upkeep:
    """The housekeeping of a run against a fake cell, on a clock that the test turns."""

    def __init__(self, folder: Path, **run: object) -> None:
        self.cell = RunInMemory(folder, **run)  # type: ignore[arg-type]
        self.silence = Silence()
        self.now = 100.0
        self.watch = CellWatch(self.silence, start_timeout=20.0, sensor_timeout=5.0, now=self.now)
        self.statuses: list[float] = []
        self.housekeeping = Housekeeping(self.cell.loop, self.watch, lambda: self.now, 3.0, self.publish)

    def publish(self) -> None:
        self.statuses.append(self.now)
        self.housekeeping.status_published()

    def look_after(self, seconds: float, fault: str = "") -> None:
        self.now += seconds
        self.housekeeping.look(fault)

    def report(self, completed_steps: int, activity: str = "", updates: int = 0) -> None:
        self.housekeeping.hear_learner(LearnerReport(1, activity, updates, completed_steps, completed_steps))


def test_the_first_look_begins_the_run_and_publishes_a_status(tmp_path: Path) -> None:
    run = Upkeep(tmp_path)
    run.look_after(0.0)
    assert run.cell.loop.state == "running" and run.cell.order == ["demo"]
    assert run.statuses == [100.0]


def test_a_status_a_second_in_an_episode_and_two_while_something_is_waited_for(tmp_path: Path) -> None:
    run = Upkeep(tmp_path, demos=0)
    for _ in range(9):
        run.look_after(0.125)
    assert run.cell.loop.state == "weights"
    assert run.statuses == [100.125, 100.625, 101.125]
    run.cell.offer_weights(1)
    run.statuses.clear()
    for _ in range(19):
        run.look_after(0.125)
    assert run.cell.loop.state == "running"
    assert run.statuses == [102.125, 103.125]


def test_only_a_report_that_differs_is_a_sign_of_life(tmp_path: Path) -> None:
    run = Upkeep(tmp_path, demos=0)
    run.look_after(0.0)
    run.report(0, "it adapts 3 of 10")
    assert run.cell.loop.detail == "waiting for the learner: it adapts 3 of 10"
    run.now += 4.0
    run.report(0, "it adapts 3 of 10")
    assert run.cell.loop.learner_silent(run.now) == 4.0
    run.report(0, "it adapts 3 of 10", updates=1)
    assert run.cell.loop.learner_silent(run.now) == 0.0
    run.look_after(5.5)
    assert run.cell.loop.state == "running"  # its patience of 5 s is over


def test_a_silent_cell_ends_the_run_unless_the_learner_shows_progress(tmp_path: Path) -> None:
    run = Upkeep(tmp_path)
    run.look_after(0.0)
    run.watch.observed(run.now)
    run.look_after(4.9)
    assert run.silence.types_checked == 1
    run.report(1)
    run.look_after(4.9)
    with pytest.raises(RunFailed, match="no observation for 5 s: no cameras"):
        run.look_after(0.2)
    with pytest.raises(RunFailed, match="the motors are off"):
        run.look_after(0.0, "the motors are off")


def test_before_the_first_observation_there_is_more_patience(tmp_path: Path) -> None:
    run = Upkeep(tmp_path)
    run.look_after(0.0)
    run.look_after(19.0)
    with pytest.raises(RunFailed):
        run.look_after(1.5)


def test_a_finished_run_lingers_and_lacks_nothing(tmp_path: Path) -> None:
    run = Upkeep(tmp_path)
    run.cell.run()
    run.statuses.clear()
    run.housekeeping.advance()
    run.housekeeping.advance()
    assert run.statuses == [100.0]
    assert [len(run.cell.store.summaries), run.housekeeping.complete] == [11, False]
    run.look_after(3.0)
    assert not run.housekeeping.complete
    run.look_after(0.1)
    assert run.housekeeping.complete and run.housekeeping.missing_at_end() is None


def test_a_run_without_the_last_checkpoint_has_failed(tmp_path: Path) -> None:
    run = Upkeep(tmp_path)
    run.cell.run()
    run.cell.loop.checkpointed = False
    failure = run.housekeeping.missing_at_end()
    assert failure is not None and failure.code and "--resume" in failure.remedy

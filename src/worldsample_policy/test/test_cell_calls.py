"""A reset that is refused for now is asked for again, with pauses and not for ever."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("worldsample_msgs")

from worldsample_core.node.stopping import RunFailed
from worldsample_msgs.srv import Reset
from worldsample_policy.acting.cell_calls import AFTER_FAILURE, ASK_AGAIN, BUSY_PATIENCE, CellCalls


class Answered:
    """A future that has its result already."""

    def __init__(self, response: Reset.Response) -> None:
        self._response = response

    def result(self) -> Reset.Response:
        return self._response

    def add_done_callback(self, callback: Any) -> None:
        callback(self)


class RefusingCell:
    """An arm that gives the same answer at once, and the time."""

    srv_name = "/a1x/reset"

    def __init__(self, **answer: Any) -> None:
        self.now, self.asked_at = 100.0, list[float]()
        self.answer = Reset.Response(**answer)
        self.answers: list[Reset.Response] = []
        node: Any = SimpleNamespace(create_client=lambda *_: self)
        self.calls = CellCalls(
            node,
            lambda: self.now,
            0.0,
            60.0,
            lambda: None,
            lambda future: self.answers.append(future.result()),
            lambda _: None,
        )

    def service_is_ready(self) -> bool:
        return True

    def call_async(self, _: Reset.Request) -> Answered:
        self.asked_at.append(self.now)
        return Answered(self.answer)

    def go_on(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now += 0.1
            self.calls.check(lambda: None)


def test_attack_04_a_reset_that_is_under_way_is_waited_for() -> None:
    cell = RefusingCell(busy=True, message="a reset is under way already")
    cell.calls.reset(Reset.Request())
    cell.go_on(10.0)
    assert not cell.answers, "the run goes on"
    assert 9 <= len(cell.asked_at) <= 1 + 10.0 / ASK_AGAIN, "with pauses"
    cell.answer = Reset.Response(success=True)
    cell.go_on(2.0)
    assert [answer.success for answer in cell.answers] == [True]


def test_attack_04_a_reset_that_never_ends_is_not_waited_for_for_ever() -> None:
    cell = RefusingCell(busy=True, message="a reset is under way already")
    cell.calls.reset(Reset.Request())
    cell.go_on(BUSY_PATIENCE + 2.0)
    assert [answer.message for answer in cell.answers] == ["a reset is under way already"]


def test_attack_minor_a_reset_that_failed_is_asked_for_again_after_a_pause() -> None:
    """An arm that stands still for four seconds in the middle of a reset does not end the run."""
    cell = RefusingCell(success=False, message="no feedback")
    cell.calls.reset(Reset.Request())
    assert len(cell.answers) == 1
    cell.calls.reset(Reset.Request())
    cell.go_on(AFTER_FAILURE - 0.2)
    assert len(cell.answers) == 1
    cell.go_on(0.4)
    assert len(cell.answers) == 2


def test_field_report_15_a_silent_arm_s_remedy_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = RefusingCell()
    monkeypatch.setattr(cell, "service_is_ready", lambda: False)
    monkeypatch.setenv("ROS_DISCOVERY_SERVER", "1.2.3.4:11811")
    cell.calls.reset(Reset.Request())
    with pytest.raises(RunFailed, match="unset ROS_DISCOVERY_SERVER"):
        cell.go_on(61.0)

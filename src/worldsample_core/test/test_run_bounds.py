"""Bounds of received messages: a sample that is wrong is dropped and counted by its reason, never fatal."""

from __future__ import annotations

import dataclasses
import queue
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("worldsample_msgs")
from builtin_interfaces.msg import Time
from rclpy.task import Future

from worldsample_core.episodes.transition_fetch import AT_ONCE, TransitionFetch
from worldsample_core.episodes.transition_intake import TransitionIntake
from worldsample_core.messages.conversions import (
    synthetic_to_message,
    transition_to_message,
    weights_to_message,
)
from worldsample_core.messages.reception import Reception
from worldsample_core.messages.run_bounds import MAX_REWARD, RunBounds
from worldsample_core.messages.weights import pack
from worldsample_core.node.transition_worker import TransitionWorker
from worldsample_core.observation import InvalidObservation
from worldsample_msgs.msg import PolicyStatus, WorldModelStatus
from worldsample_msgs.msg import Transition as TransitionMsg
from worldsample_msgs.srv import FetchTransitions

from .test_conversions import transition
from .test_synthetic_conversions import segment

BOUNDS = RunBounds(counts=10_000, image_size=16)


def message(**changes: Any) -> TransitionMsg:
    size = changes.pop("size", 16)
    return transition_to_message(transition(size=size, **changes))


class Worker:
    """The part of a :class:`TransitionWorker` that receives, without ROS."""

    hear, take = TransitionWorker.hear, TransitionWorker.take

    def __init__(self) -> None:
        self.said: list[str] = []
        self.reception, self.bounds = Reception(self.said.append), BOUNDS
        self.settings = SimpleNamespace(run=SimpleNamespace(name="r"))
        self.inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._work_on = SimpleNamespace(intake=TransitionIntake(), policy_trains=False)

    def receive(self, received: Any) -> None:
        self.hear(received)  # type: ignore[misc]
        while not self.inbox.empty():
            self.take(self.inbox.get())  # type: ignore[misc]

    @property
    def intake(self) -> TransitionIntake:
        return self._work_on.intake  # type: ignore[no-any-return]


def spoilt(name: str, value: Any) -> TransitionMsg:
    result = message()
    setattr(result, name, value)
    return result


@pytest.mark.parametrize(
    ("received", "reason"),
    [
        (lambda: spoilt("reward", 1e30), "reward"),
        (lambda: spoilt("reward", float("nan")), "reward"),
        (lambda: spoilt("reward", -1e4), "reward"),
        (lambda: spoilt("seq", 2**62), "seq"),
        (lambda: spoilt("policy_version", 2**64 - 1), "policy_version"),
        (lambda: spoilt("episode", 2**32 - 1), "episode"),
        (lambda: spoilt("source", 9), "source"),
        (lambda: message(size=1000), "images are"),
        (lambda: PolicyStatus(run="r", next_seq=2**62), "next_seq"),
        (lambda: WorldModelStatus(run="r", completed_steps=2**40), "completed_steps"),
    ],
)
def test_attack_06_07_a_wrong_sample_is_dropped_and_counted(received: Callable[[], Any], reason: str) -> None:
    worker = Worker()
    for _ in range(3):
        worker.receive(received())
    assert worker.reception.total == 3 and len(worker.said) == 1
    ((_, counted),) = worker.reception.dropped
    assert counted.startswith(reason) or reason in counted
    assert reason in worker.reception.words() and "3 " in worker.reception.words()
    assert len(worker.intake) == 0 and worker.intake.known_end == 0
    worker.receive(message())
    worker.receive(PolicyStatus(run="r", next_seq=12))
    assert len(worker.intake) == 1 and worker.intake.known_end == 12, "genuine ones go on"
    assert worker.reception.total == 3


def test_attack_07_images_of_another_size_never_wait_in_memory() -> None:
    worker = Worker()
    worker.hear(message(size=64))  # type: ignore[misc]
    assert worker.inbox.empty()


@pytest.mark.parametrize("reward", [0.0, 1.0, -MAX_REWARD, MAX_REWARD])
def test_a_shaped_reward_has_room(reward: float) -> None:
    assert BOUNDS.transition(spoilt("reward", reward)).reward == reward


@pytest.mark.parametrize(
    "changes",
    [
        {"rewards": np.full(5, 1e30, np.float32)},
        {"world_model_version": 2**62},
        {"effective_step": 2**62},
        {"policy_version": 2**62},
        {"source_step": 2**31},
    ],
)
def test_attack_06_segments_are_bounded(changes: dict[str, Any]) -> None:
    made = dataclasses.replace(segment(success=False), source_episode=3, source_step=4, **{
        "world_model_version": 5, "policy_version": 6, "effective_step": 7,
    })  # fmt: skip
    assert BOUNDS.segment(synthetic_to_message(made, Time())).world_model_version == 5
    with pytest.raises(InvalidObservation):
        BOUNDS.segment(synthetic_to_message(dataclasses.replace(made, **changes), Time()))


def test_attack_07_segments_of_another_size_are_refused_before_they_are_copied() -> None:
    made = synthetic_to_message(segment(size=24), Time())
    with pytest.raises(InvalidObservation, match="24x24, this run's 16x16"):
        BOUNDS.small(made)


def test_attack_07_a_version_that_shuts_out_all_others_is_refused() -> None:
    packed = pack({"w": np.ones(3, np.float32)}, {}, 7, run="r")
    assert BOUNDS.weights(weights_to_message(packed, Time())).version == 7
    for version in (10_000, 2**64 - 1):
        with pytest.raises(InvalidObservation, match="version"):
            BOUNDS.weights(weights_to_message(dataclasses.replace(packed, version=version), Time()))


class Fetching:
    """A fetch of missing transitions, with the test as the policy's disk."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[FetchTransitions.Request] = []
        self.said: list[str] = []
        self.now = 100.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        self.intake, self.reception = TransitionIntake(), Reception(self.said.append)
        client = SimpleNamespace(service_is_ready=lambda: True, call_async=self.call)
        node: Any = SimpleNamespace(
            create_client=lambda *_: client, get_logger=lambda: SimpleNamespace(warning=self.said.append)
        )
        self.fetch = TransitionFetch(node, "r", self.intake, lambda _: None, self.reception, BOUNDS)

    def call(self, request: FetchTransitions.Request) -> Future:
        self.asked.append(request)
        return Future()

    def answer(self, transitions: list[TransitionMsg], next_seq: int) -> None:
        self.fetch.take(FetchTransitions.Response(success=True, transitions=transitions, next_seq=next_seq))


@pytest.mark.parametrize(("count", "next_seq"), [(0, 200_000_000), (0, 2**64 - 1), (AT_ONCE + 1, 500)])
def test_attack_07_an_answer_beyond_the_run_is_dropped(
    monkeypatch: pytest.MonkeyPatch, count: int, next_seq: int
) -> None:
    fetching = Fetching(monkeypatch)
    fetching.intake.heard_of(200)
    fetching.fetch.ask()
    fetching.answer([message()] * count, next_seq)
    assert (fetching.intake.next_seq, fetching.intake.lost) == (0, [])
    assert fetching.reception.count("answers to a fetch") == 1


def test_attack_07_an_empty_answer_is_not_asked_for_hundreds_of_times_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fetching = Fetching(monkeypatch)
    fetching.intake.offer(transition(seq=9000))  # forged: the run is at 0
    for _ in range(500):
        fetching.fetch.ask()
        fetching.answer([], 0)
        fetching.now += 0.002
    assert 1 <= len(fetching.asked) <= 4


def test_attack_07_the_policy_s_own_word_ends_a_claim_beyond_it() -> None:
    intake = TransitionIntake()
    intake.heard_of(9000)  # forged
    assert intake.gap() == 0
    intake.fetched_from(0, [], 0)
    assert intake.gap() is None and intake.known_end == 0


def test_a_bad_transition_on_disk_does_not_hide_the_good_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    fetching = Fetching(monkeypatch)
    fetching.intake.heard_of(4)
    fetching.now += 1.0
    fetching.fetch.ask()
    stored = [message(seq=seq) for seq in range(4)]
    stored[2].reward = 1e30
    fetching.answer(stored, 4)
    assert [each.seq for each in iter(fetching.intake.take, None)] == [0, 1]
    assert fetching.reception.count("fetched transitions") == 1
    fetching.fetch.ask()
    fetching.now += 1.0
    fetching.fetch.ask()
    assert fetching.asked[-1].from_seq == 2
    fetching.answer(stored[2:], 4)
    assert [each.seq for each in iter(fetching.intake.take, None)] == [3] and fetching.intake.lost == [2]


def test_reasons_are_told_apart_and_named_in_the_status() -> None:
    reception = Reception(str)
    for seq in (2**40, 2**41):
        reception.take("transitions", lambda seq=seq: BOUNDS.count("seq", seq))  # type: ignore[misc]
    reception.take("transitions", lambda: BOUNDS.transition(spoilt("reward", 1e30)))
    reception.take("weights", lambda: [][1])
    assert len(reception.dropped) == 3 and reception.total == 4
    assert reception.words() == (
        "3 transitions dropped (seq is #, which is beyond this run (#)), "
        "1 weights dropped (list index out of range)"
    )

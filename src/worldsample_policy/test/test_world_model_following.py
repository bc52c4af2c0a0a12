"""The learner keeps step with the world models, and nothing that they do or leave undone holds it up."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from worldsample_core.synthetic import SyntheticSegment
from worldsample_core.world_model_use import WorldModelUse
from worldsample_policy.learning.synthetic_buffer import MAX_APART, Arrivals, SyntheticBuffer
from worldsample_policy.learning.world_model_following import WorldModelFollowing, WorldModelReport

USE = WorldModelUse(enabled=True, lag=20, patience=5.0, start_patience=30.0)


def segment(effective_step: int, seq: int, publisher: str = "worldmodel") -> SyntheticSegment:
    return SyntheticSegment(
        np.zeros((3, 2, 8, 8, 3), np.uint8), np.zeros((3, 10), np.float32), np.zeros((2, 7), np.float32),
        np.zeros(2, np.float32), np.zeros(2, bool), np.zeros(2, np.float32), np.zeros(2, np.float32), False,
        0, 0, 1, seq=seq, effective_step=effective_step, publisher=publisher,
    )  # fmt: skip


def report(completed: int, segments: int = 0, progress: int = 0, **changes: object) -> WorldModelReport:
    made = WorldModelReport("worldmodel", completed, segments, True, progress=progress)
    return replace(made, **changes)  # type: ignore[arg-type]


def following(use: WorldModelUse = USE) -> WorldModelFollowing:
    """Real episodes have ended at steps 10, 30 and 60; a world model is there."""
    made = WorldModelFollowing(use, 20)
    for end in (10, 30, 60):
        made.episode_ended(end)
    made.heard(report(0), 0.0)
    return made


def test_what_is_needed_are_the_episodes_that_ended_lag_steps_ago() -> None:
    follow = following()
    assert [follow.needed(step) for step in (0, 29, 30, 49, 50, 79, 80, 500)] == [
        0,
        0,
        10,
        10,
        30,
        30,
        60,
        60,
    ]
    assert follow.may_go_on(29, 1.0) and not follow.may_go_on(30, 1.0)
    follow.heard(report(10), 1.5)
    assert follow.may_go_on(49, 2.0) and not follow.may_go_on(50, 2.0)


def test_a_world_model_that_works_is_waited_for_however_long_it_takes() -> None:
    follow = following()
    for second in range(100):
        assert not follow.may_go_on(40, float(second))
        follow.heard(report(0, progress=second + 1), float(second))
    follow.heard(report(10), 100.0)
    assert follow.may_go_on(40, 100.0) and follow.given_up == 0 and follow.detail == ""


def test_its_segments_are_waited_for_and_given_up_when_they_are_lost() -> None:
    follow = following()
    follow.heard(report(10, segments=3), 1.0)
    assert follow.arrived("worldmodel", 0) and follow.arrived("worldmodel", 2)
    assert not follow.may_go_on(40, 1.0) and "segments 1 to 2" in follow.detail
    follow.heard(report(10, segments=3, progress=9), 5.9)  # its life does not bring back what is lost
    assert not follow.may_go_on(40, 5.9)
    assert follow.may_go_on(40, 6.1) and follow.lost == 1
    assert follow.may_go_on(41, 6.2) and follow.detail == ""
    assert follow.arrived("worldmodel", 1) and follow.lost == 0  # late is better than never
    assert not follow.arrived("worldmodel", 1)


def test_a_silent_world_model_is_given_up_after_patience_and_waited_for_again_when_it_goes_on() -> None:
    """Not only when it has caught up: the learner would stay ahead of it to the end of the run."""
    follow = following()
    assert not follow.may_go_on(40, 4.9)
    follow.heard(report(0), 4.9)  # the same again: a heartbeat is no progress
    assert follow.may_go_on(40, 5.1) and "without the world model" in follow.detail
    assert follow.may_go_on(50, 5.2) and follow.given_up == 1
    follow.heard(report(0, progress=3), 8.0)  # it says something: training goes on meanwhile
    assert follow.may_go_on(50, 8.0)
    follow.heard(report(10, progress=3), 9.0)  # it has finished an episode
    assert not follow.may_go_on(50, 9.0) and follow.may_go_on(50, 14.1) and follow.given_up == 2
    follow.heard(report(30, progress=4), 15.0)
    assert follow.may_go_on(50, 15.0) and follow.detail == ""
    assert not follow.may_go_on(80, 15.0)
    follow.heard(report(60, progress=5), 16.0)
    assert follow.may_go_on(80, 16.0) and follow.given_up == 2


def test_a_failed_world_model_is_not_waited_for() -> None:
    follow = following()
    follow.heard(report(0, failed=True, detail="not finite"), 0.5)
    assert follow.may_go_on(40, 0.6) and "not finite" in follow.detail


def test_a_world_model_that_never_comes_costs_its_start_patience_once() -> None:
    follow = WorldModelFollowing(USE, 20)
    follow.episode_ended(10)
    assert follow.may_go_on(29, 0.0)
    assert not follow.may_go_on(30, 100.0) and not follow.may_go_on(30, 129.0)
    assert follow.may_go_on(30, 131.0) and follow.may_go_on(31, 131.1) and follow.given_up == 1
    follow.heard(report(0), 140.0)
    assert not follow.may_go_on(31, 140.1)


def test_one_dead_world_model_of_two_does_not_cost_the_other() -> None:
    follow = following(replace(USE, nodes=2))
    follow.heard(report(0, publisher="worldmodel_1"), 0.0)
    follow.heard(report(10), 0.1)
    assert not follow.may_go_on(40, 1.0)
    assert follow.may_go_on(40, 6.0) and "worldmodel_1" in follow.detail
    assert not follow.may_go_on(50, 5.0)
    follow.heard(report(30), 6.0)
    assert follow.may_go_on(50, 6.0)


def test_the_detail_changes_while_it_waits_so_that_the_learner_counts_as_alive() -> None:
    follow = following()
    details = set()
    for tenth in range(49):
        assert not follow.may_go_on(40, tenth / 10)
        details.add(follow.detail)
    assert len(details) >= 5


def test_the_gate_is_that_of_the_episode_that_matters_now() -> None:
    follow = following()
    follow.heard(report(10, gate_open=True), 1.0)
    follow.heard(report(10, gate_open=False), 1.1)  # released in the middle of the next episode's work
    follow.heard(report(30, gate_open=False), 1.2)
    follow.heard(report(60, gate_open=True), 1.3)
    assert [follow.gate_open(step) for step in (30, 49, 50, 79, 80)] == [True, True, False, False, True]
    assert follow.newest_gate


@settings(max_examples=100, deadline=None)
@given(st.permutations(range(30)), st.integers(0, 30))
def test_segments_arrive_in_any_order_each_once(order: list[int], first: int) -> None:
    arrivals = Arrivals(first)
    assert all(arrivals.arrived(seq) for seq in order)
    assert not any(arrivals.arrived(seq) for seq in order)
    assert arrivals.next == max(30, first)
    assert arrivals.lost == 0


def test_a_stranger_who_counts_wildly_costs_bounded_memory() -> None:
    arrivals = Arrivals(0)
    taken = sum(arrivals.arrived(seq) for seq in range(10**9, 10**9 + 2 * MAX_APART))
    assert taken == MAX_APART
    arrivals.skip_to(2**63)
    assert arrivals.next == 2**63 and len(arrivals._missing) <= MAX_APART
    follow = WorldModelFollowing(USE, 20)
    assert sum(follow.arrived(f"stranger {i}", 0) for i in range(200)) == 64


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from("ab"), st.integers(0, 99)), unique=True))
def test_the_buffer_gives_one_order_whatever_the_order_of_arrival(keys: list[tuple[int, str, int]]) -> None:
    buffer = SyntheticBuffer()
    for step, publisher, seq in keys:
        assert buffer.put(segment(step, seq, publisher))
    taken = []
    for now in range(10):
        while (made := buffer.take(now)) is not None:
            assert made.effective_step == now
            taken.append((made.effective_step, made.publisher, made.seq))
    assert taken == sorted(keys) and len(buffer) == 0


def test_the_buffer_is_bounded_and_counts_what_it_refuses() -> None:
    size = segment(0, 0).images.nbytes
    buffer = SyntheticBuffer(3 * size)
    assert [buffer.put(segment(5, seq)) for seq in range(5)] == [True] * 3 + [False] * 2
    assert buffer.refused == 2
    assert buffer.take(4) is None and buffer.take(5) is not None
    assert buffer.put(segment(5, 9))

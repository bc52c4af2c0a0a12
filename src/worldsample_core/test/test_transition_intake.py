"""Every transition exactly once and in order, whatever the network and restarts do."""

import random
from types import SimpleNamespace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from worldsample_core.episodes.transition_intake import MAX_WAITING, TransitionIntake


def transition(seq: int) -> Any:
    return SimpleNamespace(seq=seq)


def drain(intake: TransitionIntake) -> list[int]:
    taken = []
    while (item := intake.take()) is not None:
        taken.append(item.seq)
    return taken


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 40), st.integers(0, 2**32), st.floats(0, 0.9), st.floats(0, 0.5))
def test_loss_duplication_and_disorder_change_nothing(
    count: int, seed: int, loss: float, again: float
) -> None:
    rng = random.Random(seed)
    sent = [seq for seq in range(count) if rng.random() >= loss]
    sent += [seq for seq in sent if rng.random() < again]
    rng.shuffle(sent)
    intake, taken, fetched = TransitionIntake(), [], 0
    for seq in sent:
        intake.offer(transition(seq))
        if rng.random() < 0.5:
            taken += drain(intake)
    intake.heard_of(count)
    taken += drain(intake)
    while (gap := intake.gap()) is not None:  # what the policy's disk has, a few at a time
        fetched += 1
        intake.fetched_from(gap, [transition(seq) for seq in range(gap, min(count, gap + 7))], count)
        taken += drain(intake)
        assert fetched < 100
    assert taken == list(range(count))
    assert intake.next_seq == count
    assert not intake.lost
    assert intake.duplicates == len(sent) - len(set(sent))


def test_what_the_disk_does_not_have_any_more_is_not_waited_for() -> None:
    intake = TransitionIntake()
    for seq in (0, 1, 7):
        intake.offer(transition(seq))
    assert drain(intake) == [0, 1]
    assert intake.gap() == 2
    intake.fetched_from(2, [transition(5), transition(6), transition(7)], 8)
    assert drain(intake) == [5, 6, 7]
    assert intake.lost == [2, 3, 4]
    intake.heard_of(12)
    intake.fetched_from(8, [], 12)
    assert (intake.next_seq, intake.gap()) == (12, None)


def test_an_answer_that_is_late_does_no_harm() -> None:
    intake = TransitionIntake()
    intake.heard_of(3)
    for seq in range(5):
        intake.offer(transition(seq))
    assert drain(intake) == [0, 1, 2, 3, 4]
    intake.fetched_from(0, [transition(seq) for seq in range(3)], 3)
    assert drain(intake) == []
    assert (intake.lost, intake.fetched) == ([], 0)


def test_memory_is_bounded_while_a_gap_is_open() -> None:
    intake = TransitionIntake()
    for seq in range(1, MAX_WAITING + 100):
        intake.offer(transition(seq))
    assert len(intake) == MAX_WAITING
    intake.offer(transition(0))
    assert len(drain(intake)) == MAX_WAITING + 1
    assert intake.gap() == MAX_WAITING + 1

"""When the learner gets what world models imagine: at a fixed real step, in a fixed order, or never."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from worldsample_core.messages.reception import Reception
from worldsample_core.node.awake_clock import AwakeClock
from worldsample_core.synthetic import SyntheticSegment
from worldsample_core.world_model_use import WorldModelUse
from worldsample_policy.learning.learner_status import learner_status
from worldsample_policy.learning.world_model_following import WorldModelFollowing, WorldModelReport

from .test_learner_loop import DEMO_STEPS, STEPS, LearnerHarness, transition
from .test_world_model_following import segment

LAG = 6


class Imagining(LearnerHarness):
    """A learner with a world model beside it, played by the test. Notes when it gets which segment."""

    def __init__(self, folder: Path, patience: float = 60.0, **run: object) -> None:
        super().__init__(folder, **run)  # type: ignore[arg-type]
        use = WorldModelUse(enabled=True, lag=LAG, patience=patience)
        self.loop.following = WorldModelFollowing(use, LAG)
        self.seconds = 0.0
        self.loop.awake = AwakeClock(clock=lambda: self.seconds)
        self.got: list[tuple[int, int]] = []
        self.loop.learner.add_synthetic = self.add_synthetic  # type: ignore[method-assign]

    def add_synthetic(self, made: SyntheticSegment) -> bool:
        self.got.append((self.loop.learner.real_steps, made.seq))
        return True

    def say(self, completed: int, segments: int, progress: int = 0) -> None:
        assert self.loop.following is not None
        report = WorldModelReport("worldmodel", completed, segments, True, progress=progress)
        self.loop.following.heard(report, self.loop.awake())

    def imagine(self, end: int, seqs: list[int]) -> None:
        for seq in seqs:
            assert self.loop.offer_synthetic(segment(end + LAG, seq))


def test_segments_are_used_from_their_step_on_whatever_comes_first(tmp_path: Path) -> None:
    early, late = Imagining(tmp_path / "a"), Imagining(tmp_path / "b")
    for harness in (early, late):
        harness.say(0, 0)
    early.imagine(3, [0, 1])
    early.imagine(6, [2, 3])
    early.say(24, 4)
    early.feed(0, DEMO_STEPS + STEPS)
    early.work()

    late.feed(0, DEMO_STEPS + STEPS)
    late.work()
    assert late.loop.learner.real_steps == 3 + LAG and not late.got  # stands still for what is owed to step 9
    late.imagine(3, [1])
    late.say(3, 2, 1)
    late.work()
    assert late.loop.learner.real_steps == 3 + LAG and not late.got
    late.imagine(3, [0])
    late.work()
    assert late.loop.learner.real_steps == 6 + LAG
    late.imagine(6, [3, 2])
    late.say(24, 4, 2)
    late.work()
    assert early.got == late.got == [(9, 0), (9, 1), (12, 2), (12, 3)]
    assert late.loop.completed_steps == STEPS
    assert [p.sha256 for p in early.published] == [p.sha256 for p in late.published]


def test_attack_09_a_dead_world_model_costs_its_patience_and_is_counted(tmp_path: Path) -> None:
    harness, alone = Imagining(tmp_path / "a", 0.5), LearnerHarness(tmp_path / "b")
    for each in (alone, harness):
        each.feed(0, DEMO_STEPS + STEPS)
        each.work()
        harness.say(0, 0)
    assert "waiting for the world model" in harness.loop.detail
    harness.seconds += 3600.0  # a suspended laptop: the world model had no time either
    harness.work()
    assert "waiting for the world model" in harness.loop.detail
    for _ in range(2):
        harness.seconds += 0.2
        harness.work()
    assert harness.loop.completed_steps == STEPS and harness.loop.caught_up()
    assert "without the world model" in harness.loop.detail
    assert learner_status(harness.loop, Reception(str), "").lockstep_lapses == 1, "attack 9: it is counted"
    assert learner_status(alone.loop, Reception(str), "").lockstep_lapses == 0
    assert harness.loop.learner.updates == alone.loop.learner.updates
    assert [p.sha256 for p in harness.published] == [p.sha256 for p in alone.published]


def test_real_time_waits_for_nobody_and_uses_segments_at_once(tmp_path: Path) -> None:
    harness = Imagining(tmp_path, lockstep=False)
    for seq in range(3):
        assert harness.loop.offer_synthetic(segment(0, seq))
    harness.feed(0, DEMO_STEPS + STEPS)
    harness.work()
    assert harness.loop.completed_steps == STEPS
    assert [seq for _, seq in harness.got] == [0, 1, 2]


def test_a_segment_that_comes_twice_is_used_once(tmp_path: Path) -> None:
    harness = Imagining(tmp_path)
    harness.say(0, 0)
    harness.imagine(3, [0])
    assert not harness.loop.offer_synthetic(segment(3 + LAG, 0))
    harness.say(24, 1)
    harness.feed(0, DEMO_STEPS + STEPS)
    harness.work()
    assert harness.got == [(9, 0)]


def test_without_a_world_model_segments_are_not_taken(tmp_path: Path) -> None:
    assert not LearnerHarness(tmp_path).loop.offer_synthetic(segment(0, 0))


@pytest.mark.parametrize("cut", [1, 2])
def test_an_episode_that_was_cut_off_ends_as_the_world_model_counts(tmp_path: Path, cut: int) -> None:
    harness = Imagining(tmp_path)
    harness.say(0, 0)
    first = DEMO_STEPS + cut  # the policy was killed in the first real episode
    harness.feed(0, first)
    for seq in range(first, first + 6):
        following = transition(DEMO_STEPS + 3 + seq - first)
        harness.loop.intake.offer(dataclasses.replace(following, seq=seq))
    harness.say(99, 0)
    harness.work()
    assert harness.loop.following is not None
    ends = [harness.loop.following.needed(step + LAG) for step in range(1, 10)]
    expected = [max([0] + [end for end in (cut, cut + 3, cut + 6) if end <= step]) for step in range(1, 10)]
    np.testing.assert_array_equal(ends, expected)

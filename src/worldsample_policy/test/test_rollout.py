"""The episode state machine: what is recorded is what was executed, labelled by the operator's buttons."""

import numpy as np
import pytest

from worldsample_core.config import TaskConfig
from worldsample_core.disturbance_config import DisturbanceConfig
from worldsample_core.episodes.label_count import LabelCount
from worldsample_core.observation import Observation
from worldsample_policy.acting.disturbance import Disturbance
from worldsample_policy.acting.observation_assembly import OperatorInput, Tick
from worldsample_policy.acting.rollout import EpisodeRollout

TASK = TaskConfig(
    name="pushing",
    horizon=5,
    gamma=0.97,
    active=(True, True, True, False, False, False, True),
    action_scale=(0.02,) * 3 + (0.1,) * 3 + (1.0,),
    box_low=(0.1, -0.2, 0.0),
    box_high=(0.5, 0.2, 0.3),
    reset_joints=(0.0,) * 6,
    reset_gripper=1.0,
    max_real_steps=100,
)
POLICY_ACTION = np.array([0.5, 2.0, -0.1, 0.7, 0.7, 0.7, 0.6], np.float32)
DRIVE = OperatorInput(active=True, action=np.full(7, -0.25, np.float32))


def tick(number: int, operator: OperatorInput | None = None) -> Tick:
    image = np.full((2, 16, 16, 3), number, np.uint8)
    observation = Observation(image, np.full(10, number, np.float32), number * 0.1)
    return Tick(number * 100_000_000, observation, operator or OperatorInput())


def act(observation: Observation, deterministic: bool) -> tuple[np.ndarray, int]:
    return POLICY_ACTION, 7


def rollout(kind: str = "train", max_steps: int = 5, **changes: object) -> EpisodeRollout:
    return EpisodeRollout(kind, TASK, max_steps, **{"act": act, "run": "r", "episode": 3, **changes})  # type: ignore[arg-type]


def test_a_step_is_what_was_seen_done_and_seen_next() -> None:
    episode = rollout()
    action = episode.tick(tick(0), 0)
    np.testing.assert_allclose(
        action, [0.5, 1.0, -0.1, 0, 0, 0, 1.0]
    )  # clipped, inactive zero, gripper a command
    assert episode.finished is None
    episode.tick(tick(1), 40)
    step = episode.finished
    assert step is not None
    np.testing.assert_array_equal(step.action, action)
    assert (step.observation.images[0, 0, 0, 0], step.next_observation.images[0, 0, 0, 0]) == (0, 1)
    assert (step.seq, step.episode, step.step, step.run, step.policy_version) == (40, 3, 0, "r", 7)
    assert (step.reward, step.terminated, step.truncated, step.intervention, step.source) == (
        0.0,
        False,
        False,
        False,
        "policy",
    )


def test_the_success_button_ends_the_episode_with_reward_one() -> None:
    episode = rollout()
    episode.tick(tick(0), 0)
    assert episode.tick(tick(1, OperatorInput(success=True)), 0) is None
    assert episode.ended
    assert episode.finished is not None
    assert (episode.finished.reward, episode.finished.terminated, episode.finished.success) == (
        1.0,
        True,
        True,
    )
    assert (episode.counts.success, episode.counts.episode_return, episode.counts.truncated) == (
        True,
        1.0,
        False,
    )


def test_failure_is_terminal_without_reward_and_abort_is_not_terminal() -> None:
    for button, terminated in (("failure", True), ("abort", False)):
        episode = rollout()
        episode.tick(tick(0), 0)
        episode.tick(tick(1, OperatorInput(**{button: True})), 0)
        assert episode.finished is not None
        assert (episode.finished.reward, episode.finished.terminated) == (0.0, terminated)
        assert episode.finished.truncated is not terminated
        assert episode.counts.aborted is not terminated


def test_the_horizon_truncates_and_bootstraps() -> None:
    episode = rollout(max_steps=3)
    for number in range(4):
        episode.tick(tick(number), number - 1)
    assert episode.ended
    assert episode.finished is not None
    assert (episode.finished.terminated, episode.finished.truncated, episode.finished.step) == (
        False,
        True,
        2,
    )
    with pytest.raises(RuntimeError):
        episode.tick(tick(5), 5)


def test_success_at_the_horizon_is_success() -> None:
    episode = rollout(max_steps=1)
    episode.tick(tick(0), 0)
    episode.tick(tick(1, OperatorInput(success=True)), 0)
    assert episode.finished is not None
    assert (episode.finished.terminated, episode.finished.truncated) == (True, False)


def test_the_operator_replaces_the_policy_and_the_step_says_so() -> None:
    episode = rollout()
    action = episode.tick(tick(0, DRIVE), 0)
    np.testing.assert_allclose(action, [-0.25, -0.25, -0.25, 0, 0, 0, 0])
    np.testing.assert_allclose(episode.tick(tick(1), 0)[0], 0.5)  # type: ignore[index]
    assert episode.finished is not None
    assert episode.finished.intervention
    np.testing.assert_array_equal(episode.finished.action, action)
    episode.tick(tick(2), 1)
    assert episode.finished is not None
    assert not episode.finished.intervention
    assert episode.counts.intervention_steps == 1


def test_in_an_evaluation_the_operator_only_presses_buttons() -> None:
    seen = []

    def policy(observation: Observation, deterministic: bool) -> tuple[np.ndarray, int]:
        seen.append(deterministic)
        return POLICY_ACTION, 1

    episode = rollout("eval", act=policy, mean_action=True)
    np.testing.assert_allclose(episode.tick(tick(0, DRIVE), 0)[0], 0.5)  # type: ignore[index]
    episode.tick(tick(1, OperatorInput(active=True, action=DRIVE.action, success=True)), 0)
    assert episode.counts.success
    assert episode.counts.intervention_steps == 0
    assert seen == [True]


def test_a_demonstration_begins_with_the_operators_first_motion() -> None:
    def policy(observation: Observation, deterministic: bool) -> tuple[np.ndarray, int]:
        raise AssertionError("the policy has no part in a demonstration")

    episode = rollout("demo", max_steps=2, act=policy)
    for number in range(4):  # longer than the horizon
        np.testing.assert_array_equal(episode.tick(tick(number), 0), np.zeros(7))
        assert episode.finished is None
    assert episode.waiting
    episode.tick(tick(4, DRIVE), 0)
    np.testing.assert_array_equal(episode.tick(tick(5), 0), np.zeros(7))  # let go in between: holds
    assert episode.finished is not None
    assert (episode.finished.source, episode.finished.step, episode.finished.intervention) == (
        "demo",
        0,
        True,
    )
    episode.tick(tick(6, DRIVE), 1)
    assert episode.ended


@pytest.mark.parametrize("button", ["abort", "success", "failure"])
def test_a_button_before_a_demonstrations_first_step_leaves_no_step(button: str) -> None:
    episode = rollout("demo")
    episode.tick(tick(0), 0)
    assert episode.tick(tick(1, OperatorInput(**{button: True})), 0) is None
    assert (episode.ended, episode.counts.steps, episode.counts.aborted) == (True, 0, True)


@pytest.mark.parametrize("bad", [np.full(7, np.nan), np.array([0, np.inf, 0, 0, 0, 0, 0]), np.zeros(3)])
def test_an_unusable_action_becomes_none_at_all(bad: np.ndarray) -> None:
    episode = rollout(act=lambda observation, deterministic: (bad, 1))
    np.testing.assert_array_equal(episode.tick(tick(0), 0), np.zeros(7))
    assert episode.counts.invalid_actions == 1
    np.testing.assert_array_equal(
        episode.tick(tick(1, OperatorInput(True, bad.astype(np.float32))), 0), np.zeros(7)
    )
    assert episode.counts.invalid_actions == 2


HOLD = OperatorInput(active=True, action=np.zeros(7, np.float32), success=True)


def labels_of(episode: EpisodeRollout, operators: list[OperatorInput]) -> list[bool]:
    """The labels of what is recorded, until the episode ends."""
    said = []
    for number, operator in enumerate(operators):
        episode.tick(tick(number, operator), 0)
        if episode.finished is not None:
            said.append(episode.finished.success)
            assert episode.finished.reward == float(episode.finished.success)
            assert not episode.finished.terminated and episode.finished.source == "demo"
        if episode.ended:
            break
    return said


def test_a_held_success_button_labels_frames_and_ends_nothing() -> None:
    episode = rollout("label")
    keep = OperatorInput(failure=True)
    said = labels_of(episode, [OperatorInput(), DRIVE, DRIVE, HOLD, HOLD, DRIVE, keep])
    assert said == [False, True, True, False, False]
    assert episode.ended and not episode.counts.aborted and episode.finished and episode.finished.truncated
    assert (episode.labelled.successes, episode.labelled.failures) == (2, 3)


def test_an_episode_of_labels_may_begin_with_the_button_and_be_thrown_away() -> None:
    episode = rollout("label")
    assert labels_of(episode, [HOLD, HOLD, OperatorInput(abort=True)]) == [True, False]
    assert episode.ended and episode.counts.aborted


def test_an_episode_of_labels_ends_when_there_are_enough_of_both() -> None:
    episode = rollout("label", max_steps=50, labels=LabelCount(3, 1), labels_wanted=4)
    assert labels_of(episode, [DRIVE] + [HOLD] * 3 + [DRIVE] * 20) == [True] * 3 + [False] * 3
    assert not episode.counts.aborted


def pushed(rate: float = 1.0) -> Disturbance:
    return Disturbance(DisturbanceConfig(demos=rate, weakest=1.0, strongest=1.0), rate, TASK.active_mask, 3)


def test_a_pushed_step_records_what_was_executed_and_what_was_intended() -> None:
    episode = rollout("demo", disturbance=pushed())
    executed = episode.tick(tick(0, DRIVE), 0)
    episode.tick(tick(1, DRIVE), 0)
    step = episode.finished
    assert step is not None and step.intended is not None and executed is not None
    np.testing.assert_array_equal(step.action, executed)
    np.testing.assert_allclose(step.intended, [-0.25, -0.25, -0.25, 0, 0, 0, 0], atol=1e-6)
    np.testing.assert_array_equal(step.label, step.intended)
    assert np.abs(step.action[:3] - step.intended[:3]).max() > 0.3
    assert np.abs(step.action).max() <= 1.0 and not step.action[3:6].any()


def test_only_the_operator_is_pushed() -> None:
    episode = rollout("train", disturbance=pushed())
    alone = episode.tick(tick(0), 0)
    assert alone is not None and alone[0] == 0.5
    episode.tick(tick(1, DRIVE), 0)
    assert episode.finished is not None and episode.finished.intended is None


def test_pushes_begin_at_their_rate_and_last_as_long_as_they_should() -> None:
    config = DisturbanceConfig(shortest=2, longest=6)
    active = np.array([True] * 3 + [False] * 4)
    lengths: list[int] = []
    begun = free = 0
    for seed in range(60):
        disturbance, running = Disturbance(config, 0.1, active, seed), 0
        for _ in range(100):
            wanted = np.zeros(7, np.float32)
            if disturbance(wanted) is wanted:
                free += 1
                if running:
                    lengths.append(running)
                running = 0
            else:
                begun += running == 0
                running += 1
    assert min(lengths) >= 2 and np.mean(np.array(lengths) <= 6) > 0.8  # the next may follow at once
    assert 0.08 < begun / (begun + free) < 0.12


def test_an_episode_without_a_rate_is_left_alone() -> None:
    disturbance = pushed(0.0)
    wanted = np.full(7, 0.5, np.float32)
    assert all(disturbance(wanted) is wanted for _ in range(200))


@pytest.mark.parametrize(
    "wrong", [{"demos": 1.5}, {"help": -0.1}, {"weakest": 2.0, "strongest": 1.0}, {"shortest": 0}]
)
def test_impossible_pushes_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"need 0|need 1|must be in"):
        DisturbanceConfig(**wrong)  # type: ignore[arg-type]

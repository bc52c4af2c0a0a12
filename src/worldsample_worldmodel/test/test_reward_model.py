"""The classifier: labels, gate, hysteresis, threshold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from worldsample_core.observation import Observation
from worldsample_core.transition import Transition
from worldsample_worldmodel.data.episodes import Episode
from worldsample_worldmodel.reward.reward_model import (
    RewardModel,
    RewardModelConfig,
    choose_threshold,
    fit_reward_model,
    hysteresis,
    joined,
    kept_aside,
    labelled_frames,
    recorded_frames,
)

CONFIG = RewardModelConfig(image_size=32, width=8, hidden=32, updates=60, batch=32)


def test_labels_leave_out_the_frame_nobody_knows(episodes: list[Episode]) -> None:
    frames = labelled_frames(episodes[:1], hold=2, near=3, unsure=1)
    assert len(frames.label) == 12 and frames.label.sum() == 2
    assert frames.near.sum() == 3 and not (frames.near & frames.label).any()
    assert not labelled_frames(episodes[2:3], 2, 3, 1).label.any()


def test_the_simulator_knows_every_frame(episodes: list[Episode]) -> None:
    """The last failure before a success is where imagined successes and failures are told apart."""
    frames = labelled_frames(episodes[:1], hold=2, near=3, unsure=0)
    assert len(frames.label) == len(episodes[0]) + 1 and frames.label.sum() == 2
    assert frames.label.tolist()[-3:] == [False, True, True]
    assert frames.near.tolist()[-3:] == [True, False, False]


def test_millimetres_decide() -> None:
    """Frames that look alike: only the arm's height tells a slice that is down from one that nearly is."""
    rng = np.random.default_rng(0)
    images = np.full((12, 2, 32, 32, 3), 128, np.uint8)
    episodes = []
    for _ in range(40):
        proprio = rng.normal(0.0, 0.001, (12, 10)).astype(np.float32)
        proprio[:10, 2] = np.linspace(0.10, 0.033, 10) + rng.uniform(-0.0005, 0.0005)
        proprio[10:, 2] = 0.030 + rng.uniform(-0.0005, 0.0005, 2)
        episodes.append(Episode(images, proprio, np.zeros((11, 7), np.float32), True))
    model = RewardModel(replace(CONFIG, updates=200))
    report = fit_reward_model(model, episodes)
    assert report.true_positive_rate > 0.9 and report.false_positive_rate < 0.1


def test_a_threshold_is_not_chosen_by_one_frame() -> None:
    """Between well separated probabilities the middle is as good as the edge, and safer."""
    probability = np.array([0.1, 0.2, 0.3, 0.9, 0.95, 0.99], np.float32)
    label = np.array([False, False, False, True, True, True])
    low, high = CONFIG.threshold_low, CONFIG.threshold_high
    assert choose_threshold(probability, label, CONFIG) == pytest.approx(0.5 * (low + high), abs=0.02)
    probability = np.concatenate([np.linspace(0.0, 0.6, 40), np.linspace(0.5, 1.0, 40)]).astype(np.float32)
    label = np.arange(80) >= 40
    probability[79] = 0.31  # one strange success
    assert 0.45 <= choose_threshold(probability, label, CONFIG) <= 0.65


def test_hysteresis() -> None:
    p = np.array([[0.9, 0.1, 0.9, 0.6, 0.9, 0.0], [0.9, 0.3, 0.9, 0.3, 0.9, 0.3]], np.float32)
    said = hysteresis(p, threshold=0.8, release=0.3, hold=2)
    assert said.tolist() == [[False] * 4 + [True, True], [False] * 6]


def test_learns_success_and_gates_by_pose(episodes: list[Episode]) -> None:
    model = RewardModel(CONFIG)
    report = fit_reward_model(model, episodes)
    assert report.accuracy > 0.9 and int(model.version) == 1
    assert CONFIG.threshold_low <= report.threshold <= CONFIG.threshold_high
    last, pose = episodes[0].images[-1:], episodes[0].proprio[-1:]
    assert model.probability(last, pose)[0] > report.threshold
    assert model.probability(episodes[0].images[:1], episodes[0].proprio[:1])[0] < report.threshold
    elsewhere = pose.copy()
    elsewhere[0, 2] += 0.1
    assert model.probability(last, elsewhere)[0] == 0.0


def test_the_gate_lets_a_success_a_little_beyond_the_known_ones_through() -> None:
    """A success one spacing beyond ten that are spread evenly over 90 mm passes the gate.

    No episode kept aside narrows the gate. Far beyond it is shut.
    """
    rng = np.random.default_rng(0)
    episodes = []
    for place in np.linspace(0.0, 0.09, 10):
        images = rng.integers(0, 40, (10, 2, 32, 32, 3), np.uint8)
        images[-2:] += 200
        proprio = rng.normal(0.0, 0.001, (10, 10)).astype(np.float32)
        proprio[:, 1] = place
        episodes.append(Episode(images, proprio, np.zeros((9, 7), np.float32), True))
    model = RewardModel(CONFIG)
    fit_reward_model(model, episodes)
    image, pose = episodes[0].images[-1:], episodes[0].proprio[-1:].copy()
    for place, open_ in (
        (0.0, True),
        (0.09, True),
        (0.10, True),
        (-0.01, True),
        (0.12, False),
        (-0.03, False),
    ):
        pose[0, 1] = place
        assert (model.probability(image, pose)[0] > 0.0) == open_, place


def test_what_was_kept_aside_once_is_never_trained_on() -> None:
    """A later fit goes on from the weights: an episode it validates with must not have shaped them."""
    for share in (0.1, 0.2, 0.34, 0.5):
        for count in range(60):
            group = list(range(100, 100 + count))
            assert len(kept_aside(group, share)) == int(count * share + 1e-9)
            assert kept_aside(group, share) == [i for i in kept_aside([*group, 999], share) if i != 999]


def test_a_later_fit_goes_on_where_the_one_before_ended(episodes: list[Episode]) -> None:
    said: list[str] = []
    model = RewardModel(replace(CONFIG, refit_updates=3, learning_rate=1e-3))
    fit_reward_model(model, episodes, progress=said.append)
    known = model.probability(episodes[0].images, episodes[0].proprio)
    assert said[-1].endswith(f"of {CONFIG.updates} updates")
    fit_reward_model(model, episodes, progress=said.append)
    assert said[-1].endswith("of 3 updates") and int(model.version) == 2
    assert np.abs(model.probability(episodes[0].images, episodes[0].proprio) - known).max() < 0.2


def test_needs_successes_and_failures(episodes: list[Episode]) -> None:
    with pytest.raises(ValueError, match="successful"):
        fit_reward_model(RewardModel(CONFIG), [episodes[2]])


def steps_of(episode: Episode, label: list[bool]) -> list[Transition]:
    """The episode as it was recorded by a person who labelled what each step led to."""
    seen = [Observation(i, p) for i, p in zip(episode.images, episode.proprio, strict=True)]
    return [
        Transition(seen[i], episode.actions[i], float(said), seen[i + 1], False, False, said, True, i, 0, i)
        for i, said in enumerate(label)
    ]


def test_a_person_is_late_so_frames_before_a_change_are_left_out(episodes: list[Episode]) -> None:
    steps = steps_of(episodes[0], [False] * 6 + [True] * 4 + [False] * 2)
    frames = recorded_frames(steps, reaction=2, near=3)
    assert frames.label.tolist() == [False] * 4 + [True] * 2 + [False] * 2
    assert frames.near.tolist() == [False] + [True] * 3 + [False] * 2 + [True] * 2
    np.testing.assert_array_equal(frames.images[0], episodes[0].images[1])


def test_learns_from_what_a_person_labelled_alone(episodes: list[Episode]) -> None:
    label = [False] * 8 + [True] * 4
    recorded = joined([recorded_frames(steps_of(e, label), 1, 3) for e in episodes if e.success])
    model = RewardModel(CONFIG)
    report = fit_reward_model(model, [], recorded=recorded)
    assert report.accuracy > 0.9 and report.validation_positives > 0
    assert not model.probability(episodes[2].images, episodes[2].proprio).max() > report.threshold
    with pytest.raises(ValueError, match="failures"):
        fit_reward_model(
            RewardModel(CONFIG), [], recorded=recorded_frames(steps_of(episodes[0], [True] * 12), 1, 3)
        )

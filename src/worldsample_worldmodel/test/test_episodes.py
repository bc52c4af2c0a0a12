"""Segments come from anywhere, stay within their episode, and memory keeps demonstrations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from worldsample_core.observation import InvalidObservation, Observation
from worldsample_core.transition import Transition
from worldsample_worldmodel.data.episodes import (
    Episode,
    EpisodeMemory,
    episode_from_transitions,
    full_segments,
    random_segments,
    segments,
)


def test_a_segment_near_the_end_repeats_the_last_frame_and_says_so(episodes: list[Episode]) -> None:
    batch = segments(episodes, [(0, 0), (0, 10)], 4)
    assert batch.valid.tolist() == [[True] * 4, [True, True, False, False]]
    np.testing.assert_array_equal(batch.future[1, 1], batch.future[1, 3])
    np.testing.assert_array_equal(batch.first[1], episodes[0].images[0])
    np.testing.assert_array_equal(batch.proprio[1, 0], episodes[0].proprio[10])


def test_random_segments_start_anywhere(episodes: list[Episode]) -> None:
    batch = random_segments(episodes, 300, 4, np.random.default_rng(0))
    assert set(batch.step) == set(range(12)) and set(batch.episode) == set(range(12))
    with pytest.raises(ValueError, match="no episodes"):
        random_segments([], 1, 4, np.random.default_rng(0))


def test_full_segments_have_every_step(episodes: list[Episode]) -> None:
    batches = list(full_segments(episodes, 4, 4, 16))
    assert sum(map(len, batches)) == 12 * 3 and all(batch.valid.all() for batch in batches)


def test_attack_10_the_memory_is_bounded(episodes: list[Episode]) -> None:
    """A night has a million steps; demonstrations stay, and of the others the newest."""
    memory = EpisodeMemory(capacity=60, hold_out_every=2)
    memory.add(replace(episodes[0], demo=True))
    sizes = []
    for number in range(400):
        memory.add(replace(episodes[1], number=number))
        kept = (*memory.training, *memory.held_out)
        sizes.append(sum(episode.images.nbytes for episode in kept))
    assert memory.steps <= 60 and len(memory.held_out) <= 64
    assert max(sizes[200:]) == sizes[199], "full, it grows no more"


def test_memory_holds_out_online_episodes_and_forgets_the_oldest(episodes: list[Episode]) -> None:
    memory = EpisodeMemory(capacity=60, hold_out_every=4)
    memory.add(replace(episodes[0], demo=True))
    for episode in episodes:
        memory.add(episode)
    assert len(memory.held_out) == 3
    assert memory.steps <= 60 and memory.training[0].demo
    assert memory.training[-1].number == 10  # number 11 is held out


def test_unusable_episodes_are_refused(episodes: list[Episode]) -> None:
    bad = episodes[0].proprio.copy()
    bad[3, 2] = np.nan
    with pytest.raises(InvalidObservation, match="not finite"):
        EpisodeMemory().add(replace(episodes[0], proprio=bad))
    with pytest.raises(InvalidObservation, match="images"):
        EpisodeMemory().add(replace(episodes[0], images=episodes[0].images[:-1]))


def test_from_transitions(episodes: list[Episode]) -> None:
    source = episodes[0]
    transitions = [
        Transition(
            Observation(source.images[t], source.proprio[t]), source.actions[t], 0.0,
            Observation(source.images[t + 1], source.proprio[t + 1]), t == 11, False, t == 11, False, 100 + t,
            5, t,
        )
        for t in range(12)
    ]  # fmt: skip
    episode = episode_from_transitions(transitions)
    assert episode.success and episode.number == 5
    np.testing.assert_array_equal(episode.images, source.images)
    with pytest.raises(InvalidObservation, match="gaps"):
        episode_from_transitions(transitions[:3] + transitions[4:])

"""Exactly once, gaps, halves, frames stored once."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from worldsample_policy.replay.replay import FrameStore, Replay, SeenSequence


def make_replay(capacity: int = 100, copies: int = 3) -> Replay:
    frames = FrameStore(copies, (2, 2), torch.float16, 10, torch.device("cpu"))
    return Replay(capacity, frames, seed=0)


def put(replay: Replay, value: float) -> int:
    copies = replay.frames.copies
    return replay.frames.put(torch.full((copies, 2, 2), value), torch.full((10,), value))


def fill(
    replay: Replay, count: int, *, demonstration: bool = False, intervention: bool = False, start: float = 0
) -> None:
    frame = put(replay, start)
    for k in range(count):
        following = put(replay, start + k + 1)
        replay.append(
            frame,
            following,
            np.full(7, start + k, np.float32),
            start + k,
            False,
            1.0,
            demonstration=demonstration,
            intervention=intervention,
        )
        frame = following


@given(st.lists(st.integers(0, 40), max_size=120))
@settings(max_examples=200, deadline=None)
def test_each_seq_enters_once_and_gaps_are_reported(numbers: list[int]) -> None:
    seen = SeenSequence()
    accepted = [n for n in numbers if seen.add(n)]
    assert sorted(accepted) == sorted(set(numbers))
    assert seen.duplicates == len(numbers) - len(accepted)
    missing = {n for first, last in seen.missing() for n in range(first, last)}
    assert missing == set(range(max(numbers, default=-1) + 1)) - set(numbers)
    assert seen.next_seq == min(missing, default=max(numbers, default=-1) + 1)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60), st.integers(1, 12))
@settings(max_examples=100, deadline=None)
def test_frames_live_exactly_as_long_as_a_transition_holds_them(
    kinds: list[tuple[bool, bool]], capacity: int
) -> None:
    """The newest rows have their own frames in any order, and no frame leaks: a model of the two rings."""
    replay = make_replay(capacity)
    demonstrations: list[float] = []
    online: list[float] = []
    frame = put(replay, 0.0)
    for k, (demonstration, intervention) in enumerate(kinds):
        following = put(replay, k + 1.0)
        replay.append(
            frame,
            following,
            np.full(7, k, np.float32),
            k,
            False,
            1.0,
            demonstration=demonstration,
            intervention=intervention,
        )
        if demonstration or intervention:
            demonstrations.append(k)
        if not demonstration:
            online.append(k)
        frame = following
    used = set()
    for buffer, model in ((replay.demonstrations, demonstrations), (replay.online, online)):
        rows = range(len(buffer))
        assert sorted(buffer.scalars[r, 0] for r in rows) == model[-capacity:]
        for row in rows:
            k, first, second = buffer.scalars[row, 0], buffer.observation[row], buffer.next_observation[row]
            assert replay.frames.proprio[first, 0] == k and replay.frames.proprio[second, 0] == k + 1
            assert replay.frames.latents[first, 1, 0, 0] == k
            used |= {int(first), int(second)}
    assert len(replay.frames) == len(used)


def test_half_demonstrations_half_online() -> None:
    replay = make_replay()
    fill(replay, 20, demonstration=True, start=1000)
    fill(replay, 50)
    batch = replay.sample(64)
    assert batch.demonstration.sum() == 32
    assert (batch.reward >= 1000).sum() == 32
    torch.testing.assert_close(batch.latent[:, 0, 0], batch.reward)
    torch.testing.assert_close(batch.next_latent[:, 0, 0], batch.reward + 1)
    torch.testing.assert_close(batch.action[:, 0], batch.reward)


def test_interventions_enter_both_buffers_and_share_their_frames() -> None:
    replay = make_replay()
    fill(replay, 10, intervention=True)
    assert len(replay.demonstrations) == len(replay.online) == 10
    assert len(replay.frames) == 11
    assert replay.sample(8).demonstration.sum() == 8


@pytest.mark.parametrize("demonstration", [True, False])
def test_one_empty_buffer_leaves_the_batch_to_the_other(demonstration: bool) -> None:
    replay = make_replay()
    fill(replay, 10, demonstration=demonstration)
    assert replay.sample(9).demonstration.sum() == (9 if demonstration else 0)


def test_empty_replay_is_an_error() -> None:
    with pytest.raises(LookupError, match="empty"):
        make_replay().sample(4)


def test_sampling_repeats_with_the_generator_and_the_checkpoint() -> None:
    replay, other = make_replay(), make_replay()
    fill(replay, 20, demonstration=True)
    fill(replay, 20)
    replay.sample(8)
    tensors, counters = replay.state()
    other.load_state({name: value.clone() for name, value in tensors.items()}, counters)
    for a, b in zip(replay.sample(16), other.sample(16), strict=True):
        torch.testing.assert_close(a, b)
    fill(other, 5)
    assert len(other.online) == 25


def steps_of(
    replay: Replay, episode: int, kinds: list[bool], success: bool, source: str = "policy", first: int = 0
) -> None:
    """Steps of one episode, an intervention where `kinds` is true; the last one is rewarded on success."""
    for step, intervention in enumerate(kinds, first):
        replay.append(
            put(replay, step), put(replay, step + 1), np.full(7, 100 * episode + step, np.float32),
            float(success and step == first + len(kinds) - 1), False, 1.0,
            demonstration=source == "demo", intervention=intervention, place=(source, episode, step),
        )  # fmt: skip


@given(st.lists(st.booleans(), min_size=1, max_size=12), st.booleans(), st.integers(2, 16))
@settings(max_examples=60, deadline=None)
def test_a_success_tells_its_own_episode_how_far_it_was(
    kinds: list[bool], success: bool, capacity: int
) -> None:
    """Both buffers are told, small ones too; the episode before, which failed, is not."""
    replay = make_replay(capacity)
    steps_of(replay, 0, [False, True, False], success=False)
    steps_of(replay, 1, kinds, success)
    told = {100 + step: (len(kinds) - step) * success for step in range(len(kinds))}
    for buffer in (replay.online, replay.demonstrations):
        for row in range(buffer.size):
            assert buffer.to_success[row] == told.get(int(buffer.action[row, 0]), 0)


def test_what_follows_a_success_or_comes_from_another_episode_is_told_nothing() -> None:
    replay = make_replay()
    steps_of(replay, 0, [False, False], success=True)
    steps_of(replay, 0, [False, False], success=False, first=2)  # an episode that goes on after its success
    steps_of(replay, 0, [False, False], success=False, source="eval")
    assert replay.online.to_success[: replay.online.size].tolist() == [2, 1, 0, 0, 0, 0]


def test_an_open_episode_goes_on_after_a_checkpoint() -> None:
    replay, restored = make_replay(), make_replay()
    steps_of(replay, 0, [False, True], success=False)
    tensors, counters = replay.state()
    restored.load_state(tensors, json.loads(json.dumps(counters)))
    for each in (replay, restored):
        steps_of(each, 0, [False], success=True, first=2)
        assert each.online.to_success[:3].tolist() == [3, 2, 1]
        assert each.demonstrations.to_success[0] == 2
    tensors, counters = replay.state()
    old = {name: tensor for name, tensor in tensors.items() if not name.endswith("to_success")}
    restored.load_state(old, {name: value for name, value in counters.items() if name != "open_episode"})
    assert not restored.online.to_success.any()

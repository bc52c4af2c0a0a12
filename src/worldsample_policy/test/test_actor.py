"""Acting: shapes, inactive dimensions, repeatability, speed, weights that do not fit."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from worldsample_core.messages.weights import pack, unpack
from worldsample_core.observation import InvalidObservation
from worldsample_policy.acting.actor import Actor
from worldsample_policy.learner_config import LearnerConfig
from worldsample_policy.learning.learner import Learner
from worldsample_policy.tiny_learner import make_episode, make_observation, make_task, tiny_config


def trained() -> Learner:
    learner = Learner(tiny_config(), make_task())
    for transition in make_episode(np.random.default_rng(0), 10, source="demo"):
        learner.add(transition)
    learner.adapt_encoder()
    learner.pretrain(4)
    return learner


def test_acts_as_the_learner_does_after_the_wire() -> None:
    learner, actor = trained(), Actor(tiny_config(), make_task())
    packed = pack(learner.actor_state(), learner.architecture(), version=1)
    actor.load(unpack(packed, actor.architecture()))
    observation = make_observation(np.random.default_rng(1))
    action, info = actor.act(observation, deterministic=True)
    with torch.no_grad():
        latent = learner.agent.encoder(torch.from_numpy(observation.images)[None])
        features = learner.sac.projection(
            latent, learner.agent.standardise(torch.from_numpy(observation.proprio)[None])
        )
        mean, _ = learner.sac.actor(features)
        assert learner.sac.gripper is not None
        best = int(learner.sac.gripper(features).argmax())
    np.testing.assert_allclose(action[:2], torch.tanh(mean)[0].numpy(), rtol=1e-5)
    assert action[6] == (-1.0, 0.0, 1.0)[best] and len(info.gripper_values) == 3
    assert action.dtype == np.float32 and (action[2:6] == 0).all()


def test_exploration_repeats_with_the_seed() -> None:
    observation = make_observation(np.random.default_rng(1))
    runs = []
    for seed in (5, 5, 6):
        actor = Actor(tiny_config(), make_task(), seed=seed)
        runs.append(np.stack([actor.act(observation)[0] for _ in range(5)]))
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2]) and not np.array_equal(runs[0][0], runs[0][1])


def test_weights_of_another_network_are_refused_and_the_old_ones_stay() -> None:
    learner, actor = trained(), Actor(tiny_config(), make_task())
    actor.load(learner.actor_state())
    observation = make_observation(np.random.default_rng(1))
    before = actor.act(observation, deterministic=True)[0]
    other = Learner(tiny_config(hidden=32), make_task()).actor_state()
    poisoned = {
        name: value * np.float32("nan") if "actor" in name else value
        for name, value in learner.actor_state().items()
    }
    for state in (other, poisoned, {}):
        with pytest.raises(ValueError, match="weights"):
            actor.load(state)
    np.testing.assert_array_equal(actor.act(observation, deterministic=True)[0], before)


def test_wrong_image_size_is_named() -> None:
    with pytest.raises(InvalidObservation, match=r"learner\.image_size"):
        Actor(tiny_config(), make_task()).act(make_observation(np.random.default_rng(0), size=64))


def test_a_tick_takes_milliseconds() -> None:
    """At 64x64 with the default networks; about 1 ms on an idle core, with room here for a busy machine."""
    actor = Actor(LearnerConfig(), make_task())
    observation = make_observation(np.random.default_rng(0), size=64)
    times = []
    for _ in range(30):
        start = time.perf_counter()
        actor.act(observation)
        times.append(time.perf_counter() - start)
    assert np.median(times) < 0.02

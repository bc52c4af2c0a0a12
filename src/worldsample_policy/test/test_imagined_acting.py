"""The policy acts in the imagination as it acts on the robot."""

from __future__ import annotations

import numpy as np
import pytest

from worldsample_core.messages.weights import InvalidWeights, PackedWeights, pack, unpack
from worldsample_core.observation import Observation
from worldsample_policy.acting.actor import Actor
from worldsample_policy.imagined_acting import KEPT, BatchActor
from worldsample_policy.learner_config import LearnerConfig
from worldsample_policy.sac.agent import Agent
from worldsample_policy.tiny_learner import make_task, tiny_config


def weights(config: LearnerConfig, version: int) -> PackedWeights:
    """Weights that differ from version to version."""
    agent = Agent(LearnerConfig(**{**vars(config), "seed": version}), make_task().active, 0.97, 2, 10)
    agent.encoder.fitted.fill_(True)
    return pack(agent.actor_state(), agent.architecture(), version)


def observations(count: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (count, 2, size, size, 3), np.uint8)
    return images, rng.normal(0.0, 0.1, (count, 10)).astype(np.float32)


def test_it_acts_as_the_robots_actor_does() -> None:
    config = tiny_config(std_max=1e-5)  # next to no exploration: the distributions' means are compared
    packed = weights(config, 3)
    batch, single = BatchActor(config, make_task()), Actor(config, make_task())
    batch.receive(packed)
    assert batch.use(3) == 3
    single.load(unpack(packed))
    images, proprio = observations(5, config.image_size)
    actions = batch.act(images, proprio, np.random.default_rng(0))
    for image, state, action in zip(images, proprio, actions, strict=True):
        expected, _ = single.act(Observation(image, state), deterministic=True)
        np.testing.assert_allclose(action, expected, atol=1e-3)


def test_it_uses_the_version_that_acted_or_the_nearest_older_one() -> None:
    config = tiny_config()
    actor = BatchActor(config, make_task())
    assert actor.use(4) == 0, "no weights yet"
    for version in (2, 5, 9):
        actor.receive(weights(config, version))
    assert [actor.use(v) for v in (5, 8, 99, 1)] == [5, 5, 9, 2]


def test_only_the_newest_versions_are_kept() -> None:
    config = tiny_config()
    actor = BatchActor(config, make_task())
    for version in range(1, KEPT + 4):
        actor.receive(weights(config, version))
    assert actor.use(1) == 4


def test_weights_of_another_network_are_refused() -> None:
    actor = BatchActor(tiny_config(), make_task())
    with pytest.raises(InvalidWeights, match="another network"):
        actor.receive(weights(tiny_config(hidden=24), 1))
    assert actor.use(1) == 0


def test_equal_seeds_give_equal_actions_and_inactive_dimensions_stay_zero() -> None:
    config = tiny_config()
    actor = BatchActor(config, make_task())
    actor.receive(weights(config, 1))
    actor.use(1)
    images, proprio = observations(4, config.image_size)
    first, second = (actor.act(images, proprio, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert not first[:, ~make_task().active_mask].any()


def test_with_wmpo_the_grippers_command_is_drawn_from_its_logits() -> None:
    """Otherwise it is the likeliest, as on the robot."""
    images, proprio = observations(1, tiny_config().image_size)
    images, proprio = np.repeat(images, 300, 0), np.repeat(proprio, 300, 0)
    drawn = {}
    for algorithm in ("sac", "wmpo"):
        config = tiny_config(algorithm=algorithm)
        actor = BatchActor(config, make_task())
        actor.receive(weights(config, 1))
        actor.use(1)
        drawn[algorithm] = actor.act(images, proprio, np.random.default_rng(0))[:, 6]
    assert len(set(drawn["sac"])) == 1 and len(set(drawn["wmpo"])) == 3

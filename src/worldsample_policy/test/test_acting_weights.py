"""New weights never cost a control tick, and bad ones never reach the arm."""

import dataclasses
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from worldsample_core.checkpoint_error import CheckpointError
from worldsample_core.messages.weights import InvalidWeights, PackedWeights, pack
from worldsample_core.observation import Observation
from worldsample_policy.acting.acting_weights import ActingWeights
from worldsample_policy.acting.tick_timing import TickTiming
from worldsample_policy.acting.weights_switch import WeightsSwitch
from worldsample_policy.learner_config import LearnerConfig
from worldsample_policy.learning.learner import Learner
from worldsample_policy.sac.policy_export import export_policy

from .test_rollout import TASK

CONFIG = LearnerConfig(
    image_size=16,
    encoder="random",
    latent_channels=2,
    latent_size=4,
    encoder_width=4,
    hidden=16,
    bottleneck=4,
)
OBSERVATION = Observation(np.full((2, 16, 16, 3), 90, np.uint8), np.full(10, 0.2, np.float32))


def weights(
    version: int, seed: int, config: LearnerConfig = CONFIG, effective_step: int = 0
) -> PackedWeights:
    learner = Learner(dataclasses.replace(config, seed=seed), TASK)
    return pack(learner.actor_state(), learner.architecture(), version, effective_step=effective_step)


def acting(lockstep: bool) -> ActingWeights:
    torch.set_num_threads(1)
    return ActingWeights(CONFIG, TASK, WeightsSwitch(lockstep, lag=4, publish_every=2))


def action_of(seed: int) -> np.ndarray:
    fresh = acting(lockstep=False)
    fresh.receive(weights(1, seed), 0.0)
    fresh.load_due(0)
    return fresh.act(OBSERVATION, True)[0]


@pytest.mark.parametrize("lockstep", [True, False])
def test_weights_are_acted_on_when_due(lockstep: bool) -> None:
    policy = acting(lockstep)
    policy.receive(weights(1, seed=1), 0.0)
    policy.receive(weights(2, seed=2, effective_step=6), 0.0)
    seen = []
    for step in (0, 5, 6, 7):
        policy.load_due(step)
        action, version = policy.act(OBSERVATION, True)
        seen.append(version)
        np.testing.assert_array_equal(action, action_of(version))
    assert seen == ([1, 1, 2, 2] if lockstep else [2, 2, 2, 2])
    assert policy.latency_ms > 0


@pytest.mark.parametrize("lockstep", [True, False])
def test_unusable_weights_are_refused_and_the_old_ones_stay(lockstep: bool) -> None:
    policy = acting(lockstep)
    policy.receive(weights(1, seed=1), 0.0)
    policy.load_due(0)
    before, _ = policy.act(OBSERVATION, True)
    good = weights(2, seed=2)
    other = weights(3, seed=3, config=dataclasses.replace(CONFIG, hidden=32))
    bad = [dataclasses.replace(good, sha256="0" * 64), dataclasses.replace(good, data=good.data[:-9]), other]
    for packed in bad:
        with pytest.raises(InvalidWeights):
            policy.receive(packed, 0.0)
        policy.load_due(100)
        action, version = policy.act(OBSERVATION, True)
        np.testing.assert_array_equal(action, before)
        assert version == 1
    assert policy.rejected == len(bad)
    policy.receive(good, 0.0)
    policy.load_due(100)
    assert policy.act(OBSERVATION, True)[1] == 2


def test_old_weights_that_arrive_late_change_nothing() -> None:
    policy = acting(lockstep=False)
    policy.receive(weights(5, seed=5), 0.0)
    policy.receive(weights(4, seed=4), 0.0)
    policy.load_due(0)
    np.testing.assert_array_equal(policy.act(OBSERVATION, True)[0], action_of(5))


def test_weights_that_arrive_while_acting_are_never_half_loaded() -> None:
    policy = acting(lockstep=False)
    packed = [weights(version, seed=version % 3) for version in range(1, 13)]
    expected = [action_of(seed) for seed in range(3)]
    policy.receive(packed[0], 0.0)
    sender = threading.Thread(target=lambda: [policy.receive(p, 0.0) for p in packed[1:]])
    sender.start()
    while sender.is_alive():
        policy.load_due(0)
        action, version = policy.act(OBSERVATION, True)
        np.testing.assert_array_equal(action, expected[version % 3])
    sender.join()
    policy.load_due(0)
    assert policy.act(OBSERVATION, True)[1] == 12


def test_the_exploration_noise_goes_on_across_new_weights() -> None:
    straight, switched = acting(lockstep=False), acting(lockstep=False)
    for policy in (straight, switched):
        policy.receive(weights(1, seed=1), 0.0)
        policy.load_due(0)
        policy.seed(7)
    first = [straight.act(OBSERVATION, False)[0] for _ in range(4)]
    second = [switched.act(OBSERVATION, False)[0] for _ in range(2)]
    switched.receive(weights(2, seed=1), 0.0)
    switched.load_due(0)
    second += [switched.act(OBSERVATION, False)[0] for _ in range(2)]
    np.testing.assert_array_equal(first, second)


def test_acting_on_a_checkpoint(tmp_path: Path) -> None:
    learner = Learner(dataclasses.replace(CONFIG, seed=3), TASK)
    learner.save(tmp_path / "step_1")
    policy = acting(lockstep=True)
    policy.load_checkpoint(tmp_path / "step_1")
    np.testing.assert_array_equal(policy.act(OBSERVATION, True)[0], action_of(3))
    with pytest.raises(CheckpointError, match=r"config\.yaml"):
        other = ActingWeights(dataclasses.replace(CONFIG, hidden=32), TASK, WeightsSwitch(True, 1, 1))
        other.load_checkpoint(tmp_path / "step_1")
    (tmp_path / "step_1/model.safetensors").write_bytes(b"rotten")
    with pytest.raises(CheckpointError, match="damaged"):
        policy.load_checkpoint(tmp_path / "step_1")


def test_an_exported_policy_acts_the_same_and_is_not_trained_on(tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, seed=3)
    learner = Learner(config, TASK)
    learner.save(tmp_path / "step_1")
    export_policy(tmp_path / "step_1", tmp_path / "exported")
    export_policy(tmp_path / "exported", tmp_path / "again")
    for folder in ("exported", "again"):
        policy = acting(lockstep=True)
        policy.load_checkpoint(tmp_path / folder)
        np.testing.assert_array_equal(policy.act(OBSERVATION, True)[0], action_of(3))
        assert policy.switch.version == 1
    before = learner.actor_state()
    with pytest.raises(CheckpointError, match="resume the run that it was exported from"):
        learner.load(tmp_path / "exported")
    assert all(np.array_equal(value, before[name]) for name, value in learner.actor_state().items())
    (tmp_path / "exported/policy.safetensors").write_bytes(b"rotten")
    with pytest.raises(CheckpointError, match="damaged"):
        acting(lockstep=True).load_checkpoint(tmp_path / "exported")
    with pytest.raises(CheckpointError, match="damaged"):
        export_policy(tmp_path / "exported", tmp_path / "third")
    assert not (tmp_path / "third").exists()


def test_rate_and_jitter() -> None:
    timing = TickTiming(period=0.1)
    assert (timing.rate(), timing.jitter_p99_ms()) == (0.0, 0.0)
    now = 0.0
    for number in range(200):
        timing.tick(now + (0.004 if number == 100 else 0.0))
        now += 0.1
    assert timing.rate() == pytest.approx(10.0)
    assert timing.jitter_p99_ms() == pytest.approx(4.0)
    timing.pause()
    timing.tick(now + 7.0)  # after a reset: no control step
    assert timing.jitter_p99_ms() == pytest.approx(4.0)

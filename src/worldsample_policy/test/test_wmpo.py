"""WMPO's formulas against a hand calculation, what becomes of groups, and exact continuation."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from worldsample_core.messages.weights import pack
from worldsample_policy.algorithms.behaviour_cloning import log_likelihood
from worldsample_policy.algorithms.wmpo import WMPO, clipped_objective, group_advantages
from worldsample_policy.imagined_acting import BatchActor
from worldsample_policy.learning.learner import Learner
from worldsample_policy.tiny_learner import make_episode, make_task, tiny_config

from .test_policy_paced_learning import segment

ACTIVE = [False, True]


def make_learner(gripper: bool = True, **changes: object) -> Learner:
    """Six demonstration and six online steps, three of them interventions; version 1 is published."""
    settings: dict[str, object] = {"algorithm": "wmpo", "grpo_groups": 2, "grpo_epochs": 2, "grpo_lr": 1e-3}
    active = (True, True, False, False, False, False, gripper)
    learner = Learner(tiny_config(**{**settings, **changes}), make_task(active))
    rng = np.random.default_rng(3)
    for transition in make_episode(rng, 6, source="demo"):
        learner.add(transition)
    learner.adapt_encoder()
    for transition in make_episode(rng, 6, episode=1, first_seq=6, interventions=(1, 2, 3)):
        learner.add(transition)
    learner.published(1)
    return learner


def wmpo(learner: Learner) -> WMPO:
    assert isinstance(learner.algorithm, WMPO)
    return learner.algorithm


def imagine(learner: Learner, labels: list[bool], start: int = 0, version: int = 1) -> None:
    """A group of rollouts of different lengths from one start."""
    for number, success in enumerate(labels):
        made = segment(
            learner, success, 3 + number, source_step=start, policy_version=version, on_policy=True
        )
        assert learner.add_synthetic(made)


def test_advantages_by_hand() -> None:
    """Rewards 1, 0, 0, 1, 0, 0, 0, 0: mean 1/4, sum of squares about it 3/2, std sqrt(3/2 / 7)."""
    rewards = torch.tensor([1.0, 0, 0, 1, 0, 0, 0, 0])
    advantages = group_advantages(rewards)
    assert advantages is not None
    std = math.sqrt(1.5 / 7)
    torch.testing.assert_close(advantages[:2], torch.tensor([0.75 / std, -0.25 / std]), rtol=1e-4, atol=0)
    assert abs(float(advantages.sum())) < 1e-5


@pytest.mark.parametrize("rewards", [[0.0] * 8, [1.0] * 8, [1.0]])
def test_equal_rewards_say_nothing(rewards: list[float]) -> None:
    assert group_advantages(torch.tensor(rewards)) is None


def test_the_clip_is_asymmetric_and_pessimistic() -> None:
    """Good actions gain until 1.28, bad ones lose until 0.8; the way back is never clipped."""
    ratio = torch.tensor([1.5, 0.5, 1.5, 0.5, 1.1])
    advantage = torch.tensor([2.0, 2.0, -2.0, -2.0, 1.0])
    expected = torch.tensor([1.28 * 2.0, 0.5 * 2.0, -1.5 * 2.0, -0.8 * 2.0, 1.1])
    torch.testing.assert_close(clipped_objective(ratio, advantage, 0.2, 0.28), expected)


@pytest.mark.parametrize("gripper", ACTIVE)
def test_the_first_update_on_unchanged_weights_is_the_plain_policy_gradient(gripper: bool) -> None:
    """The ratio is 1 at every step, and the rollouts' advantages, each counted once, add up to nothing."""
    learner = make_learner(gripper)
    imagine(learner, [True, False, False])
    imagine(learner, [False, True], start=1)
    imagine(learner, [False], start=2)  # closes the group before
    groups = list(wmpo(learner).groups)
    assert [len(group.advantage) for group in groups] == [3 + 4 + 5, 3 + 4]
    assert groups[0].weight.tolist() == pytest.approx([1 / 9] * 3 + [1 / 12] * 4 + [1 / 15] * 5)
    logs = learner.update()
    assert logs["ratio"] == pytest.approx(1.0, abs=1e-5) and logs["outside_clip"] == 0.0
    assert logs["actor_loss"] == pytest.approx(0.0, abs=1e-5)
    assert logs["grpo_grad_norm"] > 0.0


def test_the_ratio_is_to_the_weights_that_acted() -> None:
    """Segments arrive after the weights have moved on; the version in them says whose they are."""
    learner = make_learner()
    old = learner.algorithm.parameters.flat.detach().clone() if learner.algorithm else torch.empty(0)
    learner.pretrain(20)
    learner.published(2)
    imagine(learner, [True, False], version=1)
    imagine(learner, [False], start=1)
    group = wmpo(learner).groups[0]
    newest = wmpo(learner).parameters.flat.detach().clone()
    features = learner.sac.projection(group.latent.float(), group.proprio)
    now = log_likelihood(learner.sac, features, group.action)
    assert not torch.allclose(now, group.old_log_prob, atol=1e-2)
    wmpo(learner).parameters.flat.data.copy_(old)
    features = learner.sac.projection(group.latent.float(), group.proprio)
    torch.testing.assert_close(log_likelihood(learner.sac, features, group.action), group.old_log_prob)
    wmpo(learner).parameters.flat.data.copy_(newest)


def test_groups_of_equal_rewards_or_unknown_weights_are_dropped() -> None:
    learner = make_learner()
    imagine(learner, [False] * 4)
    imagine(learner, [True] * 3, start=1)
    imagine(learner, [True], start=2)
    imagine(learner, [True, False], start=3, version=9)
    imagine(learner, [True, False], start=4)
    imagine(learner, [False], start=5)
    assert dict(wmpo(learner).counts) == {"equal": 2, "alone": 1, "stale": 1}
    assert len(wmpo(learner).groups) == 1
    assert learner.update() == {} and learner.updates == 1, "one group of two: the schedule goes on"


def test_perturbed_real_actions_are_no_rollouts_of_the_policy() -> None:
    learner = make_learner()
    assert not learner.add_synthetic(segment(learner, True, on_policy=False))


def test_updates_make_what_succeeded_likelier() -> None:
    learner = make_learner(grpo_epochs=30)
    imagine(learner, [True, False, False, False])
    imagine(learner, [True, False, False, False], start=1)
    imagine(learner, [False], start=2)
    group = wmpo(learner).groups[0]
    for _ in range(30):
        assert learner.update()
    with torch.no_grad():
        features = learner.sac.projection(group.latent.float(), group.proprio)
        gained = log_likelihood(learner.sac, features, group.action) - group.old_log_prob
    good, bad = gained[group.advantage > 0].mean(), gained[group.advantage < 0].mean()
    assert float(good) > 0.05 > -0.05 > float(bad)
    assert learner.update() == {}, "each group is used grpo_epochs times"


def test_interventions_are_not_imitated_unless_asked() -> None:
    assert len(make_learner().replay.demonstrations) == 6
    assert len(make_learner(imitate_interventions=True).replay.demonstrations) == 9


@pytest.mark.parametrize("algorithm", ["wmpo", "vlaw"])
@pytest.mark.parametrize("with_replay", [False, True])
def test_a_checkpoint_goes_on_exactly(tmp_path: Path, algorithm: str, with_replay: bool) -> None:
    """Imitation from a checkpoint and from the running learner give the same weights."""
    learner = make_learner(algorithm=algorithm, latent_noise=0.5)
    learner.pretrain(3)
    learner.save(tmp_path / "step_1", replay=with_replay)
    other = Learner(learner.config, learner.task)
    other.load(tmp_path / "step_1")
    if not with_replay:
        rng = np.random.default_rng(3)
        for transition in make_episode(rng, 6, source="demo"):
            other.add(transition)
        for transition in make_episode(rng, 6, episode=1, first_seq=6, interventions=(1, 2, 3)):
            other.add(transition)
    assert len(other.replay.successes) == len(learner.replay.successes) == (6 if algorithm == "vlaw" else 0)
    for each in (learner, other):
        each.pretrain(3)
        each.update()
    first, second = learner.actor_state(), other.actor_state()
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert learner.updates == other.updates == 7


def test_grpo_goes_on_from_a_checkpoint_with_its_optimizer(tmp_path: Path) -> None:
    """Imagined data are gone, as in a run; the same new groups then give the same weights."""
    learner = make_learner()
    imagine(learner, [True, False])
    imagine(learner, [True, False], start=1)
    imagine(learner, [False], start=2)
    for _ in range(2):
        assert learner.update()
    learner.save(tmp_path / "step_1", replay=True)
    other = Learner(learner.config, learner.task)
    other.load(tmp_path / "step_1")
    wmpo(learner).load_counters(wmpo(learner).counters(), with_replay=True)
    for each in (learner, other):
        each.published(7)
        for start in range(3):
            imagine(each, [True, False, True], start, version=7)
        assert each.update() and each.update()
    first, second = learner.actor_state(), other.actor_state()
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert wmpo(other).counts["learned"] == 4


def test_grpo_learns_what_is_rewarded() -> None:
    """The policy acts for one step and is rewarded where it went right (action 0 above 0.3).

    As in a run, weights that were published act, and learning names them by version.
    """
    learner = make_learner(gripper=False, std_min=0.1, grpo_groups=4, grpo_epochs=4, grpo_lr=3e-3)
    actor = BatchActor(learner.config, learner.task)
    rng = np.random.default_rng(0)
    plain = segment(learner, False, 1, on_policy=True)
    rates = []
    for version in range(2, 22):
        actor.receive(pack(learner.actor_state(), learner.architecture(), version))
        learner.published(actor.use(version))
        successes = []
        for start in range(5):  # the fifth closes the fourth
            actions = actor.act(np.repeat(plain.images[:1], 8, 0), np.repeat(plain.proprio[:1], 8, 0), rng)
            for action in actions:
                success = bool(action[0] > 0.3)
                successes.append(success)
                learner.add_synthetic(
                    segment(
                        learner, success, 1, images=plain.images, actions=action[None], source_step=start,
                        policy_version=version, on_policy=True, world_model_version=1,
                    )
                )  # fmt: skip
        rates.append(sum(successes) / len(successes))
        for _ in range(4):
            learner.update()
    assert rates[0] < 0.6 and sum(rates[-3:]) / 3 > 0.9, rates

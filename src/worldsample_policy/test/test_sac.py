"""Every formula of sac.py against an independent computation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from worldsample_policy.learner_config import HEADS
from worldsample_policy.replay.replay import Batch
from worldsample_policy.sac.networks import Keypoints, PolicyNetwork
from worldsample_policy.sac.sac import SAC, gripper_index
from worldsample_policy.tiny_learner import make_task, tiny_config

LATENT = (2, 4, 4, 4)


def make_sac(**changes: object) -> SAC:
    torch.manual_seed(0)
    task = make_task()
    return SAC(tiny_config(**changes), LATENT, 10, task.active, task.gamma)


def make_batch(size: int = 6, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    action = torch.tanh(normal(size, 7))
    action[:, 6] = torch.tensor([-1.0, 0.0, 1.0]).repeat(size)[:size]
    return Batch(
        latent=normal(size, *LATENT),
        proprio=normal(size, 10),
        action=action,
        reward=normal(size),
        terminated=torch.tensor([0.0, 1.0]).repeat(size)[:size],
        next_latent=normal(size, *LATENT),
        next_proprio=normal(size, 10),
        gripper_opening=torch.tensor([1.0, 0.0, 0.9]).repeat(size)[:size],
        demonstration=torch.tensor([1.0, 0.0]).repeat(size)[:size],
    )


def test_log_prob_integrates_to_one() -> None:
    """The exponential of log_prob is a density on (-1, 1): it integrates to 1.

    Its logarithm is that of the sample's formula.
    """
    torch.manual_seed(0)
    actor = PolicyNetwork(tiny_config(), 5, 1)
    features = torch.randn(1, 5)
    grid = torch.linspace(-0.9985, 0.9985, 20001).unsqueeze(1)
    with torch.no_grad():
        density = actor.log_prob(features.expand(len(grid), -1), grid).exp()
        sample = actor.sample(features, torch.tensor([[0.7]]))
        assert actor.log_prob(features, sample.action).item() == pytest.approx(
            sample.log_prob.item(), abs=1e-4
        )
    assert torch.trapezoid(density, grid.squeeze(1)).item() == pytest.approx(1.0, abs=5e-3)


def test_log_prob_matches_torch_distributions() -> None:
    torch.manual_seed(0)
    actor, features, noise = PolicyNetwork(tiny_config(), 5, 3), torch.randn(4, 5), torch.randn(4, 3)
    mean, log_std = actor(features)
    normal = torch.distributions.Normal(mean, log_std.exp())
    tanh = torch.distributions.TransformedDistribution(
        normal, [torch.distributions.TanhTransform(cache_size=1)]
    )
    action, log_prob = actor.sample(features, noise)
    torch.testing.assert_close(action, torch.tanh(mean + log_std.exp() * noise))
    torch.testing.assert_close(log_prob, tanh.log_prob(action).sum(-1), atol=1e-3, rtol=1e-3)


def test_std_is_clamped() -> None:
    actor = PolicyNetwork(tiny_config(), 5, 1)
    with torch.no_grad():
        actor.network[-1].bias.copy_(torch.tensor([0.0, 100.0]))
        assert actor(torch.zeros(1, 5))[1].exp().item() == pytest.approx(5.0)
        actor.network[-1].bias.copy_(torch.tensor([0.0, -100.0]))
        assert actor(torch.zeros(1, 5))[1].exp().item() == pytest.approx(1e-5)


def test_critic_target_bootstraps_unless_terminated() -> None:
    """The target is y = r + gamma (1 - terminated) min Q'(s', a'), by hand; a truncated step bootstraps."""
    sac, batch = make_sac(), make_batch()
    with torch.no_grad():
        for parameter in sac.target.parameters():  # so that the target differs from the online networks
            parameter.add_(0.05 * torch.randn_like(parameter))
        noise = torch.randn(6, sac.actions)
        target = sac.critic_target(batch, sac.next_features(batch), noise)
        online = sac.projection(batch.next_latent, batch.next_proprio)
        slow = sac.target["projection"](batch.next_latent, batch.next_proprio)
        mean, log_std = sac.actor(online)
        action = torch.tanh(mean + log_std.exp() * noise)
        for i in range(6):
            values = [
                member(torch.cat((slow[i], action[i]))).item() for member in sac.target["critic"].members
            ]
            expected = batch.reward[i].item() + 0.9 * min(values) * (i % 2 == 0)
            assert target[i].item() == pytest.approx(expected, abs=1e-5)


def test_entropy_backup_is_an_option() -> None:
    sac, batch, noise = make_sac(), make_batch(), torch.zeros(6, 2)
    with torch.no_grad():
        plain = sac.critic_target(batch, sac.next_features(batch), noise)
        sac.config.entropy_backup = True
        soft = sac.critic_target(batch, sac.next_features(batch), noise)
        log_prob = sac.actor.sample(sac.next_features(batch)[0], noise).log_prob
    torch.testing.assert_close(plain - soft, 0.9 * (1 - batch.terminated) * 1e-2 * log_prob)


def test_bounded_targets_lie_between_what_an_episode_can_return() -> None:
    """A value below 0 counts as 0 and one above 1 as 1; the reward and the gripper's penalty come on top."""
    sac, batch, noise = make_sac(), make_batch(), torch.zeros(6, 2)
    assert sac.gripper is not None
    following = sac.next_features(batch)
    for shift in (-3.0, 3.0):
        with torch.no_grad():
            for member in sac.target["critic"].members:
                member[-1].bias.fill_(shift)
            sac.target["gripper"].network[-1].bias.fill_(shift)
            sac.config.bounded_targets = True
            target, gripper = sac.critic_target(batch, following, noise), sac.gripper_target(batch, following)
        kept = 0.9 * (1.0 - batch.terminated) * float(shift > 0.0)
        torch.testing.assert_close(target, batch.reward + kept)
        torch.testing.assert_close(
            gripper, batch.reward + sac.config.gripper_penalty * sac.switches(batch) + kept
        )


def test_targets_are_at_least_the_return_that_was_reached() -> None:
    """gamma^(n - 1) n steps before a success, with the gripper's penalty where it switched; elsewhere y."""
    sac, batch = make_sac(), make_batch()._replace(to_success=torch.tensor([0.0, 1.0, 2.0, 11.0, 2.0, 0.0]))
    target = torch.tensor([-5.0, -5.0, -5.0, -5.0, 3.0, 0.2])
    assert sac.at_least_reached(batch, target) is target  # switched off
    sac.config.return_targets = True
    expected = torch.tensor([-5.0, 1.0, 0.9, 0.9**10, 3.0, 0.2])
    torch.testing.assert_close(sac.at_least_reached(batch, target), expected)
    paid = sac.config.gripper_penalty * sac.switches(batch)
    reached = sac.at_least_reached(batch, target, paid)
    torch.testing.assert_close(reached[1:4], expected[1:4] + paid[1:4])
    assert sac.at_least_reached(batch._replace(to_success=None), target) is target


def test_gripper_target_is_double_dqn_with_penalty() -> None:
    sac, batch = make_sac(), make_batch()
    assert sac.gripper is not None
    with torch.no_grad():
        for parameter in sac.target.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        next_features = sac.next_features(batch)
        target = sac.gripper_target(batch, next_features)
        online, slow = sac.gripper(next_features[0]), sac.target["gripper"](next_features[1])
    # command close, hold, open on an opening of 1, 0, 0.9: closes an open one; holds; opens an open one (no
    # switch)
    penalty = [-0.02, 0.0, 0.0, -0.02, 0.0, 0.0]
    for i in range(6):
        value = slow[i, int(np.argmax(online[i].numpy()))].item()
        expected = batch.reward[i].item() + penalty[i] + 0.9 * value * (i % 2 == 0)
        assert target[i].item() == pytest.approx(expected, abs=1e-5)


def test_gripper_penalty_only_where_the_command_switches() -> None:
    sac, batch = make_sac(), make_batch()
    commands, openings = torch.tensor([-1.0, -1, 0, 0, 1, 1]), torch.tensor([1.0, 0, 1, 0, 1, 0])
    batch = batch._replace(
        action=torch.cat((batch.action[:, :6], commands.unsqueeze(1)), 1), gripper_opening=openings
    )
    assert sac.switches(batch).tolist() == [1, 0, 0, 0, 0, 1]
    assert gripper_index(torch.tensor([-1.0, -0.6, 0.0, 0.4, 0.6, 1.0])).tolist() == [0, 0, 1, 1, 2, 2]


def test_critic_loss_is_the_weighted_square_error() -> None:
    sac, batch, noise = make_sac(), make_batch(), torch.randn(6, 2)
    weight = torch.tensor([0.0, 1.0, 2.0, 0.0, 0.5, 0.0])
    loss, logs = sac.critic_loss(batch, sac.features(batch), noise, weight)
    with torch.no_grad():
        features, following = sac.features(batch), sac.next_features(batch)
        target, gripper_target = (
            sac.critic_target(batch, following, noise),
            sac.gripper_target(batch, following),
        )
        assert sac.gripper is not None
        expected = 0.0
        for i in range(6):
            q = sac.critic(features[i : i + 1], batch.action[i : i + 1, :2]).squeeze(1)
            g = sac.gripper(features[i : i + 1])[0, int(gripper_index(batch.action[i, 6]))]
            error = ((q - target[i]) ** 2).sum() + (g - gripper_target[i]) ** 2
            expected += weight[i].item() * error.item() / 6
    assert loss.item() == pytest.approx(expected, rel=1e-4)
    assert set(logs) == {"critic_loss", "gripper_loss", "q_mean", "q_target"}


def test_gripper_margin_asks_for_the_demonstrated_command_only() -> None:
    sac = make_sac()
    sac.config.gripper_margin = 0.1
    commands = torch.tensor([[0.5, 0.2, 0.1], [0.5, 0.45, 0.1], [0.1, 0.2, 0.9], [0.0, 5.0, 0.0]])
    command, demonstration = torch.tensor([[0], [0], [1], [0]]), torch.tensor([1.0, 1.0, 1.0, 0.0])
    missing = sac.missing_margin(commands, command, demonstration)
    assert missing.item() == pytest.approx((0.0 + 0.05 + 0.8) / 3)


def test_gripper_margin_is_learned_from_real_demonstrations_only() -> None:
    """Nothing is asked of imagined (weighted) data, nor by default.

    A critic that follows the margin commands what was demonstrated.
    """
    sac, batch, noise = make_sac(), make_batch(), torch.zeros(6, 2)
    assert sac.gripper is not None
    plain, _ = sac.critic_loss(batch, sac.features(batch), noise)
    sac.config.gripper_margin = 0.1
    more, logs = sac.critic_loss(batch, sac.features(batch), noise)
    assert more.item() == pytest.approx(plain.item() + logs["gripper_margin"].item())
    weighted, logs = sac.critic_loss(batch, sac.features(batch), noise, torch.ones(6))
    assert weighted.item() == pytest.approx(plain.item()) and "gripper_margin" not in logs
    shown = batch.demonstration.bool()
    optimizer = torch.optim.Adam(sac.gripper.parameters(), 1e-2)
    for _ in range(200):
        optimizer.zero_grad()
        sac.critic_loss(batch, sac.features(batch).detach(), noise)[0].backward()
        optimizer.step()
    said = sac.gripper(sac.features(batch)).argmax(1)
    assert torch.equal(said[shown], gripper_index(batch.action[:, 6])[shown])


def test_actor_loss_uses_the_critics_mean_and_leaves_heads_alone() -> None:
    sac, batch, noise = make_sac(), make_batch(), torch.randn(6, 2)
    features = sac.features(batch).detach()
    loss, logs = sac.actor_loss(batch, features, noise)
    action, log_prob = sac.actor.sample(features, noise)
    q = sac.critic(features, action)
    expected = (sac.temperature * log_prob - (q[0] + q[1]) / 2).mean()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert logs["entropy"].item() == pytest.approx(-log_prob.mean().item())
    loss.backward()
    assert all(p.grad is None for p in sac.projection.parameters())
    assert sac.log_temperature.grad is None


def test_behaviour_cloning_counts_demonstrations_only() -> None:
    sac, batch, noise = make_sac(), make_batch(), torch.zeros(6, 2)
    features = sac.features(batch).detach()
    without, _ = sac.actor_loss(batch, features, noise)
    with_bc, logs = sac.actor_loss(batch, features, noise, bc_weight=0.5)
    log_prob = sac.actor.log_prob(features, batch.action[:, :2])
    expected = -(log_prob[0] + log_prob[2] + log_prob[4]) / 3
    assert logs["bc_loss"].item() == pytest.approx(expected.item(), rel=1e-5)
    assert (with_bc - without).item() == pytest.approx(0.5 * expected.item(), rel=1e-4)


@pytest.mark.parametrize(("entropy", "falls"), [(5.0, True), (-5.0, False)])
def test_temperature_falls_while_the_policy_is_too_random(entropy: float, falls: bool) -> None:
    sac = make_sac()
    assert sac.target_entropy == -1.0  # two active continuous dimensions
    loss, _ = sac.temperature_loss(torch.tensor(entropy))
    assert loss.item() == pytest.approx(0.01 * (entropy + 1.0), rel=1e-5)
    loss.backward()
    assert sac.log_temperature.grad is not None
    assert (sac.log_temperature.grad.item() > 0) == falls  # gradient descent on log alpha


def test_soft_update() -> None:
    sac = make_sac()
    sac.flatten()
    with torch.no_grad():
        for parameter in (*sac.critic.parameters(), *sac.projection.parameters()):
            parameter.add_(1.0)
    before = {name: value.clone() for name, value in sac.target.state_dict().items()}
    sac.soft_update()
    online = {f"critic.{n}": v for n, v in sac.critic.state_dict().items()}
    online |= {f"projection.{n}": v for n, v in sac.projection.state_dict().items()}
    assert sac.gripper is not None
    online |= {f"gripper.{n}": v for n, v in sac.gripper.state_dict().items()}
    for name, value in sac.target.state_dict().items():
        torch.testing.assert_close(value, 0.995 * before[name] + 0.005 * online[name])


def test_temperature_starts_as_configured() -> None:
    assert make_sac().temperature.item() == pytest.approx(1e-2)
    assert math.isclose(make_sac(temperature_init=0.3).temperature.item(), 0.3, rel_tol=1e-6)


def test_keypoints_follow_what_they_look_for() -> None:
    """A thing that moves by a cell moves its point by a cell, wherever it was."""
    keypoints = Keypoints((2, 8, 8), 1)
    with torch.no_grad():
        for layer in (keypoints.maps[0], keypoints.maps[2]):
            layer.weight.zero_()
            layer.bias.zero_()
            layer.weight[0, 0, 1, 1] = 8.0
        latent = torch.zeros(3, 2, 8, 8)
        for row, (y, x) in enumerate([(2, 3), (2, 4), (5, 4)]):
            latent[row, 0, y, x] = 1.0
        points = keypoints(latent)
    cell = 2.0 / 7.0
    torch.testing.assert_close(points[:, 0], cell * torch.tensor([3.0, 4.0, 4.0]) - 1.0, atol=1e-3, rtol=0)
    torch.testing.assert_close(points[:, 1], cell * torch.tensor([2.0, 2.0, 5.0]) - 1.0, atol=1e-3, rtol=0)


def test_the_policy_may_see_by_keypoints_while_the_critics_do_not() -> None:
    sac = make_sac(policy_head=True, policy_head_kind="keypoints")
    assert sac.policy_projection is not None and sac.policy_projection.keypoints is not None
    assert sac.projection.keypoints is None
    assert make_sac(policy_head_kind="keypoints").policy_projection is None, "of a policy's own head only"
    with pytest.raises(ValueError, match="policy_head_kind"):
        make_sac(policy_head_kind="eyes")


@pytest.mark.parametrize("head", HEADS)
def test_each_view_has_its_own_features(head: str) -> None:
    """Changing the wrist view changes the wrist's features only."""
    sac, batch = make_sac(head=head), make_batch()
    changed = batch.latent.clone()
    changed[:, 1] += 1.0
    with torch.no_grad():
        difference = (
            (sac.projection(batch.latent, batch.proprio) - sac.projection(changed, batch.proprio))
            .abs()
            .sum(0)
        )
    assert difference[:8].max() == 0 and difference[8:16].min() > 0 and difference[16:].max() == 0

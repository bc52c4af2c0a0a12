"""Imagined data enter training when they may, as many as they may, and never otherwise."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from worldsample_core.synthetic import SyntheticSegment
from worldsample_policy.learning.learner import Learner
from worldsample_policy.tiny_learner import make_episode, make_task, tiny_config


def make_learner(**changes: object) -> Learner:
    """Trained on nothing yet; 6 demonstration and 12 online steps in replay."""
    config = tiny_config(
        **{"pacing": True, "pacing_warmup": 0, "synthetic_batch": 8, "synthetic_versions": 2, **changes}
    )
    learner = Learner(config, make_task())
    rng = np.random.default_rng(3)
    seq = 0
    for episode, source in enumerate(("demo", "policy", "policy")):
        for transition in make_episode(rng, 6, episode=episode, first_seq=seq, source=source):  # type: ignore[arg-type]
            learner.add(transition)
            seq += 1
        if source == "demo":
            learner.adapt_encoder()
    return learner


def segment(learner: Learner, success: bool = False, steps: int = 4, **changes: object) -> SyntheticSegment:
    size = learner.config.image_size
    rng = np.random.default_rng(steps)
    actions = rng.uniform(-1.0, 1.0, (steps, 7)).astype(np.float32) * learner.task.active_mask
    proprio = np.zeros((steps + 1, 10), np.float32)
    proprio[:, :3] = 0.5 * (np.asarray(learner.task.box_low) + np.asarray(learner.task.box_high))
    rewards = np.zeros(steps, np.float32)
    rewards[-1] = success
    plain = SyntheticSegment(
        images=rng.integers(0, 255, (steps + 1, 2, size, size, 3), np.uint8),
        proprio=proprio,
        actions=actions.astype(np.float32),
        rewards=rewards,
        terminated=rewards > 0,
        uncertainty=np.full(steps, 0.01, np.float32),
        success_probability=np.full(steps, float(success), np.float32),
        success=success,
        source_episode=1,
        source_step=2,
        world_model_version=1,
    )
    return dataclasses.replace(plain, **changes)


def fill(learner: Learner) -> None:
    for number in range(6):
        assert learner.add_synthetic(segment(learner, success=number % 3 == 0))


def test_without_imagined_data_it_is_hil_serl_to_the_bit() -> None:
    paced, plain = make_learner(), make_learner(pacing=False)
    for _ in range(4):
        assert paced.update() == plain.update()


def test_imagined_data_change_the_critic_and_leave_the_replay_alone() -> None:
    learner, before = make_learner(), make_learner()
    sizes = len(learner.replay.demonstrations), len(learner.replay.online)
    fill(learner)
    logs = learner.update()
    assert "synthetic/critic_loss" in logs
    assert logs["critic_grad_norm"] != before.update()["critic_grad_norm"]
    assert (len(learner.replay.demonstrations), len(learner.replay.online)) == sizes
    status = learner.pacing_status()
    assert status is not None
    assert (status.queue_success, status.queue_failure, status.accepted) == (8, 16, 6)
    assert 0.0 < status.rho <= learner.config.rho_max and status.detail == ""


@pytest.mark.parametrize(
    ("reason", "changes"),
    [
        ("uncertainty", {"uncertainty": np.full(4, 0.9, np.float32)}),
        ("bounds", {"proprio": np.full((5, 10), 9.0, np.float32)}),
        ("bounds", {"actions": np.ones((4, 7), np.float32)}),
        ("label", {"success_probability": np.full(4, 0.9, np.float32)}),
        ("malformed", {"proprio": np.full((5, 10), np.nan, np.float32)}),
        ("malformed", {"images": np.zeros((5, 2, 8, 8, 3), np.uint8)}),
        ("malformed", {"actions": np.full((4, 7), 3.0, np.float32)}),
        ("malformed", {"rewards": np.zeros(3, np.float32)}),
    ],
)
def test_guards_refuse_and_count(reason: str, changes: dict[str, object]) -> None:
    learner = make_learner()
    assert not learner.add_synthetic(segment(learner, **changes))
    assert learner.algorithm.pacing is not None
    assert learner.algorithm.pacing.rejected == {reason: 1}
    assert len(learner.synthetic) == 0


def test_segments_of_old_world_models_are_stale() -> None:
    learner = make_learner()
    learner.add_synthetic(segment(learner, world_model_version=5))
    assert not learner.add_synthetic(segment(learner, world_model_version=3))
    assert learner.algorithm.pacing is not None and learner.algorithm.pacing.rejected == {"stale": 1}


def test_rho_is_zero_while_the_world_model_fails_or_the_policy_warms_up() -> None:
    learner = make_learner()
    fill(learner)
    assert learner.algorithm.pacing is not None
    learner.algorithm.pacing.world_model_ready = False
    assert "synthetic/critic_loss" not in learner.update()
    assert "gate" in learner.algorithm.pacing.report().detail
    learner.algorithm.pacing.world_model_ready = True
    assert "synthetic/critic_loss" in learner.update()
    early = make_learner(pacing_warmup=1000)
    fill(early)
    assert "synthetic/critic_loss" not in early.update()
    assert (
        early.algorithm.pacing is not None and "warm-up: 12 of 1000" in early.algorithm.pacing.report().detail
    )


def test_each_half_can_be_switched_off() -> None:
    learner = make_learner(pacing_schedule=False, pacing_selection=False)
    fill(learner)
    assert learner.algorithm.pacing is not None
    assert learner.algorithm.pacing.rho == learner.config.rho_max
    learner.update()
    assert learner.algorithm.pacing.p_success == pytest.approx(8 / 24), "drawn uniformly over both queues"


def test_the_selection_keeps_the_mean_q_near_the_real_one() -> None:
    learner = make_learner(q_gap_limit=0.02)
    fill(learner)
    pacing = learner.algorithm.pacing
    assert pacing is not None
    pacing.sample(8)
    pacing._successes = 32
    q = torch.cat([torch.linspace(0.6, 1.0, 32), torch.linspace(0.0, 0.4, 32)])
    weight = pacing.weigh(q, 0.4)
    assert weight is not None
    assert abs((weight * q).mean().item() - 0.4) < 0.03
    assert pacing.q_gap < 0.03


def test_a_checkpoint_keeps_the_pacing(tmp_path: Path) -> None:
    learner = make_learner()
    fill(learner)
    for _ in range(4):
        learner.update()
    learner.save(tmp_path / "step", replay=True)
    other = make_learner()
    other.load(tmp_path / "step")
    assert learner.algorithm.pacing is not None and other.algorithm.pacing is not None
    assert other.algorithm.pacing.schedule == learner.algorithm.pacing.schedule
    assert other.algorithm.pacing.accepted == 6 and len(other.synthetic) == 0
    assert "synthetic/critic_loss" not in other.update(), "the queues are filled again first"

"""The learner as a whole: data in, exact continuation, guards."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from worldsample_core.checkpoint_error import CheckpointError
from worldsample_core.observation import InvalidObservation
from worldsample_core.transition import Transition
from worldsample_policy.learner_config import LearnerConfig
from worldsample_policy.learning.learner import Learner
from worldsample_policy.replay.data_mixer import Mixture, RealData
from worldsample_policy.tiny_learner import make_episode, make_task, tiny_config


def episodes(demos: int = 2, online: int = 2, steps: int = 6) -> list[Transition]:
    rng = np.random.default_rng(3)
    result: list[Transition] = []
    for episode in range(demos + online):
        result += make_episode(
            rng,
            steps,
            episode=episode,
            first_seq=len(result),
            source="demo" if episode < demos else "policy",
            interventions=(1, 2),
        )
    return result


def make_learner(transitions: list[Transition] | None = None, config: LearnerConfig | None = None) -> Learner:
    learner = Learner(config or tiny_config(), make_task())
    data = episodes() if transitions is None else transitions
    for transition in data:
        if transition.source == "demo":
            learner.add(transition)
    learner.adapt_encoder()
    for transition in data:
        if transition.source != "demo":
            learner.add(transition)
    return learner


def test_counts_and_buffers() -> None:
    learner = make_learner()
    assert (learner.demo_steps, learner.real_steps) == (12, 12)
    assert len(learner.replay.demonstrations) == 12 + 4  # the interventions of two episodes too
    assert len(learner.replay.online) == 12
    assert len(learner.replay.frames) == 4 * 7  # each frame once
    assert learner.ready and learner.replay.next_seq == 24 and learner.replay.missing() == []


def test_duplicates_are_ignored_and_gaps_reported() -> None:
    data = episodes()
    learner = make_learner(data[:14] + data[17:])
    assert learner.replay.missing() == [(14, 17)] and learner.replay.next_seq == 14
    assert not learner.add(data[20])
    assert learner.replay.duplicates == 1
    assert all(learner.add(transition) for transition in data[14:17])
    assert learner.replay.next_seq == 24 and len(learner.replay.online) == 12


def test_malformed_transitions_are_refused_and_may_come_again() -> None:
    learner, good = make_learner(episodes()[:12]), episodes()[12]
    bad = dataclasses.replace(good, action=np.full(7, np.nan, np.float32))
    with pytest.raises(InvalidObservation, match="finite"):
        learner.add(bad)
    wrong = make_episode(np.random.default_rng(0), 1, first_seq=12, size=64)[0]
    with pytest.raises(InvalidObservation, match=r"learner\.image_size"):
        learner.add(wrong)
    assert learner.add(good)


def test_augmented_copies_depend_on_seed_and_seq_only() -> None:
    data = episodes()
    first, second = make_learner(data), make_learner(data)
    torch.testing.assert_close(first.replay.frames.latents[:20], second.replay.frames.latents[:20])


@pytest.mark.parametrize("with_replay", [True, False])
def test_continues_exactly_from_a_checkpoint(tmp_path: Path, with_replay: bool) -> None:
    data = episodes()
    learner = make_learner(data)
    for _ in range(7):
        learner.update()
    learner.save(tmp_path / "step_7", replay=with_replay)
    expected = [learner.update() for _ in range(6)]

    resumed = Learner(tiny_config(), make_task())
    resumed.load(tmp_path / "step_7")
    if not with_replay:
        assert resumed.checkpoint_seq == 24 and resumed.real_steps == 0
        for transition in data:
            resumed.add(transition)
    assert (resumed.updates, resumed.real_steps, resumed.demo_steps) == (7, 12, 12)
    assert [resumed.update() for _ in range(6)] == expected
    for name, value in learner.actor_state().items():
        np.testing.assert_array_equal(value, resumed.actor_state()[name])


def test_a_checkpoint_is_replaced_whole(tmp_path: Path) -> None:
    learner = make_learner()
    learner.save(tmp_path / "last")
    learner.update()
    learner.save(tmp_path / "last")
    assert [path.name for path in tmp_path.iterdir()] == ["last"]
    resumed = Learner(tiny_config(), make_task())
    resumed.load(tmp_path / "last")
    assert resumed.updates == 1


@pytest.mark.parametrize("damage", ["flip", "truncate", "missing", "json"])
def test_corrupt_checkpoint_names_the_remedy(tmp_path: Path, damage: str) -> None:
    learner = make_learner()
    learner.save(tmp_path / "step")
    path = tmp_path / "step" / "model.safetensors"
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[-3] ^= 0xFF
        path.write_bytes(bytes(data))
    elif damage == "truncate":
        path.write_bytes(bytes(data[:100]))
    elif damage == "missing":
        path.unlink()
    else:
        (tmp_path / "step" / "checkpoint.json").write_text("{")
    before = learner.actor_state()
    with pytest.raises(CheckpointError, match="remove the directory and resume"):
        learner.load(tmp_path / "step")
    for name, value in learner.actor_state().items():
        np.testing.assert_array_equal(value, before[name])


def test_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    make_learner().save(tmp_path / "step")
    with pytest.raises(CheckpointError, match=r"config\.yaml"):
        Learner(tiny_config(hidden=32), make_task()).load(tmp_path / "step")


def test_failed_write_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learner = make_learner()
    learner.save(tmp_path / "step")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("worldsample_policy.learning.checkpoint_directory.save_file", full)
    with pytest.raises(OSError, match="No space"):
        learner.save(tmp_path / "step")
    assert [path.name for path in tmp_path.iterdir()] == ["step"]
    Learner(tiny_config(), make_task()).load(tmp_path / "step")


class PoisonedData(RealData):
    """Every second batch has a reward that is not finite."""

    count = 0

    def sample(self, batch_size: int) -> Mixture:
        self.count += 1
        real = super().sample(batch_size).real
        return Mixture(real._replace(reward=real.reward * float("nan")) if self.count % 2 == 0 else real)


def test_batches_that_are_not_finite_change_nothing() -> None:
    learner = make_learner()
    learner.algorithm.mixer = PoisonedData(learner.replay)
    learner.update()
    before = {name: value.clone() for name, value in learner.agent.state_dict().items()}
    assert learner.update() == {"skipped": 1.0}
    assert learner.skipped_updates == 1
    for name, value in learner.agent.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
    assert "critic_loss" in learner.update()


def test_weights_that_are_not_finite_are_never_exported() -> None:
    learner = make_learner()
    with torch.no_grad():
        next(learner.sac.actor.parameters()).view(-1)[0] = float("nan")
    with pytest.raises(FloatingPointError, match="not published"):
        learner.actor_state()


class HalfImagined(RealData):
    """Imagined data that are the real batch again, all of one weight and with their own rho."""

    def __init__(self, learner: Learner, rho: float, weight: float) -> None:
        super().__init__(learner.replay)
        self.rho, self.weight = rho, weight

    def sample(self, batch_size: int) -> Mixture:
        real = super().sample(batch_size).real
        return Mixture(real, real, self.rho)

    def weigh(self, q: torch.Tensor, q_real: float) -> torch.Tensor:
        return torch.full_like(q, self.weight)


def test_synthetic_data_enter_the_critic_loss_with_rho_and_weight() -> None:
    """E_real[l] + rho E_syn[w l]: weight or rho zero gives the very update without synthetic data."""
    plain, silent, loud = make_learner(), make_learner(), make_learner()
    silent.algorithm.mixer, loud.algorithm.mixer = (
        HalfImagined(silent, 0.3, 0.0),
        HalfImagined(loud, 0.3, 1.0),
    )
    logs = [learner.update() for learner in (plain, silent, loud)]
    assert logs[0]["critic_grad_norm"] == pytest.approx(logs[1]["critic_grad_norm"], rel=1e-6)
    assert logs[2]["critic_grad_norm"] > 1.2 * logs[0]["critic_grad_norm"]
    assert "synthetic/critic_loss" in logs[2]


def test_full_updates_alternate_and_heads_belong_to_the_critic() -> None:
    learner = make_learner()
    assert ["actor_loss" in learner.update() for _ in range(4)] == [False, True, False, True]


@pytest.mark.parametrize(
    "changes",
    [
        {"encoder": "learned"},
        {"actor_trains_head": True},
        {"target_head": False},
        {"head": "spatial_embedding"},
        {"encoder": "autoencoder"},
        {"bc_weight": 0.1},
        {"gripper_margin": 0.1},
    ],
)
def test_every_variant_updates(changes: dict[str, object]) -> None:
    learner = make_learner(config=tiny_config(**changes))
    logs = [learner.update() for _ in range(4)]
    assert all(np.isfinite(list(log.values())).all() for log in logs)
    assert learner.skipped_updates == 0


@pytest.mark.parametrize(
    "changes",
    [{"encoder": "resnet"}, {"head": "x"}, {"batch_size": 0}, {"image_size": 65}, {"gripper_margin": -0.1}],
)
def test_bad_settings_are_named(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="learner"):
        tiny_config(**changes)


def test_a_failed_demonstration_is_experience_and_never_imitated() -> None:
    data = episodes(demos=2)
    data[5] = dataclasses.replace(data[5], success=False, terminated=False, truncated=True, reward=0.0)
    learner = make_learner(data)
    assert learner.demo_steps == 12
    assert len(learner.replay.demonstrations) == 6 + 4 and len(learner.replay.online) == 12 + 6
    batch = learner.replay.draw([(learner.replay.online, 200)])
    assert 0.0 < float(batch.demonstration.mean()) < 0.5  # the interventions alone


def test_a_pushed_operator_is_imitated_in_what_was_intended() -> None:
    intended = np.full(7, 0.75, np.float32)
    data = [
        dataclasses.replace(step, intended=intended) if step.source == "demo" else step for step in episodes()
    ]
    learner = make_learner(data)
    batch = learner.replay.draw([(learner.replay.demonstrations, 64)])
    pushed = (batch.label == 0.75).all(1)
    assert int(pushed.sum()) > 0 and not (batch.action == 0.75).all(1).any()
    online = learner.replay.draw([(learner.replay.online, 64)])
    torch.testing.assert_close(online.label, online.action)


def test_the_heads_cannot_see_what_proprio_use_leaves_out() -> None:
    learner = make_learner(config=tiny_config(proprio_use="zg"))
    seen = learner.agent.standardise(torch.randn(50, 10))
    assert seen[:, [2, 6]].std(0).min() > 0.0 and not seen[:, [0, 1, 3, 4, 5, 7, 8, 9]].any()


def test_dropout_loses_its_share_and_repeats_by_seed() -> None:
    config = tiny_config(dropout=0.25)
    batches = []
    for _ in range(2):
        learner = make_learner(config=config)
        batch = learner.replay.sample(64)
        batches.append(learner.intake.augment(batch))
        kept = batches[-1].latent != 0.0
        assert 0.7 < float(kept.float().mean()) < 0.8
        torch.testing.assert_close(batches[-1].latent[kept], (batch.latent / 0.75)[kept])
        features = learner.sac.features(batch, torch.Generator().manual_seed(1))
        assert 0.15 < float((features == 0.0).float().mean()) < 0.35
    torch.testing.assert_close(batches[0].latent, batches[1].latent)


def test_the_value_may_leave_the_heads_alone() -> None:
    gradients = {}
    for trains in (True, False):
        learner = make_learner(config=tiny_config(value_trains_head=trains))
        batch = learner.replay.sample(16)
        features = learner.sac.features(batch).detach().requires_grad_()
        learner.sac.log_temperature.data.fill_(-50.0)  # the value term alone
        loss, _ = learner.sac.actor_loss(batch, features, torch.zeros(16, learner.sac.actions))
        gradients[trains] = torch.autograd.grad(loss, features)[0]
    through_the_action = gradients[False]
    assert through_the_action.abs().sum() > 0.0
    assert not torch.allclose(through_the_action, gradients[True])

"""The learner as a whole: data in, exact continuation, guards."""

from __future__ import annotations

import copy
import dataclasses
import errno
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from worldsample_core.checkpoint_error import CheckpointError
from worldsample_core.observation import InvalidObservation
from worldsample_core.synthetic import SyntheticSegment
from worldsample_core.transition import Transition
from worldsample_policy.acting.actor import Actor
from worldsample_policy.learner_config import LearnerConfig
from worldsample_policy.learning import checkpoint_directory
from worldsample_policy.learning.learner import Learner
from worldsample_policy.learning.learner_checkpoint import restore_generator
from worldsample_policy.learning.learner_checkpoints import LearnerCheckpoints
from worldsample_policy.replay.data_mixer import Mixture, RealData
from worldsample_policy.sac.policy_export import export_policy
from worldsample_policy.tiny_learner import make_episode, make_imagined, make_task, tiny_config


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


def everything(learner: Learner) -> tuple[dict[str, torch.Tensor], dict[str, object]]:
    """All that an update depends on, as copies and plain values."""
    tensors = {f"agent.{name}": value.clone() for name, value in learner.agent.state_dict().items()}
    tensors |= {f"optimizer.{name}": value.clone() for name, value in learner.optimiser.state().items()}
    tensors |= {"generator": learner.intake.generator.get_state()}
    counts = (learner.updates, learner.skipped_updates, learner.real_steps, learner.demo_steps)
    plain = {"counts": counts, "replay": learner.replay.counters(), **learner.algorithm.counters()}
    return tensors, copy.deepcopy(plain)


@pytest.mark.parametrize("damage", ["generator", "optimizer", "replay", "rng", "counts", "position"])
def test_attack_11_a_load_that_fails_changes_nothing(tmp_path: Path, damage: str) -> None:
    other = make_learner(episodes(3, 3))
    for _ in range(4):
        other.update()
    other.save(tmp_path / "step", replay=True)
    files, counters = checkpoint_directory.read(tmp_path / "step")
    if damage == "generator":
        files["generator"]["state"] = files["generator"]["state"][:100].clone()
    elif damage == "optimizer":
        name = next(name for name in files["optimizer"] if name.endswith("exp_avg"))
        files["optimizer"][name] = torch.zeros(3)
    elif damage == "replay":
        del files["replay"]["online.action"]
    elif damage == "rng":
        counters["replay"]["rng"]["bit_generator"] = "PCG65"
    elif damage == "position":  # found by bench fuzz, after the networks had been replaced
        del files["replay"], counters["replay"]["next_seq"]
        counters["has_replay"] = False
    else:
        counters["demo_steps"] = None
    kept = {name: value for name, value in counters.items() if name not in ("format", "sha256")}
    checkpoint_directory.write(tmp_path / "damaged", files, kept)

    learner, straight = make_learner(), make_learner()
    for each in (learner, straight):
        each.update()
    tensors, plain = everything(learner)
    with pytest.raises(CheckpointError, match="does not fit this learner"):
        learner.load(tmp_path / "damaged")
    after, plain_after = everything(learner)
    assert plain_after == plain
    assert all(torch.equal(after[name], value) for name, value in tensors.items())
    assert [learner.update() for _ in range(3)] == [straight.update() for _ in range(3)], "and it goes on"


@pytest.mark.parametrize("told", [True, False])
def test_attack_11_a_checkpoint_of_another_device_is_gone_on_from(tmp_path: Path, told: bool) -> None:
    """As a card writes it: its generator's state has 16 bytes; a checkpoint of 0.1.0 does not name it."""
    data = episodes()
    learner = make_learner(data)
    for _ in range(5):
        learner.update()
    learner.save(tmp_path / "step")
    files, counters = checkpoint_directory.read(tmp_path / "step")
    assert counters["device"] == "cpu"
    files["generator"]["state"] = torch.arange(16, dtype=torch.uint8)
    kept = {name: value for name, value in counters.items() if name not in ("format", "sha256", "device")}
    checkpoint_directory.write(tmp_path / "card", files, kept | ({"device": "cuda"} if told else {}))
    logs = []
    for _ in range(2):
        resumed = Learner(tiny_config(), make_task())
        resumed.load(tmp_path / "card")
        for transition in data:
            resumed.add(transition)
        assert resumed.updates == 5 and resumed.loaded_from == "cuda"
        for name, value in learner.actor_state().items():
            np.testing.assert_array_equal(value, resumed.actor_state()[name])
        logs.append([resumed.update() for _ in range(3)])
    assert logs[0] == logs[1], "it repeats by its seed from there on"


class GeneratorOfACard:
    """Takes states as a card's generator does: 16 bytes."""

    def __init__(self) -> None:
        self.device = torch.device("cuda", 0)
        self.seeds: list[int] = []
        self.state: torch.Tensor | None = None

    def set_state(self, state: torch.Tensor) -> None:
        if state.numel() != 16:
            raise RuntimeError("RNG state is wrong size")
        self.state = state

    def manual_seed(self, seed: int) -> None:
        self.seeds.append(seed)


def test_attack_11_a_card_goes_on_from_a_checkpoint_of_the_cpu() -> None:
    card, drawn = GeneratorOfACard(), torch.Generator().get_state()
    restore_generator(card, drawn, "cpu", (7, 500))  # type: ignore[arg-type]
    restore_generator(card, drawn, "cpu", (7, 500))  # type: ignore[arg-type]
    restore_generator(card, drawn, "cpu", (7, 501))  # type: ignore[arg-type]
    assert card.state is None and card.seeds[0] == card.seeds[1] != card.seeds[2]
    assert all(0 <= seed < 2**63 for seed in card.seeds)
    restore_generator(card, drawn[:16], "cuda", (7, 500))  # type: ignore[arg-type]
    assert card.state is not None and len(card.seeds) == 3
    with pytest.raises(RuntimeError, match="wrong size"):
        restore_generator(card, drawn, "cuda", (7, 500))  # type: ignore[arg-type]


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


def test_attack_minor_what_killed_writers_have_left_is_cleared(tmp_path: Path) -> None:
    """Killed while it wrote, or between two renames: then the old checkpoint takes its place again."""
    checkpoint_directory.write(tmp_path / "checkpoints" / "step_10", {}, {"updates": 1})
    folder = tmp_path / "checkpoints"
    (folder / ".step_20.4711.tmp").mkdir()
    (folder / ".step_20.4711.tmp" / "half.safetensors").write_text("half")
    (folder / "step_10").rename(folder / ".step_10.4711.old")
    (folder / ".weights_version").write_text("3")
    checkpoints = LearnerCheckpoints(tmp_path, 3)
    assert sorted(path.name for path in folder.iterdir()) == [".weights_version", "step_10"]
    assert [step for step, _ in checkpoints.steps()] == [10]


def test_attack_minor_a_full_disk_is_told_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Safetensors tells of it in the text of an error of its own."""

    def save_file(*_: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(checkpoint_directory, "save_file", save_file)
    with pytest.raises(OSError, match="No space left") as said:
        checkpoint_directory.write(tmp_path / "step_1", {"agent": {}}, {})
    assert said.value.errno == errno.ENOSPC and not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["lr", "tau", "std_max"])
@pytest.mark.parametrize("value", [-1.0, 0.0, float("inf")])
def test_attack_minor_a_rate_that_is_no_rate_is_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"learner.{name}"):
        dataclasses.replace(LearnerConfig(), **{name: value})  # type: ignore[arg-type]


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


def parameters_of(learner: Learner) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in learner.sac.state_dict().items()}


def changed(before: dict[str, torch.Tensor], learner: Learner) -> set[str]:
    """Parts of SAC, by the first word of their names, of which a parameter has changed."""
    after = learner.sac.state_dict()
    return {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}


OWN = {"policy_head": True, "gripper_policy": True, "bc_weight": 1.0}


def test_a_policy_with_heads_of_its_own_leaves_those_of_the_critics_alone() -> None:
    learner = make_learner(config=tiny_config(**OWN, critic_actor_ratio=2))
    before = parameters_of(learner)
    learner.update()
    assert learner.updates == 1 and changed(before, learner) == {"projection", "critic", "gripper", "target"}
    loss, _ = learner.sac.actor_loss(
        batch := learner.replay.sample(16),
        learner.sac.policy_features(batch.latent, batch.proprio),
        torch.zeros(16, learner.sac.actions),
        1.0,
        learner.sac.features(batch).detach(),
    )
    loss.backward()
    assert learner.sac.policy_projection is not None and learner.sac.gripper_policy is not None
    for part in (learner.sac.policy_projection, learner.sac.actor, learner.sac.gripper_policy):
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters())
    assert all(p.grad is None for p in learner.sac.projection.parameters())
    learner.update()
    assert changed(before, learner) >= {"policy_projection", "actor", "gripper_policy", "log_temperature"}


def test_pretraining_of_such_a_policy_clones_and_nothing_else() -> None:
    learner = make_learner(config=tiny_config(**OWN))
    before = parameters_of(learner)
    first = learner.pretrain(1)["bc_loss"]
    assert learner.pretrain(60)["bc_loss"] < first - 0.5
    assert changed(before, learner) == {"policy_projection", "actor", "gripper_policy"}


def test_the_gripper_policy_leans_to_what_is_worth_more_and_to_what_was_shown() -> None:
    learner = make_learner(config=tiny_config(**OWN))
    sac, batch = learner.sac, learner.replay.sample(64)
    assert sac.gripper is not None and sac.gripper_policy is not None
    states = sac.policy_features(batch.latent, batch.proprio).detach()
    with torch.no_grad():
        for p in (*sac.critic.parameters(), *sac.gripper.parameters(), *sac.gripper_policy.parameters()):
            p.zero_()
        sac.gripper.network[-1].bias.copy_(torch.tensor([0.0, 0.3, 0.9]))
    noise = torch.zeros(64, sac.actions)
    loss, _ = sac.actor_loss(batch, states, noise, 0.0, states)
    _, log_prob = sac.actor.sample(states, noise)
    expected = (sac.temperature * log_prob).mean() - 0.4  # equal chances of 0, 0.3 and 0.9
    torch.testing.assert_close(loss, expected)
    gradient = torch.autograd.grad(loss, sac.gripper_policy.network[-1].bias)[0]
    assert gradient[2] < 0.0 < gradient[0], "the command of the highest value gains"
    cloned, _ = sac.actor_loss(batch, states, noise, 1.0, states)
    with torch.no_grad():
        sac.gripper_policy.network[-1].bias.fill_(0.0)
    alone = -(batch.demonstration * sac.actor.log_prob(states, sac.continuous(batch.label))).sum()
    alone = alone / batch.demonstration.sum() + np.log(3.0)
    torch.testing.assert_close(cloned - loss, alone, rtol=1e-4, atol=1e-4)


def test_a_policy_with_heads_of_its_own_acts_as_it_was_trained(tmp_path: Path) -> None:
    learner = make_learner(config=tiny_config(**OWN))
    learner.pretrain(5)
    actor = Actor(learner.config, make_task())
    actor.load(learner.actor_state())
    step = episodes()[0]
    action, info = actor.act(step.observation, deterministic=True)
    sac = learner.sac
    latent, state = learner.intake.encode(step.observation.images[None], step.observation.proprio[None])
    features = sac.policy_features(latent.float(), state)
    assert sac.gripper_policy is not None
    mean = torch.tanh(sac.actor(features)[0])[0]
    np.testing.assert_allclose(action[sac.active.numpy()], mean.detach().numpy(), atol=2e-3)
    logits = sac.gripper_policy(features)[0]
    np.testing.assert_allclose(info.gripper_values, logits.detach().numpy(), atol=2e-3)
    learner.save(tmp_path / "saved", replay=True)
    again = Learner(tiny_config(**OWN), make_task())
    again.load(tmp_path / "saved")
    assert changed(parameters_of(learner), again) == set()
    with pytest.raises(CheckpointError):
        Learner(tiny_config(), make_task()).load(tmp_path / "saved")


def test_another_algorithm_refuses_heads_of_the_policy_alone() -> None:
    with pytest.raises(ValueError, match="one network"):
        tiny_config(algorithm="vlaw", policy_head=True)


def corrections(count: int) -> list[SyntheticSegment]:
    """Segments whose intended action is 0.75 everywhere, and whose executed one is not."""
    rng = np.random.default_rng(5)
    made = []
    for number in range(count):
        steps = make_episode(rng, 4, episode=number, first_seq=0, source="policy")
        frames = [steps[0].observation, *(step.next_observation for step in steps)]
        flat = np.zeros(4, np.float32)
        proprio = np.stack([frame.proprio for frame in frames])
        proprio[:, :3] = np.add(make_task().box_low, make_task().box_high) / 2.0
        made.append(
            SyntheticSegment(
                np.stack([frame.images for frame in frames]),
                proprio,
                np.stack([step.action for step in steps]) * make_task().active_mask,
                flat, flat > 1.0, flat, flat, False, number, 0, 1,
                intended=np.where(make_task().active_mask, 0.75, 0.0)[None].repeat(4, 0).astype(np.float32),
            )
        )  # fmt: skip
    return made


IMAGINES = {**OWN, "pacing": True, "imagined_cloning": 1.0, "correction_batch": 8, "pacing_warmup": 10**6}


def test_imagined_corrections_are_cloned_and_reach_nothing_else() -> None:
    learner = make_learner(config=tiny_config(**IMAGINES))
    others = make_learner(config=tiny_config(**{**IMAGINES, "imagined_cloning": 0.0}))
    for segment in corrections(6):
        assert learner.add_synthetic(segment) and not others.add_synthetic(segment)
    assert len(learner.synthetic.corrections) == 24 and len(learner.synthetic) == 0
    assert len(learner.replay.demonstrations) == len(others.replay.demonstrations)
    batch = learner.synthetic.sample_corrections(16)
    assert (batch.label[:, make_task().active_mask] == 0.75).all() and batch.demonstration.all()
    left = {}
    for name, each in (("with", learner), ("without", others)):
        for _ in range(100):
            logs = each.update() | each.update()
        assert ("synthetic/bc_loss" in logs) == (name == "with")
        states = each.sac.policy_features(batch.latent, batch.proprio)
        left[name] = float(each.sac.cloning_loss(batch, states).detach())
    assert left["with"] < left["without"] - 0.3


@pytest.mark.parametrize("warmup", [0, 10**6])
def test_the_actor_learns_on_imagined_states_in_proportion_to_rho(warmup: int) -> None:
    """Its loss there is added once imagined data count; while rho is 0 nothing of the update changes."""
    left = []
    for weight in (0.0, 1.0):
        learner = make_learner(
            config=tiny_config(
                **OWN, pacing=True, imagined_actor=weight, pacing_warmup=warmup, synthetic_batch=8
            )
        )
        rng = np.random.default_rng(3)
        for number in range(8):
            segment = make_imagined(rng, make_task(), learner.config.image_size, success=number % 2 == 0)
            assert learner.add_synthetic(segment)
        logs = learner.update() | learner.update()
        assert ("synthetic/q_policy" in logs) == (weight > 0.0 and warmup == 0)
        left.append(learner.sac.flat_actor.flat.detach().clone())
    assert torch.equal(*left) == (warmup > 0)


def test_corrections_count_only_while_their_world_model_passes_its_test() -> None:
    learner = make_learner(config=tiny_config(**IMAGINES))
    for segment in corrections(6):
        learner.add_synthetic(segment)
    learner.algorithm.gate(False)
    assert all("synthetic/bc_loss" not in learner.update() for _ in range(4))
    learner.algorithm.gate(True)
    assert any("synthetic/bc_loss" in learner.update() for _ in range(4))


def test_corrections_of_old_world_models_go() -> None:
    learner = make_learner(config=tiny_config(**IMAGINES, synthetic_versions=2))
    first, second = corrections(2)
    learner.add_synthetic(first)
    learner.add_synthetic(dataclasses.replace(second, world_model_version=3))
    assert len(learner.synthetic.corrections) == 4 and learner.synthetic.evicted == 4


def test_the_average_of_the_actor_acts_and_outlives_a_checkpoint(tmp_path: Path) -> None:
    """The running mean of the actor's weights is what is published, exported and restored."""
    config = tiny_config(**OWN, actor_average=0.5)
    learner = make_learner(config=config)
    name = "sac.actor.network.0.weight"
    averaged = learner.actor_state()[name].astype(np.float64)
    for number in range(1, 5):
        learner.update()
        if number % config.critic_actor_ratio == 0:
            done = number // config.critic_actor_ratio
            keep = min(0.5, done / (done + 10.0))
            newest = learner.sac.actor.network[0].weight.detach().numpy()
            averaged = keep * averaged + (1.0 - keep) * newest
    np.testing.assert_allclose(learner.actor_state()[name], averaged, rtol=1e-5)
    assert not np.allclose(averaged, newest)
    learner.save(tmp_path / "whole", replay=True)
    restored = Learner(config, learner.task)
    restored.load(tmp_path / "whole")
    export_policy(tmp_path / "whole", tmp_path / "exported")
    exported = load_file(tmp_path / "exported" / "policy.safetensors")
    np.testing.assert_allclose(exported[name].numpy(), averaged, rtol=1e-5)
    for each in (learner, restored):
        each.update()
    Actor(config, learner.task).load(restored.actor_state())
    for key, value in learner.actor_state().items():
        np.testing.assert_array_equal(value, restored.actor_state()[key])
    assert exported.keys() == learner.actor_state().keys()


def test_an_average_of_an_actor_whose_heads_are_the_critics_is_refused() -> None:
    with pytest.raises(ValueError, match="policy_head"):
        tiny_config(actor_average=0.9)

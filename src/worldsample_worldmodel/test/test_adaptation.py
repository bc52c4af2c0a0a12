"""A run's life in small: demonstrations, refinement, release, imagination, checkpoint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from worldsample_core.checkpoint_error import CheckpointError
from worldsample_core.config import TaskConfig
from worldsample_worldmodel.data.episodes import Episode
from worldsample_worldmodel.imagination.imagination import ActingPolicy
from worldsample_worldmodel.imagination.imagination_config import ImaginationConfig
from worldsample_worldmodel.model import model_file
from worldsample_worldmodel.model.world_model_config import WorldModelConfig
from worldsample_worldmodel.reward.reward_model_config import RewardModelConfig
from worldsample_worldmodel.training.adaptation import Adaptation
from worldsample_worldmodel.training.gate_config import GateConfig

TASK = TaskConfig(
    name="square", horizon=12, gamma=0.9, active=(True,) + (False,) * 6, action_scale=(0.012,) * 7,
    box_low=(0.2, -0.1, -0.1), box_high=(0.5, 0.1, 0.1), reset_joints=(0.0,) * 6, reset_gripper=0.0,
    max_real_steps=100,
)  # fmt: skip
REWARD = RewardModelConfig(image_size=32, width=8, hidden=16, updates=20, batch=16)


@pytest.fixture
def adaptation(tiny: WorldModelConfig, episodes: list[Episode]) -> Adaptation:
    result = Adaptation(
        TASK, replace(tiny, average=0.9, learning_rate=3e-3), REWARD, GateConfig(psnr=5.0, moving_gain=-99.0),
        ImaginationConfig(uncertainty_limit=1.0, undecided=0.0),
    )  # fmt: skip
    for episode in episodes[:4]:
        result.add(replace(episode, demo=True))
    return result


def test_the_whole_life(adaptation: Adaptation, episodes: list[Episode], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no episodes"):
        Adaptation(TASK, adaptation.config, REWARD).train(1)
    adaptation.train(30)
    assert not adaptation.gate_open and adaptation.version == 0
    adaptation.release()
    for episode in episodes:
        adaptation.add(episode)
    adaptation.train(10)
    evaluation = adaptation.release()
    assert evaluation is not None and adaptation.version == 2 and adaptation.gate_open
    report = adaptation.fit_reward_model(8)
    assert report.validation_positives > 0

    made = adaptation.imagination.generate(adaptation.memory.training, 12)
    assert made
    for segment in made:
        steps = len(segment)
        source = next(e for e in adaptation.memory.training if e.number == segment.source_episode)
        assert segment.images.shape == (steps + 1, 2, 32, 32, 3) and segment.proprio.shape == (steps + 1, 10)
        assert segment.source_step + steps <= len(source)
        assert segment.validate().world_model_version == 2
        assert not segment.actions[:, 1:].any()  # inactive
        assert segment.success == bool(segment.rewards[-1]) == bool(segment.terminated[-1])
        assert not segment.rewards[:-1].any()

    path = tmp_path / "world_model.safetensors"
    adaptation.save(path)
    restored = Adaptation(TASK, adaptation.config, REWARD, adaptation.gate)
    for episode in adaptation.memory.training:
        restored.add(episode)
    restored.load(path)
    assert restored.version == 2 and restored.trainer.updates == 40
    for (name, a), b in zip(
        adaptation.generator.state_dict().items(), restored.generator.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(a, b, msg=name)
    restored.train(1)
    assert not list(tmp_path.glob(".*"))

    with pytest.raises(CheckpointError, match="another world model"):
        Adaptation(TASK, replace(adaptation.config, width=16), REWARD).load(path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(CheckpointError, match="cannot be read"):
        restored.load(path)


def test_a_model_file_without_a_digest_is_one_of_the_first_version(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.ones(3)}, path, {"counters": '{"updates": 7}'})
    tensors, counters = model_file.read(path)
    assert counters == {"updates": 7} and tensors["a"].tolist() == [1.0, 1.0, 1.0]


def test_attack_02_every_flipped_bit_of_a_world_model_is_found(tmp_path: Path) -> None:
    path = tmp_path / "step_1.safetensors"
    tensors = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(True), "c": torch.ones(3).bfloat16()}
    model_file.write(path, tensors, {"version": 3})
    whole = path.read_bytes()
    found, counters = model_file.read(path)
    assert counters == {"version": 3} and all(torch.equal(found[name], tensors[name]) for name in tensors)
    for bit in range(8 * len(whole)):
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        try:
            found, counters = model_file.read(path)
        except CheckpointError:
            continue
        same = counters == {"version": 3} and found.keys() == tensors.keys()
        assert same and all(torch.equal(found[name], tensors[name]) for name in tensors), f"bit {bit}"


@pytest.mark.parametrize("gone", ["updates", "version"])
def test_attack_11_a_load_that_fails_changes_nothing(
    adaptation: Adaptation, tmp_path: Path, gone: str
) -> None:
    path = tmp_path / "world_model.safetensors"
    adaptation.save(path)
    tensors, counters = model_file.read(path)
    moved = {name: value + 1 if value.is_floating_point() else value for name, value in tensors.items()}
    del counters[gone]
    model_file.write(path, moved, counters)
    models = (adaptation.trainer.model, adaptation.trainer.averaged, adaptation.generator)
    before = [{name: value.clone() for name, value in each.state_dict().items()} for each in models]
    with pytest.raises(CheckpointError, match="another world model"):
        adaptation.load(path)
    for each, was in zip(models, before, strict=True):
        assert all(torch.equal(value, was[name]) for name, value in each.state_dict().items())


def test_it_is_never_silent_for_long_while_it_fits_the_reward_model(adaptation: Adaptation) -> None:
    """Whoever waits for it in lockstep gives it up when it says nothing new for a while."""
    adaptation.train(5)
    adaptation.release()
    said: list[str] = []
    adaptation.fit_reward_model(40, said.append)  # 40 from anywhere, 40 at the ends of successes
    known = [f"imagining frames with known labels, {done} of 80 segments" for done in range(0, 80, 16)]
    fitting = [f"fitting the reward model, {done} of 20 updates" for done in (0, 10)]
    assert said == [*known, *fitting]


class Right:
    """A policy that goes right."""

    def act(
        self, images: np.ndarray, proprio: np.ndarray, rng: np.random.Generator | None = None
    ) -> np.ndarray:
        return np.tile(np.array([1.0] + [0.0] * 6, np.float32), (len(images), 1))


def test_what_if_nobody_had_helped(adaptation: Adaptation, episodes: list[Episode]) -> None:
    helped = np.zeros(12, np.bool_)
    helped[[5, 6, 7, 10]] = True
    demo = replace(episodes[8], demo=True, interventions=np.ones(12, np.bool_))
    assert not len(demo.takeovers()) and not len(episodes[7].takeovers())
    adaptation.add(replace(episodes[5], interventions=helped))
    adaptation.train(1)
    adaptation.release()
    imagination, memory = adaptation.imagination, adaptation.memory.training
    acting = ActingPolicy(Right(), 3)
    made = imagination.generate(memory, 24, acting=acting, takeovers=True)
    assert made and {segment.source_episode for segment in made} == {5}
    assert {segment.source_step for segment in made} <= {2, 3, 4, 5, 7, 8, 9, 10}
    assert all(segment.on_policy and (segment.actions[:, 0] == 1.0).all() for segment in made)
    with pytest.raises(ValueError, match="no person took over"):
        imagination.generate(memory[:4], 1, acting=acting, takeovers=True)


def test_weights_with_nan_are_not_released(adaptation: Adaptation) -> None:
    adaptation.train(1)
    adaptation.release()
    with torch.no_grad():
        next(adaptation.trainer.averaged.parameters()).fill_(torch.nan)
    adaptation.release()
    assert adaptation.version == 1
    assert all(bool(p.isfinite().all()) for p in adaptation.generator.parameters())


def test_guards_say_why(adaptation: Adaptation, episodes: list[Episode]) -> None:
    adaptation.train(1)
    adaptation.release()
    imagination = adaptation.imagination
    segment = imagination.from_starts(adaptation.memory.training, [(0, 0)])
    assert segment
    good = segment[0]
    far = good.proprio.copy()
    far[-1, 1] = 9.0
    assert imagination.reason_to_reject(replace(good, proprio=far)) == "bounds"
    assert imagination.reason_to_reject(replace(good, actions=good.actions + 3.0)) == "actions"
    unsure = np.full_like(good.uncertainty, 2.0)
    assert imagination.reason_to_reject(replace(good, uncertainty=unsure)) == "uncertainty"
    with pytest.raises(ValueError, match="no episode"):
        imagination.generate([], 1)

"""The world model's order of work: counted in real steps, the same for a seed, unharmed by what is broken."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from worldsample_core.config import TaskConfig
from worldsample_core.observation import Observation
from worldsample_core.settings import RunConfig
from worldsample_core.synthetic import SyntheticSegment
from worldsample_core.transition import Transition
from worldsample_worldmodel.imagination.imagination_config import ImaginationConfig
from worldsample_worldmodel.model.world_model_config import WorldModelConfig
from worldsample_worldmodel.reward.reward_model_config import RewardModelConfig
from worldsample_worldmodel.running.backpressure import Backpressure
from worldsample_worldmodel.running.imagined_twin import NothingToImagine, imagined_twin
from worldsample_worldmodel.running.world_model_checkpoints import WorldModelCheckpoints
from worldsample_worldmodel.running.worldmodel_loop import WorldModelLoop
from worldsample_worldmodel.training.adaptation import Adaptation
from worldsample_worldmodel.training.gate_config import GateConfig
from worldsample_worldmodel.worldmodel_config import WorldModelNodeConfig

from .conftest import moving_square

TASK = TaskConfig(
    name="square", horizon=12, gamma=0.9, active=(True,) + (False,) * 6, action_scale=(0.012,) * 7,
    box_low=(0.2, -0.1, -0.1), box_high=(0.6, 0.1, 0.1), reset_joints=(0.0,) * 6, reset_gripper=0.0,
    max_real_steps=100,
)  # fmt: skip
MODEL = WorldModelConfig(
    image_size=32, width=8, latent=16, members=2, flow_modes=2, keypoints=2, horizon=4, batch=2,
    frames_per_segment=1, motions=8, warmup=1, average=0.9, autocast=False,
)  # fmt: skip
CONFIG = WorldModelNodeConfig(
    lag=20, adapt_updates=3, updates_per_step=0.25, release_every=24, segments_per_step=0.5,
    generation_batch=4, reward_segments=4, model=MODEL,
    reward=RewardModelConfig(image_size=32, width=8, hidden=16, updates=11, batch=16),
    gate=GateConfig(psnr=1.0, moving_gain=-99.0, segments=8),
    imagination=ImaginationConfig(uncertainty_limit=9.0, box_margin=9.0, undecided=0.0),
)  # fmt: skip
DEMOS = 2
STEPS = 12


def run_of(episodes: int, size: int = 32) -> list[Transition]:
    """Demonstrations and ``episodes`` real episodes of twelve steps, some of them successful."""
    transitions: list[Transition] = []
    for number in range(DEMOS + episodes):
        episode = moving_square(number, STEPS, success=number % 3 != 2, demo=number < DEMOS)
        frames = [
            Observation(image[:, :size, :size], proprio, 0.1 * i)
            for i, (image, proprio) in enumerate(zip(episode.images, episode.proprio, strict=True))
        ]
        for step in range(STEPS):
            last = step == STEPS - 1
            transitions.append(
                Transition(
                    frames[step],
                    episode.actions[step],
                    float(last and episode.success),
                    frames[step + 1],
                    terminated=last and episode.success,
                    truncated=last and not episode.success,
                    success=last and episode.success,
                    intervention=False,
                    seq=len(transitions),
                    episode=number,
                    step=step,
                    source="demo" if episode.demo else "policy",
                    policy_version=number,
                    run="r",
                )
            )
    return transitions


class WorldModelHarness:
    """A loop with its run folder; records what it publishes."""

    def __init__(
        self,
        folder: Path,
        config: WorldModelNodeConfig = CONFIG,
        index: int = 0,
        count: int = 1,
        demos: int = DEMOS,
        lockstep: bool = True,
    ) -> None:
        self.folder = folder
        self.segments: list[SyntheticSegment] = []
        self.warnings: list[str] = []
        self.states: list[str] = []
        self.details: list[str] = []
        adaptation = Adaptation(
            TASK, config.model, config.reward, config.gate, config.imagination, config.counterfactual
        )
        run = RunConfig("r", str(folder), image_size=32, demos=demos, lockstep=lockstep)
        name = "worldmodel" if count == 1 else f"worldmodel_{index}"
        checkpoints = WorldModelCheckpoints(folder, name)
        self.loop = WorldModelLoop(adaptation, config, run, checkpoints, self, name, index, count)
        self.restored = self.loop.restore()

    def publish_segment(self, segment: SyntheticSegment) -> None:
        self.segments.append(segment)

    def progressed(self) -> None:
        self.states.append(self.loop.state)
        self.details.append(self.loop.detail)

    def warn(self, message: str) -> None:
        self.warnings.append(message)

    def feed(self, transitions: Sequence[Transition]) -> WorldModelHarness:
        for transition in transitions:
            self.loop.intake.offer(transition)
        return self

    def work(self) -> WorldModelHarness:
        while self.loop.work():
            pass
        return self


def same(first: Sequence[SyntheticSegment], second: Sequence[SyntheticSegment]) -> bool:
    return len(first) == len(second) and all(
        a.effective_step == b.effective_step
        and np.array_equal(a.actions, b.actions)
        and np.array_equal(a.images, b.images)
        for a, b in zip(first, second, strict=True)
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> WorldModelHarness:
    """A node that has done the work of four real episodes, for tests that only read it and its folder."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in every test: the last bit of a sum depends on it
    harness = WorldModelHarness(tmp_path_factory.mktemp("finished")).feed(run_of(4)).work()
    torch.set_num_threads(threads)
    return harness


def test_each_episode_gets_the_work_that_it_asks_for(finished: WorldModelHarness) -> None:
    harness, loop = finished, finished.loop
    assert loop.adaptation.trainer.updates == 3 + 4 * STEPS // 4
    assert loop.adaptation.version == 1 + 4 * STEPS // 24
    assert loop.completed_steps == 4 * STEPS
    assert len(harness.segments) + loop.rejected == 4 * STEPS // 2 and len(harness.segments) > 10
    for seq, segment in enumerate(harness.segments):
        assert (segment.seq, segment.publisher, segment.run) == (seq, "worldmodel", "r")
        segment.validate()
    assert [s.effective_step for s in harness.segments] == sorted(s.effective_step for s in harness.segments)
    assert {s.effective_step for s in harness.segments} == {STEPS * i + 20 for i in range(1, 5)}
    for segment in harness.segments:  # only from what had been there when its episode ended
        assert segment.source_episode < DEMOS + (segment.effective_step - 20) // STEPS
        assert segment.policy_version == segment.source_episode
    assert harness.states.index("adapting") < harness.states.index("generating")
    assert loop.published.transitions == sum(map(len, harness.segments))


def test_a_seed_repeats_however_the_transitions_arrive(tmp_path: Path, finished: WorldModelHarness) -> None:
    second = WorldModelHarness(tmp_path / "b")
    for transition in run_of(4):
        second.feed([transition]).work()
    assert finished.segments and same(finished.segments, second.segments)
    other = WorldModelHarness(tmp_path / "c", replace(CONFIG, model=replace(MODEL, seed=1)))
    other.feed(run_of(4)).work()
    assert not same(finished.segments, other.segments)


def test_a_closed_gate_lets_nothing_out_and_holds_nothing_up(tmp_path: Path) -> None:
    harness = WorldModelHarness(tmp_path, replace(CONFIG, gate=GateConfig(psnr=60.0, segments=8)))
    harness.feed(run_of(3)).work()
    assert not harness.segments and not harness.loop.gate_open
    assert harness.loop.completed_steps == 3 * STEPS
    assert "quality" in harness.loop.description()


def test_work_comes_in_small_pieces(tmp_path: Path) -> None:
    harness = WorldModelHarness(tmp_path)
    harness.feed(run_of(1))
    generated, updates = 0, 0
    while harness.loop.work():
        trained = harness.loop.adaptation.trainer.updates
        assert trained - updates <= 1
        assert len(harness.segments) - generated <= CONFIG.generation_batch
        generated, updates = len(harness.segments), trained
    said = [detail for detail in harness.details if "evaluating" in detail or "reward model" in detail]
    assert len(said) >= 2  # a release is longer: the node looks at what came in meanwhile


@pytest.mark.parametrize("killed_after", [STEPS, DEMOS * STEPS, 2 * DEMOS * STEPS + 3, 5 * STEPS + 1])
def test_a_killed_node_goes_on(tmp_path: Path, killed_after: int) -> None:
    transitions = run_of(5)
    killed = WorldModelHarness(tmp_path)
    killed.feed(transitions[:killed_after]).work()
    again = WorldModelHarness(tmp_path)
    assert again.restored == (killed_after >= DEMOS * STEPS)
    again.feed(transitions).work()
    assert again.loop.completed_steps == 5 * STEPS and not again.warnings
    assert again.loop.adaptation.memory.added == DEMOS + 5
    sent = [segment.seq for segment in (*killed.segments, *again.segments)]
    assert sent == list(range(len(sent)))
    dated = {s.effective_step for s in killed.segments} & {s.effective_step for s in again.segments}
    assert not dated  # nothing is imagined twice
    assert len(list((tmp_path / "worldmodel").glob("step_*"))) <= 2


def test_a_damaged_checkpoint_falls_back_then_starts_over(
    tmp_path: Path, finished: WorldModelHarness
) -> None:
    shutil.copytree(finished.folder, tmp_path, dirs_exist_ok=True)
    checkpoints = WorldModelCheckpoints(tmp_path, "worldmodel").steps()
    assert [step for step, _ in checkpoints] == [24, 48]
    checkpoints[-1][1].write_bytes(b"rotten")
    again = WorldModelHarness(tmp_path)
    assert again.loop.completed_steps == 24 and "cannot be read" in again.warnings[0]
    checkpoints[0][1].write_bytes(b"")
    anew = WorldModelHarness(tmp_path)
    assert not anew.restored and len(anew.warnings) == 2
    anew.feed(run_of(4)).work()
    assert anew.loop.completed_steps == 48


def test_unusable_episodes_are_refused_and_counted_and_do_not_stop_the_count(tmp_path: Path) -> None:
    transitions = run_of(4)
    small = run_of(4, size=16)
    cut = DEMOS * STEPS
    transitions[cut : cut + STEPS] = small[cut : cut + STEPS]  # images of another size
    lost = transitions[: cut + 15] + transitions[cut + 16 :]  # a step that the disk does not have any more
    harness = WorldModelHarness(tmp_path).feed(lost)
    harness.work()
    harness.loop.intake.fetched_from(cut + 15, transitions[cut + 16 : cut + 17], len(transitions))
    harness.work()
    loop = harness.loop
    assert loop.refused == 2 and len(harness.warnings) == 2 and "2 unusable" in loop.description()
    assert "1 lost" in loop.description() and "16" in harness.warnings[0]
    assert loop.completed_steps == 4 * STEPS - 1
    assert loop.adaptation.memory.added == DEMOS + 2


def test_an_episode_that_was_cut_off_ends_where_the_next_begins(tmp_path: Path) -> None:
    transitions = run_of(2)
    end = DEMOS * STEPS + 7
    cut = transitions[:end] + [
        replace(t, seq=t.seq - (STEPS - 7)) for t in transitions[(DEMOS + 1) * STEPS :]
    ]
    harness = WorldModelHarness(tmp_path).feed(cut).work()
    assert harness.loop.completed_steps == 7 + STEPS
    assert [len(e) for e in harness.loop.adaptation.memory.training] == [STEPS, STEPS, 7, STEPS]


def test_diverging_training_goes_back_to_the_last_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = WorldModelHarness(tmp_path, replace(CONFIG, updates_per_step=8.0))
    transitions = run_of(2)
    harness.feed(transitions[: DEMOS * STEPS + STEPS]).work()
    released = {k: v.clone() for k, v in harness.loop.adaptation.generator.state_dict().items()}
    from worldsample_worldmodel.training import trainer

    true_loss = trainer.world_model_loss

    def broken(*arguments: object, **named: object) -> tuple[torch.Tensor, dict[str, float]]:
        loss, logs = true_loss(*arguments, **named)  # type: ignore[arg-type]
        return loss * torch.nan, {**logs, "loss": float("nan")}

    monkeypatch.setattr(trainer, "world_model_loss", broken)
    harness.feed(transitions).work()
    loop = harness.loop
    assert loop.diverged and "diverged" in loop.description() and harness.warnings
    assert loop.state == "generating" and loop.completed_steps == 2 * STEPS
    for name, value in loop.adaptation.generator.state_dict().items():
        torch.testing.assert_close(value, released[name])
    for segment in harness.segments:
        segment.validate()


def test_training_that_never_works_ends_failed_and_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from worldsample_worldmodel.training import trainer

    monkeypatch.setattr(
        trainer, "world_model_loss", lambda *_, **__: (torch.tensor(torch.nan), {"loss": float("nan")})
    )
    harness = WorldModelHarness(tmp_path, replace(CONFIG, adapt_updates=250))
    harness.feed(run_of(2)).work()
    assert harness.loop.state == "failed" and not harness.segments
    assert harness.loop.completed_steps == 2 * STEPS
    assert not list(tmp_path.glob("worldmodel/step_*"))


def test_a_segment_with_a_nan_is_never_published(tmp_path: Path) -> None:
    harness = WorldModelHarness(tmp_path, replace(CONFIG, release_every=1000))
    harness.feed(run_of(1)).work()
    before = len(harness.segments)
    head = harness.loop.adaptation.reward_model.head[0]
    with torch.no_grad():
        head.weight.fill_(torch.nan)  # type: ignore[operator, union-attr]
    harness.feed(run_of(2)).work()
    assert len(harness.segments) == before and harness.loop.rejected >= STEPS // 2


def test_nodes_share_the_episodes(tmp_path: Path, finished: WorldModelHarness) -> None:
    shared = [
        WorldModelHarness(tmp_path / "shared", index=i, count=2).feed(run_of(4)).work() for i in range(2)
    ]
    tried = [len(h.segments) + h.loop.rejected for h in shared]
    assert sum(tried) == len(finished.segments) + finished.loop.rejected and min(tried) > 0
    dates = [{s.effective_step for s in h.segments} for h in shared]
    assert not dates[0] & dates[1]
    assert {s.publisher for h in shared for s in h.segments} == {"worldmodel_0", "worldmodel_1"}


def test_real_time_leaves_out_what_a_slow_learner_cannot_read(tmp_path: Path) -> None:
    harness = WorldModelHarness(tmp_path, replace(CONFIG, backlog=3, generation_batch=1), lockstep=False)
    loop = harness.loop
    loop.backpressure.learner_took(0)
    harness.feed(run_of(4)).work()
    assert 3 <= len(harness.segments) <= 5
    assert all(segment.effective_step == 0 for segment in harness.segments)
    assert loop.completed_steps == 4 * STEPS
    loop.backpressure.learner_took(len(harness.segments))
    before = len(harness.segments)
    harness.feed(run_of(5)).work()
    assert len(harness.segments) > before


def test_real_time_leaves_out_what_it_cannot_catch_up_with(tmp_path: Path) -> None:
    harness = WorldModelHarness(tmp_path, replace(CONFIG, release_every=1000), lockstep=False)
    harness.feed(run_of(5)).work()  # all of it came while the world model was adapting
    loop = harness.loop
    assert loop.completed_steps == 5 * STEPS
    assert loop.adaptation.trainer.updates == 3 + 2 * STEPS // 4
    assert len(harness.segments) + loop.rejected == 2 * STEPS // 2


def test_without_demonstrations_it_adapts_to_the_first_real_episode(tmp_path: Path) -> None:
    harness = WorldModelHarness(tmp_path, demos=0)
    real = [t for t in run_of(3) if t.source == "policy"]
    harness.feed([replace(t, seq=i) for i, t in enumerate(real)]).work()
    assert harness.loop.adaptation.version == 2 and harness.loop.completed_steps == 3 * STEPS
    assert harness.loop.adaptation.trainer.updates == 3 + 3 * STEPS // 4


def test_a_twin_for_people(tmp_path: Path) -> None:
    harness = WorldModelHarness(tmp_path)
    adaptation = harness.loop.adaptation
    with pytest.raises(NothingToImagine, match="not been adapted"):
        imagined_twin(adaptation, 2, 0)
    harness.feed(run_of(2)).work()
    twin = imagined_twin(adaptation, 2, 3, 5)
    assert len(twin.real) == len(twin.imagined) == 5 and twin.psnr.shape == (5, 2)
    np.testing.assert_array_equal(twin.real.actions, twin.imagined.actions)
    np.testing.assert_array_equal(twin.real.images[0], twin.imagined.images[0])
    other = imagined_twin(adaptation, 2, 3, 5, perturb=True, seed=4)
    assert not np.array_equal(other.real.actions, other.imagined.actions)
    np.testing.assert_array_equal(
        other.imagined.images, imagined_twin(adaptation, 2, 3, 5, True, 4).imagined.images
    )
    assert len(imagined_twin(adaptation, 2, 10, 50).real) == 2
    for number, step in ((99, 0), (2, 12)):
        with pytest.raises(NothingToImagine):
            imagined_twin(adaptation, number, step)


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="image_size"):
        WorldModelNodeConfig(model=MODEL)
    with pytest.raises(ValueError, match="recent_share"):
        replace(CONFIG, recent_share=1.5)
    assert CONFIG.effective_lag(60) == 20 and WorldModelNodeConfig().effective_lag(64) == 130


def test_several_world_models_hold_back_together() -> None:
    """The learner tells one count for all of them: what another one published must not look like taken."""
    pressure = Backpressure(limit=4)
    pressure.learner_took(0)
    pressure.others_sent("worldmodel_1", 100)  # long before this one started
    for number in range(1, 6):
        pressure.sent()
        pressure.others_sent("worldmodel_1", 100 + number)
    assert pressure.under_way == 10 and pressure.holds
    pressure.learner_took(3)
    assert pressure.under_way == 7 and pressure.holds, "three of the other's were taken, not three of ours"
    pressure.learner_took(10)
    assert not pressure.holds


class Swaying:
    """A policy in the imagination that acts at random."""

    def receive(self, packed: object) -> None: ...

    def use(self, version: int) -> int:
        return version + 1

    def act(
        self, images: NDArray[np.uint8], proprio: NDArray[np.float32], rng: np.random.Generator
    ) -> NDArray[np.float32]:
        actions = np.zeros((len(images), 7), np.float32)
        actions[:, 0] = rng.uniform(-1.0, 1.0, len(images))
        return actions


def test_the_policy_acts_in_whole_groups_and_beyond_the_models_own_horizon(tmp_path: Path) -> None:
    """4 groups of 3 from 24 real steps; the rollouts of a group start alike, follow each other and differ."""
    imagination = replace(CONFIG.imagination, group=3, policy_horizon=7)
    config = replace(CONFIG, imagination=imagination, policy_share=1.0, adapt_updates=1)
    harness = WorldModelHarness(tmp_path, config)
    harness.loop.policy = Swaying()
    harness.feed(run_of(2)).work()
    made = harness.segments
    assert len(made) + harness.loop.rejected == 12 and len(made) > 6
    assert max(len(segment) for segment in made) == 7 > MODEL.horizon
    groups: list[list[SyntheticSegment]] = []
    for segment in made:
        start = (segment.effective_step, segment.source_episode, segment.source_step)
        if groups and start == (
            groups[-1][0].effective_step, groups[-1][0].source_episode, groups[-1][0].source_step
        ):  # fmt: skip
            groups[-1].append(segment)
        else:
            groups.append([segment])
    assert len(groups) <= 4 and max(map(len, groups)) == 3
    for group in groups:
        for other in group[1:]:
            np.testing.assert_array_equal(group[0].images[0], other.images[0])
            assert not np.array_equal(group[0].actions[:1], other.actions[:1])
            assert other.on_policy and other.policy_version == group[0].policy_version


def test_attack_minor_a_file_that_a_killed_world_model_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / "worldmodel").mkdir()
    left, kept = tmp_path / "worldmodel" / ".step_5.safetensors.4711.tmp", tmp_path / "worldmodel" / "x.json"
    left.touch()
    kept.touch()
    WorldModelCheckpoints(tmp_path, "worldmodel")
    assert kept.exists() and not left.exists()

"""The learner's order of work: repeatable in lockstep, and the same again after a crash."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from worldsample_core.checkpoint_error import CheckpointError
from worldsample_core.messages.reception import Reception
from worldsample_core.messages.weights import PackedWeights, unpack
from worldsample_core.node.exit_codes import BAD_CONFIGURATION
from worldsample_core.node.stopping import RunFailed
from worldsample_core.observation import Observation
from worldsample_core.settings import RunConfig
from worldsample_core.transition import Transition
from worldsample_msgs.msg import LearnerStatus
from worldsample_policy.learner_config import LearnerConfig
from worldsample_policy.learning import checkpoint_directory
from worldsample_policy.learning.learner import Learner
from worldsample_policy.learning.learner_checkpoints import LearnerCheckpoints
from worldsample_policy.learning.learner_loop import LearnerLoop
from worldsample_policy.learning.learner_status import learner_status
from worldsample_policy.learning.skipped_updates import SkippedUpdates
from worldsample_policy.replay.data_mixer import Mixture, RealData
from worldsample_policy.replay.replay import Replay

from .test_rollout import TASK

CONFIG = LearnerConfig(
    image_size=16,
    encoder="random",
    latent_channels=2,
    latent_size=4,
    encoder_width=4,
    augmentations=2,
    batch_size=8,
    hidden=16,
    bottleneck=4,
    proprio_features=4,
    training_starts=4,
    utd=2,
    pretrain_updates=3,
)
DEMO_STEPS, STEPS = 6, 24


def transition(seq: int, size: int = 16) -> Transition:
    rng = np.random.default_rng(seq)
    demo = seq < DEMO_STEPS

    def observe(number: int) -> Observation:
        frame = np.random.default_rng(1000 + number).integers(0, 255, (2, size, size, 3), dtype=np.uint8)
        return Observation(frame, np.full(10, 0.1 * number, np.float32))

    return Transition(
        observe(seq),
        rng.uniform(-1, 1, 7).astype(np.float32) * TASK.active_mask,
        float(seq % 3 == 2),
        observe(seq + 1),
        terminated=seq % 3 == 2,
        truncated=False,
        success=seq % 3 == 2,
        intervention=False,
        seq=seq,
        episode=seq // 3,
        step=seq % 3,
        source="demo" if demo else "policy",
        run="r",
    )


class LearnerHarness:
    """A learner with its run folder; records what it publishes."""

    def __init__(self, folder: Path, config: LearnerConfig = CONFIG, **run: object) -> None:
        torch.set_num_threads(1)
        values: dict[str, object] = {"demos": 2, "lag": 3, "publish_every": 4, "checkpoint_every": 8}
        self.run = RunConfig("r", str(folder), **{**values, **run})  # type: ignore[arg-type]
        self.published: list[PackedWeights] = []
        self.warnings: list[str] = []
        self.loop = LearnerLoop(Learner(config, TASK), self.run, LearnerCheckpoints(folder, 3), self)
        self.loop.restore()

    def publish_weights(self, packed: PackedWeights) -> None:
        self.published.append(packed)

    def progressed(self) -> None:
        pass

    def warn(self, message: str) -> None:
        self.warnings.append(message)

    def feed(self, first: int, last: int) -> None:
        for seq in range(first, last):
            self.loop.intake.offer(transition(seq))

    def work(self) -> None:
        while self.loop.work():
            pass


def final(harness: LearnerHarness) -> dict[str, np.ndarray]:
    return harness.loop.learner.actor_state()


def test_lockstep_publishes_dated_weights_and_checkpoints(tmp_path: Path) -> None:
    harness = LearnerHarness(tmp_path)
    harness.feed(0, DEMO_STEPS)
    harness.work()
    assert [(p.version, p.effective_step, p.updates) for p in harness.published] == [(1, 0, 3)]
    harness.feed(DEMO_STEPS, DEMO_STEPS + STEPS)
    harness.work()
    dated = [(p.version, p.real_steps, p.effective_step) for p in harness.published[1:]]
    assert dated == [(2 + i, 4 * (i + 1), 4 * (i + 1) + 3) for i in range(STEPS // 4)]
    assert [p.updates for p in harness.published[1:]] == [
        3 + 2 * max(0, 4 * (i + 1) - 3) for i in range(STEPS // 4)
    ]
    assert [step for step, _ in harness.loop.checkpoints.steps()] == [8, 16, 24]
    assert harness.loop.completed_steps == STEPS
    assert (harness.loop.learner.real_steps, harness.loop.learner.demo_steps) == (STEPS, DEMO_STEPS)
    assert harness.loop.caught_up()


def test_arrival_does_not_change_what_is_learned(tmp_path: Path) -> None:
    first, second = LearnerHarness(tmp_path / "a"), LearnerHarness(tmp_path / "b")
    first.feed(0, DEMO_STEPS + STEPS)
    first.work()
    for seq in range(0, DEMO_STEPS + STEPS, 2):  # in pairs, the wrong way round
        second.feed(seq + 1, seq + 2)
        second.work()
        second.feed(seq, seq + 1)
        second.work()
    assert [p.sha256 for p in first.published] == [p.sha256 for p in second.published]


@pytest.mark.parametrize("killed_after", [0, 3, DEMO_STEPS, DEMO_STEPS + 5, DEMO_STEPS + 11, DEMO_STEPS + 20])
def test_a_restarted_learner_does_the_same_updates_again(tmp_path: Path, killed_after: int) -> None:
    straight = LearnerHarness(tmp_path / "a")
    straight.feed(0, DEMO_STEPS + STEPS)
    straight.work()
    killed = LearnerHarness(tmp_path / "b")
    killed.feed(0, killed_after)
    killed.work()
    again = LearnerHarness(tmp_path / "b")
    assert bool(again.published) == (killed_after >= DEMO_STEPS)  # its weights go out at once
    again.feed(0, DEMO_STEPS + STEPS)
    again.work()
    assert (again.loop.intake.next_seq, again.loop.intake.duplicates) == (DEMO_STEPS + STEPS, 0)
    assert again.loop.learner.real_steps == STEPS
    assert again.loop.learner.updates == straight.loop.learner.updates
    for name, value in final(straight).items():
        np.testing.assert_array_equal(value, final(again)[name])
    versions = [p.version for p in (*killed.published, *again.published)]
    assert versions == list(range(1, len(versions) + 1))


def test_real_time_takes_all_transitions_first(tmp_path: Path) -> None:
    harness = LearnerHarness(tmp_path, lockstep=False)
    harness.feed(0, DEMO_STEPS)
    harness.work()
    harness.feed(DEMO_STEPS, DEMO_STEPS + STEPS)
    for _ in range(STEPS):
        harness.loop.work()
    assert (harness.loop.learner.real_steps, harness.loop.learner.updates) == (STEPS, 3)
    assert harness.loop.completed_steps == 3
    harness.work()
    assert harness.loop.completed_steps == STEPS
    assert all(p.effective_step == 0 for p in harness.published)
    assert len(harness.published) == 1 + STEPS // 4


def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path: Path) -> None:
    harness = LearnerHarness(tmp_path)
    harness.feed(0, DEMO_STEPS + STEPS)
    harness.work()
    newest = harness.loop.checkpoints.steps()[-1][1]
    (newest / "model.safetensors").write_bytes(b"rotten")
    again = LearnerHarness(tmp_path)
    assert again.loop.checkpoint_step == 16
    assert "damaged" in again.warnings[0]
    again.feed(0, DEMO_STEPS + STEPS)
    again.work()
    for name, value in final(harness).items():
        np.testing.assert_array_equal(value, final(again)[name])
    for _, path in again.loop.checkpoints.steps():
        (path / "checkpoint.json").write_text("{")
    with pytest.raises(CheckpointError, match="remove that folder"):
        LearnerHarness(tmp_path)


def test_attack_11_a_learner_that_has_moved_to_another_device_says_so(tmp_path: Path) -> None:
    harness = LearnerHarness(tmp_path)
    harness.feed(0, DEMO_STEPS + STEPS)
    harness.work()
    (_, path) = harness.loop.checkpoints.steps()[-1]
    files, counters = checkpoint_directory.read(path)
    files["generator"]["state"] = torch.zeros(16, dtype=torch.uint8)
    kept = {name: value for name, value in counters.items() if name not in ("format", "sha256")}
    checkpoint_directory.write(path, files, {**kept, "device": "cuda"})
    again = LearnerHarness(tmp_path)
    assert again.loop.learner.updates == harness.loop.learner.updates
    assert [w for w in again.warnings if "written on cuda, this learner computes on cpu" in w]
    assert not LearnerHarness(tmp_path / "new").warnings


class Poison(RealData):
    """Every ``one_in``-th batch has a reward that is not finite."""

    def __init__(self, replay: Replay, one_in: int) -> None:
        super().__init__(replay)
        self.one_in, self.count = one_in, 0

    def sample(self, batch_size: int) -> Mixture:
        self.count += 1
        real = super().sample(batch_size).real
        poisoned = self.count % self.one_in == 0
        return Mixture(real._replace(reward=real.reward * float("nan")) if poisoned else real)


@pytest.mark.parametrize(("one_in", "after"), [(1, 6), (3, 18)])
def test_attack_06_skipped_updates_end_the_learner_with_the_remedy(
    tmp_path: Path, one_in: int, after: int
) -> None:
    harness = LearnerHarness(tmp_path, dataclasses.replace(CONFIG, max_skipped_updates=5))
    harness.feed(0, DEMO_STEPS)
    harness.work()
    learner = harness.loop.learner
    begun = learner.updates
    learner.algorithm.mixer = Poison(learner.replay, one_in)  # type: ignore[attr-defined]
    harness.feed(DEMO_STEPS, DEMO_STEPS + STEPS)
    with pytest.raises(
        RunFailed, match=r"6 of the last 1,000 updates were skipped.*learner\.lr.*--resume"
    ) as end:
        harness.work()
    assert learner.updates == begun + after and learner.skipped_updates == 6
    assert end.value.code == BAD_CONFIGURATION, "starting it again would not help"
    assert learner_status(harness.loop, Reception(str), str(end.value)).state == LearnerStatus.FAILED
    assert len([w for w in harness.warnings if "was skipped" in w]) == 1


def test_attack_06_few_skipped_updates_among_many_are_borne() -> None:
    skips = SkippedUpdates(limit=5)
    for update in range(1, 5001):
        skips.done(update, skipped=update % 250 == 0)
        skips.check()
    assert len(skips) == 4


def test_a_malformed_transition_is_refused_and_does_not_stop_the_count(tmp_path: Path) -> None:
    harness = LearnerHarness(tmp_path)
    harness.feed(0, DEMO_STEPS + 4)
    harness.loop.intake.offer(transition(DEMO_STEPS + 4, size=24))
    harness.feed(DEMO_STEPS + 5, DEMO_STEPS + STEPS)
    harness.work()
    assert harness.loop.rejected == 1
    assert "24" in harness.warnings[0]
    assert harness.loop.completed_steps == STEPS
    assert harness.loop.learner.real_steps == STEPS - 1
    assert harness.loop.caught_up()


def test_weights_that_are_not_finite_are_not_published(tmp_path: Path) -> None:
    harness = LearnerHarness(tmp_path)
    harness.feed(0, DEMO_STEPS)
    harness.work()
    parameter = next(harness.loop.learner.sac.actor.parameters())
    with torch.no_grad():
        parameter.fill_(float("nan"))
    harness.loop.publish()
    assert len(harness.published) == 1
    assert "not finite" in harness.warnings[0]


def test_without_demonstrations_the_policy_gets_random_weights_and_the_encoder_its_first_steps(
    tmp_path: Path,
) -> None:
    harness = LearnerHarness(tmp_path, dataclasses.replace(CONFIG, pretrain_updates=0), demos=0)
    harness.work()
    assert not harness.published
    harness.loop.policy_trains = True
    harness.work()
    assert [p.version for p in harness.published] == [1]
    for seq in range(DEMO_STEPS, DEMO_STEPS + STEPS):
        harness.loop.intake.offer(dataclasses.replace(transition(seq), seq=seq - DEMO_STEPS))
    harness.work()
    assert harness.loop.completed_steps == STEPS
    assert harness.loop.learner.updates == 2 * (STEPS - 3)


def test_published_weights_can_be_loaded(tmp_path: Path) -> None:
    harness = LearnerHarness(tmp_path)
    harness.feed(0, DEMO_STEPS)
    harness.work()
    tensors = unpack(harness.published[0], harness.loop.learner.architecture())
    assert tensors.keys() == final(harness).keys()


def test_only_the_newest_checkpoints_stay(tmp_path: Path) -> None:
    folder = LearnerCheckpoints(tmp_path, keep=2)
    for step in (5, 10, 100, 20):
        folder.save(step, lambda path: path.mkdir())
    assert [step for step, _ in folder.steps()] == [20, 100]
    folder.keep_version(7)
    assert LearnerCheckpoints(tmp_path, 2).last_version() == 7


def test_attack_08_every_flipped_bit_of_the_count_of_weights_is_found(tmp_path: Path) -> None:
    """A higher count shuts out no later weights, a lower one repeats none: the copy has the right one."""
    folder = LearnerCheckpoints(tmp_path, keep=2)
    folder.keep_version(1234)
    path = folder.path / "weights_version"
    whole = path.read_bytes()
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        assert folder.last_version() == 1234, bytes(damaged)
    path.unlink()
    assert folder.last_version() == 1234
    (folder.path / "weights_version.copy").write_bytes(b"\xff")
    assert folder.last_version() == 0
    path.write_text("12")
    assert folder.last_version() == 12, "a file of 0.1.0"

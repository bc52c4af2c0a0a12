"""A whole run against a fake cell: phases, numbering, waiting for the learner, going on after a crash."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from worldsample_core.observation import Observation
from worldsample_core.settings import RunConfig, Settings
from worldsample_core.transition import EpisodeSummary, Transition

pytest.importorskip("rclpy")
pytest.importorskip("worldsample_msgs")
from worldsample_core.config import ConfigError
from worldsample_core.episodes.episode_bag import decode_transition
from worldsample_core.episodes.episode_store import EpisodeStore, find_bags
from worldsample_core.episodes.label_count import label_count
from worldsample_core.node.stopping import RunFailed
from worldsample_policy.acting.observation_assembly import OperatorInput, Tick
from worldsample_policy.acting.policy_loop import PolicyLoop
from worldsample_policy.acting.run_plan import EvaluationLog
from worldsample_policy.acting.weights_switch import ReadyWeights, WeightsSwitch
from worldsample_policy.replay.demonstrations import import_demonstrations

from .test_rollout import TASK

DRIVE = OperatorInput(active=True, action=np.full(7, 0.5, np.float32))


class RunInMemory:
    """Episodes succeed after ``solve_after`` steps; the operator drives demonstrations."""

    def __init__(self, folder: Path, solve_after: int = 3, **run: object) -> None:
        folder.mkdir(exist_ok=True)
        values: dict[str, object] = {
            "demos": 2,
            "eval_every": 10,
            "eval_episodes": 1,
            "final_eval_episodes": 2,
        }
        self.settings = Settings(
            run=RunConfig("r", str(folder), **{**values, **run}),  # type: ignore[arg-type]
            task=dataclasses.replace(TASK, max_real_steps=25),
        )
        self.solve_after = solve_after
        self.store = EpisodeStore(folder, "r", min_free_bytes=0, custom={"task": "pushing"})
        self.weights = WeightsSwitch(True, self.settings.run.lag, self.settings.run.publish_every)
        self.loop = PolicyLoop(
            self.settings,
            self.store,
            EvaluationLog(folder),
            self.act,
            self.weights,
            self,
            first_weights_patience=5.0,
        )
        self.now = 0.0
        self.stamp = 0
        self.sent: list[Transition] = []
        self.summaries: list[EpisodeSummary] = []
        self.resets: list[tuple[int, str, int]] = []
        self.noise_seeds: list[int] = []
        self.order: list[str] = []
        self.action = np.full(7, 0.25, np.float32)
        self.refuse_reset = False
        self.checkpoints = 0
        self.brightest_seen = 0
        self.acted_with_mean: set[tuple[str | None, bool]] = set()
        self.buttons: Callable[[int], dict[str, bool]] | None = None  # pressed at a step; None: success

    def act(self, observation: Observation, deterministic: bool) -> tuple[np.ndarray, int]:
        self.acted_with_mean.add((self.loop.kind, deterministic))
        self.brightest_seen = max(self.brightest_seen, int(observation.images.max()))
        return self.action, self.weights.version

    def request_reset(self, seed: int, mode: str, episode: int) -> None:
        self.resets.append((seed, mode, episode))
        self.order.append(mode)
        self.steps = 0
        self.loop.on_reset(not self.refuse_reset, "blocked")

    def request_checkpoint(self) -> None:
        self.checkpoints += 1
        self.order.append("checkpoint")

    def publish_transition(self, record: bytes) -> None:
        transition = decode_transition(record)
        assert decode_transition(self.store.fetch(transition.seq, 1)[0]).seq == transition.seq, (
            "sent before it is on disk"
        )
        self.sent.append(transition)

    def publish_summary(self, summary: EpisodeSummary) -> None:
        self.summaries.append(summary)

    def begin_episode(self, seed: int, deterministic: bool) -> None:
        self.noise_seeds.append(seed)

    def load_due_weights(self, real_steps: int) -> None:
        self.weights.due(real_steps)

    def offer_weights(self, version: int, updates: int = 0) -> None:
        self.weights.offer(ReadyWeights(version, updates, 0, None, 0.0))

    def tick(self) -> None:
        self.now += 0.1
        self.loop.advance(self.now)
        if self.loop.state != "running":
            return
        self.stamp += 100_000_000
        image = np.full((2, 16, 16, 3), self.stamp // 100_000_000 % 256, np.uint8)
        operator = DRIVE if self.loop.kind in ("demo", "label") else OperatorInput()
        if self.buttons is not None:
            operator = dataclasses.replace(operator, **self.buttons(self.steps))
        elif self.steps == self.solve_after:
            operator = dataclasses.replace(operator, success=True)
        observation = Observation(image, np.zeros(10, np.float32), self.stamp * 1e-9)
        if self.loop.on_tick(Tick(self.stamp, observation, operator)) is not None:
            self.steps += 1

    def run(self, ticks: int = 10_000) -> None:
        for _ in range(ticks):
            if self.loop.state == "done":
                break
            if self.loop.state == "checkpoint" and self.checkpoints:
                self.loop.on_checkpoint(True, 0)
            self.tick()
            if self.loop.state in ("weights", "checkpoint"):
                self.offer_weights(1)
                self.loop.on_learner(self.store.real_steps, "", self.now)

    def crash(self) -> None:
        self.store._closing.put(None)
        self.store._writer.join()
        self.store._lock_file.close()


def test_a_whole_run(tmp_path: Path) -> None:
    cell = RunInMemory(tmp_path)
    cell.run()
    assert cell.loop.state == "done"
    expected = ["demo"] * 2 + ["train"] * 4 + ["eval"] + ["train"] * 3 + ["eval"] + ["train"] * 2
    assert cell.order == [*expected, "checkpoint", "eval", "eval"]
    assert [t.seq for t in cell.sent] == list(range(6 + 25))
    assert [t.seq for t in cell.store.transitions()] == list(range(31))
    assert cell.store.real_steps == 25
    assert [t.source for t in cell.sent] == ["demo"] * 6 + ["policy"] * 25
    assert cell.sent[-1].truncated  # the budget cut the last episode
    assert [s.kind for s in cell.summaries] == ["eval"] * 4
    assert [s.episode for s in cell.summaries] == [0, 1, 2, 3]
    assert cell.loop.success_rate() == pytest.approx(8 / 9)
    assert len({seed for seed, _, _ in cell.resets}) == len(cell.resets)
    cell.store.close()


@pytest.mark.parametrize("cut", [1, 5, 9, 17, 22, 30, 33, 40, 44])
def test_after_a_crash_the_run_goes_on_where_it_was(tmp_path: Path, cut: int) -> None:
    cell = RunInMemory(tmp_path)
    cell.run(ticks=cut)
    sent, evaluated = list(cell.sent), list(cell.summaries)
    cell.crash()
    again = RunInMemory(tmp_path)
    again.run()
    again.store.drain()
    stored = list(again.store.transitions())
    assert [t.seq for t in stored] == list(range(len(stored)))
    for was, is_ in zip(sent, stored, strict=False):
        np.testing.assert_array_equal(was.observation.images, is_.observation.images)
    assert [t.seq for t in again.sent] == list(range(len(sent), len(stored)))
    assert again.store.real_steps == 25
    assert sum(e.kind == "demo" and e.success for e in again.store.summaries) == 2
    evaluations = [*evaluated, *again.summaries]
    assert [s.episode for s in evaluations] == list(range(len(evaluations)))
    assert len(evaluations) in (4, 5)  # an interrupted training episode shifts the rounds by a few steps
    episodes = [t.episode for t in stored]
    assert episodes == sorted(episodes)
    again.store.close()


@pytest.mark.parametrize("black", [False, True])
def test_a_policy_can_be_shown_black_images(tmp_path: Path, black: bool) -> None:
    cell = RunInMemory(tmp_path, mode="eval", final_eval_episodes=2, black_images=black)
    cell.run()
    assert len(cell.summaries) == 2
    assert (cell.brightest_seen == 0) == black


@pytest.mark.parametrize("actions", ["sampled", "mean"])
def test_evaluations_act_as_the_setting_says_and_training_always_samples(
    tmp_path: Path, actions: str
) -> None:
    cell = RunInMemory(tmp_path, eval_actions=actions)
    cell.run()
    assert cell.acted_with_mean == {("train", False), ("eval", actions == "mean")}


def test_an_interrupt_closes_the_episode(tmp_path: Path) -> None:
    cell = RunInMemory(tmp_path)
    cell.run(ticks=3)
    cell.loop.interrupt()
    cell.store.close()
    assert not list((tmp_path / "episodes").glob("*.journal"))
    summary = cell.store.summaries[-1]
    assert (summary.kind, summary.steps, summary.aborted) == ("demo", 2, True)


def test_training_waits_for_the_first_weights_while_the_learner_lives(tmp_path: Path) -> None:
    cell = RunInMemory(tmp_path, demos=0)
    for _ in range(200):  # 20 s, four times the patience
        cell.tick()
        cell.loop.on_learner(0, "adapting the encoder", cell.now)
    assert cell.resets == []
    assert "adapting the encoder" in cell.loop.detail
    cell.offer_weights(1)
    cell.tick()
    assert [mode for _, mode, _ in cell.resets] == ["train"]
    cell.store.close()


def test_training_begins_without_weights_where_no_learner_lives(tmp_path: Path) -> None:
    cell = RunInMemory(tmp_path, demos=0)
    for _ in range(60):
        cell.tick()
    assert cell.sent
    assert all(t.policy_version == 0 for t in cell.sent)
    assert all(0 < np.abs(t.action).max() <= 0.3 for t in cell.sent)
    cell.store.close()


def test_the_run_ends_without_a_checkpoint_where_the_learner_is_dead(tmp_path: Path) -> None:
    cell = RunInMemory(tmp_path, demos=0, eval_every=0)
    cell.offer_weights(1)
    for _ in range(1000):
        cell.tick()
        if cell.loop.state == "checkpoint" and cell.checkpoints:
            cell.loop.on_checkpoint(False, 0)
    assert cell.loop.state == "done"
    assert not cell.loop.checkpointed
    assert len(cell.summaries) == 2
    cell.store.close()


def test_the_final_evaluation_acts_on_the_checkpointed_weights(tmp_path: Path) -> None:
    cell = RunInMemory(tmp_path, demos=0, eval_every=0)
    cell.offer_weights(1)
    while cell.loop.state != "checkpoint":
        cell.tick()
    cell.loop.on_learner(25, "", cell.now)
    cell.tick()
    cell.loop.on_checkpoint(True, 50)
    for _ in range(5):
        cell.tick()
    assert cell.loop.state == "weights"
    cell.offer_weights(2, updates=50)
    cell.run()
    assert [s.policy_version for s in cell.summaries] == [2, 2]
    cell.store.close()


def test_an_episode_that_ends_before_its_first_step_is_drawn_anew(tmp_path: Path) -> None:
    cell = RunInMemory(tmp_path, solve_after=0, mode="demos")
    for _ in range(5):
        cell.tick()
    assert len({seed for seed, _, _ in cell.resets}) == 5
    assert {index for _, _, index in cell.resets} == {0}
    cell.solve_after = 3
    cell.run()
    assert [s.episode for s in cell.loop._episodes] == [0, 1]
    cell.store.close()


def test_a_policy_that_gives_nan_stops_the_run_with_all_steps_safe(tmp_path: Path) -> None:
    cell = RunInMemory(tmp_path, demos=0, solve_after=100)
    cell.offer_weights(1)
    cell.tick()
    cell.action = np.full(7, np.nan, np.float32)
    with pytest.raises(RunFailed, match="not finite"):
        cell.run()
    assert all((t.action == 0).all() for t in cell.sent[1:])
    assert [t.seq for t in cell.store.transitions()] == [t.seq for t in cell.sent]
    cell.store.close()


def test_a_cell_that_cannot_be_reset_stops_the_run(tmp_path: Path) -> None:
    cell = RunInMemory(tmp_path)
    cell.refuse_reset = True
    with pytest.raises(RunFailed, match="blocked"):
        cell.run()
    cell.store.close()


def test_demonstrations_of_another_folder(tmp_path: Path) -> None:
    source = RunInMemory(tmp_path / "source", mode="demos", demos=3)
    source.run()
    source.store.close()
    cell = RunInMemory(tmp_path / "run", demos_from=str(tmp_path / "source"), image_size=16)
    assert import_demonstrations(cell.store, cell.settings) == 2
    cell.store.drain()
    assert import_demonstrations(cell.store, cell.settings) == 0
    assert [(t.seq, t.episode, t.source) for t in cell.store.transitions()] == [
        (s, s // 3, "demo") for s in range(6)
    ]
    for changes, message in (
        ({"demos": 4}, "run.demos=3"),
        ({"image_size": 24}, "16x16"),
        ({"demos_from": "/nowhere"}, "no folder"),
    ):
        run = dataclasses.replace(cell.settings.run, **{"demos": 3, **changes})  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match=message):
            import_demonstrations(cell.store, dataclasses.replace(cell.settings, run=run))
    cell.store.close()


def test_field_12_a_damaged_demonstration_is_told_and_the_others_are_taken(tmp_path: Path) -> None:
    source = RunInMemory(tmp_path / "source", mode="demos", demos=3)
    source.run()
    source.store.close()
    first, second, _ = find_bags(tmp_path / "source")
    data = next(first.glob("*.mcap"))
    data.write_bytes(data.read_bytes()[:-40])
    (second / "metadata.yaml").unlink()
    cell = RunInMemory(tmp_path / "run", demos_from=str(tmp_path / "source"), image_size=16)
    told: list[str] = []
    assert import_demonstrations(cell.store, cell.settings, told.append) == 2
    assert len(told) == 2 and "left out" in told[0] and "read from its data file" in told[1]
    cell.store.close()


class TestWeightsSwitch:
    @staticmethod
    def weights(version: int, effective_step: int) -> ReadyWeights:
        return ReadyWeights(version, version, effective_step, None, 0.0)

    def test_lockstep_switches_exactly_at_the_dated_step(self) -> None:
        switch = WeightsSwitch(True, lag=4, publish_every=2)
        assert switch.due(0) is None
        switch.offer(self.weights(1, 0))
        assert switch.due(0).version == 1  # type: ignore[union-attr]
        switch.offer(self.weights(2, 6))
        switch.offer(self.weights(3, 8))
        versions = []
        for step in range(10):
            switch.due(step)
            versions.append(switch.version)
        assert versions == [1] * 6 + [2] * 2 + [3] * 2

    def test_lockstep_waits_for_dated_weights_but_not_for_ever(self) -> None:
        switch = WeightsSwitch(True, lag=4, publish_every=2, patience=1.0)
        assert not switch.wait(6, 0.0)  # no weights at all yet
        switch.offer(self.weights(1, 0))
        assert not switch.wait(5, 0.0)
        assert switch.wait(6, 0.0)
        switch.offer(self.weights(2, 6))
        assert not switch.wait(6, 0.1)
        assert switch.wait(8, 10.0)
        assert switch.wait(8, 10.9)
        assert not switch.wait(8, 11.1)
        assert not switch.wait(10, 12.0)  # not again, until weights arrive
        switch.offer(self.weights(3, 8))
        assert switch.wait(12, 13.0)

    def test_attack_09_steps_without_their_weights_are_counted(self) -> None:
        switch = WeightsSwitch(True, lag=4, publish_every=2, patience=1.0)
        switch.offer(self.weights(1, 0))
        switch.due(0)
        assert switch.wait(6, 0.0) and switch.lapses == 0
        assert not any(switch.wait(6, now) for now in (1.1, 1.2, 1.3)) and switch.lapses == 1
        assert not any(switch.wait(steps, 2.0) for steps in range(7, 12)) and switch.lapses == 3, "at 8, 10"
        switch.offer(self.weights(2, 12))
        assert not switch.wait(12, 3.0) and switch.lapses == 3

    def test_attack_09_a_learner_that_never_sent_weights_is_counted(self) -> None:
        switch = WeightsSwitch(True, lag=4, publish_every=2)
        assert not any(switch.wait(steps, 0.0) for steps in range(11)) and switch.lapses == 3

    def test_attack_09_a_return_to_older_weights_is_counted_and_a_resume_is_not(self) -> None:
        switch = WeightsSwitch(True, lag=4, publish_every=2, patience=1.0)
        switch.offer(ReadyWeights(7, 70, 0, None, 0.0))  # a resumed run: policy and learner begin anew
        switch.due(101)
        assert switch.wait(104, 0.0) and not switch.wait(104, 1.1), "those of step 100 are not sent again"
        assert switch.lapses == 0
        switch.offer(ReadyWeights(8, 40, 0, None, 0.0))  # the learner crashed, and is back at a checkpoint
        switch.due(110)
        assert switch.lapses == 1

    def test_real_time_counts_no_lapses(self) -> None:
        switch = WeightsSwitch(False, lag=4, publish_every=2)
        assert not any(switch.wait(steps, 0.0) for steps in range(20)) and switch.lapses == 0

    def test_real_time_switches_at_once_and_never_waits(self) -> None:
        switch = WeightsSwitch(False, lag=4, publish_every=2)
        switch.offer(self.weights(1, 100))
        assert switch.due(0).version == 1  # type: ignore[union-attr]
        assert not switch.wait(6, 0.0)

    def test_old_and_repeated_weights_are_ignored(self) -> None:
        switch = WeightsSwitch(True, lag=4, publish_every=2)
        assert switch.offer(self.weights(5, 0))
        assert not switch.offer(self.weights(5, 0))
        assert not switch.offer(self.weights(3, 0))


def test_labels_are_recorded_until_there_are_enough_and_go_on_after_a_crash(tmp_path: Path) -> None:
    """Three failures and two successes in each episode of five steps; the second is thrown away."""
    cell = RunInMemory(tmp_path, mode="label", labels=5)

    def buttons(step: int) -> dict[str, bool]:
        discard = len(cell.resets) == 2 and step == 4
        return {"success": step > 3, "abort": discard}

    cell.buttons = buttons
    while len(cell.resets) < 3:
        cell.tick()
    cell.tick()
    assert cell.loop.detail == "successes 2/5, failures 4/5", "what was thrown away does not count"
    cell.crash()
    again = RunInMemory(tmp_path, mode="label", labels=5)
    again.buttons = lambda step: {"success": step > 3}
    again.run()
    assert again.loop.state == "done" and set(again.order) == {"label"}
    again.store.drain()
    episodes = again.store.summaries
    count = label_count(episodes)
    assert (count.successes, count.failures) == (5, 9), "it ends as soon as there are enough"
    assert sum(e.aborted for e in episodes) >= 1 and not any(e.success for e in episodes)
    again.store.close()


class Sees:
    """A detector that is sure from a step of the episode on."""

    def __init__(self, after: int) -> None:
        self.after, self.seen = after, 0

    def restart(self) -> None:
        self.seen = 0

    def observe(self, observation: Observation) -> bool:
        self.seen += 1
        return self.seen > self.after


@pytest.mark.parametrize("sim", [True, False])
def test_a_detector_judges_rollouts_and_never_a_simulated_evaluation(tmp_path: Path, sim: bool) -> None:
    """The evaluation's success stays the simulator's own in simulation."""
    cell = RunInMemory(tmp_path, demos=0, sim=sim, eval_every=0)
    cell.loop.detector, cell.buttons = Sees(after=2), lambda step: {}
    cell.run()
    cell.store.drain()
    rollouts = cell.store.summaries[:-1]  # the budget cuts the last one
    assert rollouts and all(e.success and e.steps == 2 for e in rollouts)
    assert cell.loop.detected == (0 if sim else 2), "people are told which successes are the detector's"
    assert [s.success for s in cell.summaries] == [not sim] * 2
    cell.store.close()


def test_the_operator_s_failure_button_overrules_the_detector(tmp_path: Path) -> None:
    cell = RunInMemory(tmp_path, demos=0, eval_every=0)
    cell.loop.detector, cell.buttons = Sees(after=2), lambda step: {"failure": step == 2}
    cell.run()
    assert not any(t.success for t in cell.sent) and any(t.terminated for t in cell.sent)
    cell.store.close()

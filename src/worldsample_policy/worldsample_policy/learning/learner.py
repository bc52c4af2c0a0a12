"""The learning side, free of ROS: transitions in, updates, weights out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from worldsample_core.config import TaskConfig
from worldsample_core.node.cpu_account import cpu_piece
from worldsample_core.observation import PROPRIO_DIM, VIEWS, InvalidObservation
from worldsample_core.synthetic import SyntheticSegment
from worldsample_core.transition import Transition
from worldsample_policy.algorithms.algorithm import Algorithm
from worldsample_policy.algorithms.make_algorithm import algorithm_class
from worldsample_policy.encoders.frozen_encoder import Frames
from worldsample_policy.learner_config import LearnerConfig
from worldsample_policy.learning import learner_checkpoint
from worldsample_policy.learning.learner_checkpoint import LearnerState
from worldsample_policy.learning.skipped_updates import SkippedUpdates
from worldsample_policy.pacing.policy_paced_learning import PacingReport
from worldsample_policy.replay.frame_intake import FrameIntake
from worldsample_policy.replay.replay import Replay
from worldsample_policy.replay.synthetic_replay import SyntheticReplay
from worldsample_policy.sac.agent import Agent
from worldsample_policy.sac.optimiser_step import NotFinite, OptimiserStep
from worldsample_policy.sac.sac import SAC, Logs


class Learner:
    """The common part of all methods: encoded frames in replays, counters, weights and checkpoints.

    `config.algorithm` says what one update is (:mod:`worldsample_policy.algorithms`).

    Use: `add` demonstrations, `adapt_encoder`, optionally `pretrain`; then for each real transition `add`,
    then `config.utd` times `update`; now and then `actor_state` to publish and `save`.

    Attributes:
        updates: gradient updates done, skipped ones included.
        skipped_updates: updates left out because a loss or a gradient was not finite.
        skipped_lately: those among the last updates; :meth:`SkippedUpdates.check` bounds them.
        real_steps: policy transitions (with or without intervention) in replay or evicted from it.
        demo_steps: demonstration transitions, likewise.
        checkpoint_seq: `replay.next_seq` of the checkpoint that was loaded: add the transitions below it
            before the first update.
        loaded_from: kind of device on which the checkpoint was written that was loaded; "" before.
    """

    def __init__(self, config: LearnerConfig, task: TaskConfig) -> None:
        self.config, self.task = config, task
        self.device = torch.device(config.device)
        agent = Agent(config, task.active, task.gamma, views=len(VIEWS), proprio=PROPRIO_DIM)
        agent.encoder.prepare()
        self.agent = agent.to(self.device)
        self.intake = FrameIntake(config, self.agent, self.device)
        self.algorithm: Algorithm = algorithm_class(config.algorithm)(self.intake, task)
        self.optimiser = OptimiserStep(self.algorithm.trained, self.algorithm.rates, config)
        self.updates = self.skipped_updates = 0
        self.skipped_lately = SkippedUpdates(config.max_skipped_updates)
        self.real_steps = self.demo_steps = 0
        self.checkpoint_seq = 0
        self.loaded_from = ""
        self._waiting: list[Transition] = []
        self._demonstration: list[Transition] = []

    @property
    def sac(self) -> SAC:
        """Networks of the policy and their losses."""
        return self.agent.sac

    @property
    def replay(self) -> Replay:
        """Real transitions, encoded."""
        return self.intake.replay

    @property
    def synthetic(self) -> SyntheticReplay:
        """Imagined transitions, encoded."""
        return self.intake.synthetic

    # --- data in --------------------------------------------------------------------------------------------

    @cpu_piece("intake")
    def add(self, transition: Transition) -> bool:
        """Take one transition; False where its seq was here already.

        Its frames are encoded now, or once the encoder is. Raises InvalidObservation on a malformed
        transition, which is then not counted as received.
        """
        transition.validate()
        size = self.config.image_size
        if transition.observation.size != (size, size):
            raise InvalidObservation(
                f"images are {transition.observation.size}, the learner was made for {(size, size)}: "
                "set learner.image_size to the size that the cameras node sends"
            )
        if not self.replay.seen.add(transition.seq):
            return False
        if transition.source == "demo":
            self.demo_steps += 1
        else:
            self.real_steps += 1
        if bool(self.agent.encoder.fitted):
            self._store(transition)
        else:
            self._waiting.append(transition)
        return True

    def _store(self, transition: Transition) -> None:
        """Store a step; those of a demonstration once it is known whether it succeeded.

        A failed demonstration is experience like any other, and nothing to be imitated.
        """
        if transition.source != "demo":
            self._keep(transition, transition.intervention and self.algorithm.imitates_interventions)
            return
        if self._demonstration and self._demonstration[0].episode != transition.episode:
            self._demonstration.clear()  # it was cut off
        self._demonstration.append(transition)
        if transition.last:
            steps, self._demonstration = self._demonstration, []
            for step in steps:
                self._keep(step, False, failed=not transition.success)

    def _keep(self, transition: Transition, imitated: bool, failed: bool = False) -> None:
        self.intake.store(transition, imitated, failed)
        self.algorithm.took(transition)

    @cpu_piece("imagined intake")
    def add_synthetic(self, segment: SyntheticSegment) -> bool:
        """Offer an imagined segment to the algorithm; whether it was taken.

        Nothing is taken before the encoder is fitted, nor what is malformed.
        """
        if not bool(self.agent.encoder.fitted):
            return False
        try:
            segment.validate(self.config.image_size)
        except InvalidObservation:
            self.algorithm.refused_malformed()
            return False
        return self.algorithm.admit(segment)

    @cpu_piece("encoder fit")
    def adapt_encoder(
        self, frames: Frames | None = None, progress: Callable[[dict[str, float]], None] | None = None
    ) -> dict[str, float]:
        """Fit the encoder and the proprioception's statistics, freeze both, and encode what waits.

        They are fitted to the transitions that wait, and to `frames` (N, V, H, W, 3) where given. Returns
        what the training measured. Raises LookupError where there is nothing to fit on.
        """
        waiting = [t.observation for t in self._waiting]
        waiting += [t.next_observation for t in self._waiting if t.last]
        images = np.stack([o.images for o in waiting]) if waiting else None
        if frames is not None:
            images = frames if images is None else np.concatenate((images, frames))
        if images is None:
            raise LookupError("there are no frames to adapt the encoder to: add the demonstrations first")
        logs = self.agent.encoder.fit(images, progress)
        if waiting:
            self.agent.fit_proprio(np.stack([o.proprio for o in waiting]))
        transitions, self._waiting = self._waiting, []
        for transition in transitions:
            self._store(transition)
        return logs

    # --- updates --------------------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """True if training may start: the encoder is fitted and enough real steps have arrived."""
        return bool(self.agent.encoder.fitted) and self.real_steps >= self.config.training_starts

    @cpu_piece("pretraining")
    def pretrain(self, updates: int | None = None) -> dict[str, float]:
        """Learn from the demonstrations before the loop starts; returns the last logs."""
        logs: dict[str, float] = {}
        for _ in range(self.config.updates_before if updates is None else updates):
            logs = self._counted(lambda: self.algorithm.pretrain(self.optimiser))
        return logs

    @cpu_piece("updates")
    def update(self) -> dict[str, float]:
        """Do one update of the algorithm; {} where it has nothing to learn from yet.

        Returns the losses and statistics as floats. An update whose loss or gradient is not finite makes no
        step on it; it is counted in `skipped_updates` and the logs are {"skipped": 1.0}. Raises LookupError
        on an empty replay.
        """
        return self._counted(lambda: self.algorithm.update(self.optimiser, self.updates + 1, self.real_steps))

    def _counted(self, update: Callable[[], Logs]) -> dict[str, float]:
        try:
            with _matmul_precision(self.config.matmul_precision):
                logs = update()
        except NotFinite:
            self.updates += 1
            self.skipped_updates += 1
            self.skipped_lately.done(self.updates, skipped=True)
            return {"skipped": 1.0}
        self.updates += 1
        self.skipped_lately.done(self.updates, skipped=False)
        return {name: float(value) for name, value in logs.items()}

    # --- for people -----------------------------------------------------------------------------------------

    @property
    def detail(self) -> str:
        """Words about the algorithm's use of imagined data; "" if there is nothing to say."""
        return self.algorithm.detail

    def pacing_status(self) -> PacingReport | None:
        """State of Policy-Paced Learning; None if it is switched off."""
        return self.algorithm.pacing_report()

    # --- weights and checkpoints ----------------------------------------------------------------------------

    def published(self, version: int) -> None:
        """Note that `actor_state`, as it is, is about to act under this version."""
        self.algorithm.published(version)

    def architecture(self) -> dict[str, Any]:
        """Description of the networks that a receiver of `actor_state` must have."""
        return self.agent.architecture()

    def actor_state(self) -> dict[str, npt.NDArray[Any]]:
        """Weights that acting needs, the encoder's included: for `weights.pack` and `Actor.load`.

        Raises FloatingPointError if a value is not finite: such weights are never published.
        """
        return self.agent.actor_state()

    def save(self, directory: Path, replay: bool = False) -> None:
        """Write a checkpoint, whole or not at all: networks, optimizers, generators, counters.

        With `replay` also the replay; otherwise it is rebuilt by `add`-ing the same transitions in order of
        seq. Raises OSError (a full disk), leaving an older checkpoint whole; RuntimeError where `replay` is
        asked for while transitions wait for the encoder.
        """
        if replay and self._waiting:
            raise RuntimeError("the replay is not encoded yet: adapt the encoder first, or save without it")
        counters = {
            "updates": self.updates,
            "skipped_updates": self.skipped_updates,
            "real_steps": self.real_steps,
            "demo_steps": self.demo_steps,
        }
        learner_checkpoint.write(directory, self._state, counters, replay)

    def load(self, directory: Path) -> None:
        """Continue from a checkpoint: exactly, where it was written on the same kind of device.

        Where it holds no replay, `add` the transitions with seq below `checkpoint_seq` again, in order,
        before the next update. Raises CheckpointError when it is damaged, incomplete or of other networks;
        the learner is then unchanged: everything is loaded into new networks, which take the old ones' place.
        """
        fresh = Learner(self.config, self.task)
        counters = learner_checkpoint.read(directory, fresh._state)
        self.agent, self.intake = fresh.agent, fresh.intake
        self.algorithm, self.optimiser = fresh.algorithm, fresh.optimiser
        self.loaded_from = str(counters[learner_checkpoint.DEVICE])
        self.updates, self.skipped_updates = counters["updates"], counters["skipped_updates"]
        self.skipped_lately = fresh.skipped_lately
        self.checkpoint_seq = counters["next_seq"]
        with_replay = bool(counters["has_replay"])
        self.real_steps = counters["real_steps"] if with_replay else 0
        self.demo_steps = counters["demo_steps"] if with_replay else 0
        self._waiting, self._demonstration = [], []

    @property
    def _state(self) -> LearnerState:
        return LearnerState(self.agent, self.intake, self.algorithm, self.optimiser)


@contextlib.contextmanager
def _matmul_precision(name: str) -> Iterator[None]:
    """The precision of products within; what else computes in this process keeps its own."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(name)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)

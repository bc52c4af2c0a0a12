"""The learner's loop: take a transition, adapt the encoder, update, publish weights, write a checkpoint.

Free of ROS. Lockstep takes transition n, does exactly the updates owed for it, then takes n + 1, so that a
seed repeats and a restart from a checkpoint does the very same updates again. Real time takes all that has
arrived first, and catches up.
"""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path
from typing import Literal, Protocol

from worldsample_core.episodes.transition_intake import TransitionIntake
from worldsample_core.messages.weights import PackedWeights, pack
from worldsample_core.node.awake_clock import AwakeClock
from worldsample_core.node.cpu_account import cpu_piece
from worldsample_core.observation import InvalidObservation
from worldsample_core.settings import RunConfig
from worldsample_core.synthetic import SyntheticSegment
from worldsample_core.transition import Transition
from worldsample_policy.learning.learner import Learner
from worldsample_policy.learning.learner_checkpoints import LearnerCheckpoints
from worldsample_policy.learning.skipped_updates import LATELY
from worldsample_policy.learning.synthetic_buffer import SyntheticBuffer
from worldsample_policy.learning.update_schedule import UpdateSchedule
from worldsample_policy.learning.world_model_following import WorldModelFollowing

State = Literal["waiting", "adapting", "training", "done"]

PRETRAIN_CHUNK = 10
"""Updates of pretraining between two looks at the outside world."""

RATE_WINDOW = 50
"""Updates over which the update rate is told."""


class LearnerOutputs(Protocol):
    """Interface through which the loop asks the node for publications, checkpoints and messages to people."""

    def publish_weights(self, packed: PackedWeights) -> None:
        """Send weights to the policy."""

    def progressed(self) -> None:
        """Counters or detail have changed: a good moment to publish a status."""

    def warn(self, message: str) -> None:
        """Tell people."""


class LearnerLoop:
    """Drives a :class:`Learner` with a run's transitions, and with what world models imagine.

    Args:
        following: keeps step with the world models; None where the method has none.

    Attributes:
        state, detail: for the status.
        weights_version: of the last published weights; checkpoint_step: real steps of the last checkpoint
            (-1: none).
        rejected: malformed transitions.
        logs: of the last updates.
        awake: the clock of what world models are waited for.
    """

    def __init__(
        self,
        learner: Learner,
        run: RunConfig,
        checkpoints: LearnerCheckpoints,
        outputs: LearnerOutputs,
        following: WorldModelFollowing | None = None,
    ) -> None:
        self.learner, self.run, self.checkpoints, self.outputs = learner, run, checkpoints, outputs
        config = learner.config
        self.intake = TransitionIntake()
        self.schedule = UpdateSchedule(config.utd, config.training_starts, 0)
        self.state: State = "waiting"
        self.detail = "for demonstrations" if run.demos else "for real steps"
        self.weights_version = checkpoints.last_version()
        self.checkpoint_step = self._checkpoint_updates = -1
        self.rejected = 0
        self.logs: dict[str, float] = {}
        self.policy_trains = False
        self.following, self.synthetic = following, SyntheticBuffer()
        self.awake = AwakeClock()
        self._before: Transition | None = None
        self._demo_successes = 0
        self._rejected_steps = 0
        self._restored = 0
        self._times: deque[float] = deque(maxlen=RATE_WINDOW)
        self._published_at = 0
        self._adapted = self._skip_told = False

    # --- counters ---

    @property
    def completed_steps(self) -> int:
        """Real steps for which all updates owed are done, those before the checkpoint included."""
        if not self._adapted:
            return 0
        completed = (
            self.schedule.completed(self.learner.real_steps, self.learner.updates) + self._rejected_steps
        )
        return max(completed, self._restored)

    @property
    def updates_owed(self) -> int:
        """Updates that the steps in replay still ask for."""
        return self.schedule.owed(self.learner.real_steps, self.learner.updates) if self._adapted else 0

    def updates_per_second(self) -> float:
        """Over the last updates; 0 where none was done of late."""
        if len(self._times) < 2 or time.monotonic() - self._times[-1] > 5.0:
            return 0.0
        return (len(self._times) - 1) / max(1e-9, self._times[-1] - self._times[0])

    # --- start ---

    def restore(self) -> Path | None:
        """Go on from the newest good checkpoint, and publish its weights at once. Returns its folder.

        Raises:
            CheckpointError: there are checkpoints, and none can be read.
        """
        path = self.checkpoints.load_newest(self.learner.load, self.outputs.warn)
        if path is not None:
            self._tell_device()
            self._adapted = True
            self._begin_schedule()
            self.checkpoint_step = self._restored = int(path.name.removeprefix("step_"))
            self._checkpoint_updates = self.learner.updates
            self.state, self.detail = "training", ""
            self.publish(dated=False)
        return path

    def _tell_device(self) -> None:
        learner = self.learner
        if learner.loaded_from != learner.device.type:
            self.outputs.warn(
                f"the checkpoint was written on {learner.loaded_from}, this learner computes on "
                f"{learner.device.type}: it goes on with other random numbers than it would have drawn there"
            )

    def _begin_schedule(self) -> None:
        config = self.learner.config
        pretrain = config.updates_before if self.run.demos else 0
        self.schedule = UpdateSchedule(config.utd, config.training_starts, pretrain)

    # --- one piece of work ---

    def work(self) -> bool:
        """Do one piece of work, an update at most; false if nothing can be done until something arrives."""
        if not self._adapted and self._adapt_due():
            self._adapt()
            return True
        if not self.run.lockstep:
            return self._take() or self._update_if_owed()
        if self.updates_owed and self.learner.ready:
            return self._update_if_owed()
        return self._take()

    def caught_up(self) -> bool:
        """True if all known transitions are in replay, with all their updates done."""
        return (
            self.intake.next_seq >= self.intake.known_end and not len(self.intake) and not self.updates_owed
        )

    def _take(self) -> bool:
        transition = self.intake.take()
        if transition is None:
            return False
        before = self.completed_steps
        try:
            self.learner.add(transition)
        except InvalidObservation as problem:
            self.rejected += 1
            self._rejected_steps += transition.source == "policy"
            self.learner.replay.seen.add(transition.seq)  # it is not waited for
            self.outputs.warn(f"transition {transition.seq} is refused: {problem}")
        if transition.source == "demo" and transition.success:
            self._demo_successes += 1
        self._note_end(transition)
        while self.intake.lost:
            self.learner.replay.seen.add(self.intake.lost.pop())
        self._on_progress(before)
        return True

    def _note_end(self, transition: Transition) -> None:
        """Episodes end with their last step, or where another one begins (the policy was killed)."""
        if self.following is None or transition.source != "policy":
            return
        before, self._before = self._before, transition
        if before is not None and not before.last and before.episode != transition.episode:
            self.following.episode_ended(self._steps - 1)
        if transition.last:
            self.following.episode_ended(self._steps)

    def _update_if_owed(self) -> bool:
        if not self.updates_owed or not self.learner.ready or not self._take_synthetic():
            return False
        self.state = "training"
        self.detail = (self.following.detail if self.following else "") or self.learner.detail
        before = self.completed_steps
        logs = self.learner.update()
        self.logs.update(logs)
        self._bound_skips()
        self._times.append(time.monotonic())
        self._on_progress(before)
        return True

    def _bound_skips(self) -> None:
        """Tell of the first skipped update. Raises :class:`RunFailed` where there are too many."""
        self.learner.skipped_lately.check()
        if self.learner.skipped_lately and not self._skip_told:
            self._skip_told = True
            self.outputs.warn(
                f"update {self.learner.updates} was skipped: its loss or gradient was not finite; more than "
                f"{self.learner.skipped_lately.limit} among {LATELY:,} end the run "
                "(learner.max_skipped_updates)"
            )

    # --- what is imagined ---

    @property
    def _steps(self) -> int:
        """Real steps so far, those that were refused included: as the world models count."""
        return self.learner.real_steps + self._rejected_steps

    def offer_synthetic(self, segment: SyntheticSegment) -> bool:
        """An imagined segment has arrived; False where it is a duplicate, or there is no room."""
        known = self.following is None or not self.following.arrived(segment.publisher, segment.seq)
        return not known and self.synthetic.put(segment)

    def _take_synthetic(self) -> bool:
        """Give the learner the segments that are used from this real step on.

        False if, in lockstep, some of them have not arrived yet.
        """
        following = self.following
        if following is None:
            return True
        if self.run.lockstep and not following.may_go_on(self._steps, self.awake()):
            self.state, self.detail = "training", following.detail
            self.outputs.progressed()
            return False
        while (segment := self.synthetic.take(self._steps)) is not None:
            self.learner.add_synthetic(segment)
        gate = following.gate_open(self._steps) if self.run.lockstep else following.newest_gate
        self.learner.algorithm.gate(gate)
        return True

    def _on_progress(self, before: int) -> None:
        """Do what newly completed steps ask for, in the order on which the policy relies.

        Called after each piece of work.
        """
        completed = self.completed_steps
        if completed != before:
            if (
                completed // self.run.publish_every > before // self.run.publish_every
                and completed > self._published_at
            ):
                self.publish()
            if (
                completed // self.run.checkpoint_every
                > max(before, self.checkpoint_step) // self.run.checkpoint_every
            ):
                self.checkpoint()
        self.outputs.progressed()

    # --- encoder ---

    def _adapt_due(self) -> bool:
        learner, following = self.learner, self.intake.peek()
        if learner.demo_steps:
            return (
                (self.run.demos > 0 and self._demo_successes >= self.run.demos)
                or (following is not None and following.source == "policy")
                or (
                    self.policy_trains and following is None and self.intake.next_seq >= self.intake.known_end
                )
            )
        if not self.weights_version and self.policy_trains and not self.run.demos:
            self.publish(dated=False)  # nothing to learn from: the policy begins with random weights
        return learner.real_steps >= max(1, learner.config.training_starts)

    def _adapt(self) -> None:
        """Fit the encoder to the demonstrations, pretrain, and give the policy its first weights."""
        self.state, self.detail = "adapting", "the encoder"
        self.outputs.progressed()
        self.learner.adapt_encoder(progress=self._on_adapting)
        self._begin_schedule()
        while self.learner.updates < self.schedule.pretrain:
            self.detail = f"pretraining, {self.learner.updates} of {self.schedule.pretrain} updates"
            self.outputs.progressed()
            chunk = min(PRETRAIN_CHUNK, self.schedule.pretrain - self.learner.updates)
            self.logs.update(self.learner.pretrain(chunk))
            self._bound_skips()
        self._adapted = True
        self.state, self.detail = "waiting", "for real steps"
        self.publish(dated=False)
        self.checkpoint()
        self.outputs.progressed()

    def _on_adapting(self, logs: dict[str, float]) -> None:
        self.detail = "the encoder, " + ", ".join(f"{name} {value:.3g}" for name, value in logs.items())
        self.outputs.progressed()

    # --- out ---

    @cpu_piece("weights out")
    def publish(self, dated: bool = True) -> None:
        """Send the weights; in lockstep ``dated`` to ``lag`` steps after the last completed one."""
        try:
            state = self.learner.actor_state()
        except FloatingPointError as problem:
            self.outputs.warn(str(problem))
            return
        completed = self.completed_steps
        self.weights_version += 1
        self.checkpoints.keep_version(self.weights_version)
        self.learner.published(self.weights_version)
        self._published_at = completed
        self.outputs.publish_weights(
            pack(
                state,
                self.learner.architecture(),
                self.weights_version,
                updates=self.learner.updates,
                real_steps=completed,
                effective_step=completed + self.run.lag if dated and self.run.lockstep else 0,
                run=self.run.name,
            )
        )

    def checkpoint_due(self) -> bool:
        """True if the last checkpoint lacks something."""
        return self._adapted and self.learner.updates != self._checkpoint_updates

    @cpu_piece("checkpoints")
    def checkpoint(self) -> Path:
        """Write a checkpoint now. Raises OSError."""
        step = self.completed_steps
        path = self.checkpoints.save(step, self.learner.save)
        self.checkpoint_step, self._checkpoint_updates = step, self.learner.updates
        return path

"""Learner and world model of a run, which take turns in one thread and are never behind."""

from __future__ import annotations

import time
from collections.abc import Callable

from worldsample_core.messages.weights import PackedWeights
from worldsample_core.settings import Settings
from worldsample_core.synthetic import SyntheticSegment
from worldsample_core.transition import Transition
from worldsample_policy.learning.make_learner_loop import make_learner_loop
from worldsample_policy.learning.world_model_following import WorldModelReport
from worldsample_worldmodel.running.make_worldmodel_loop import make_worldmodel_loop
from worldsample_worldmodel.running.worldmodel_loop import WorldModelLoop

PUBLISHER = "worldmodel"
"""Name of the world model, as in the graph."""


class LearningSide:
    """Learner and world model of a run: all the work that its transitions ask for.

    Args:
        settings: of the run.
        publish: takes the weights that shall act.
        warn: tells people.
        looked: called between two pieces of work; may raise, to stop.

    Attributes:
        learner: the learner's loop. world: the world model's; None where the method has none.
    """

    def __init__(
        self,
        settings: Settings,
        publish: Callable[[PackedWeights], None],
        warn: Callable[[str], None],
        looked: Callable[[], None],
    ) -> None:
        """Raises ConfigError."""
        self._publish, self.warn, self._looked = publish, warn, looked
        self.learner = make_learner_loop(settings, self)
        self.world: WorldModelLoop | None = None
        if self.learner.following is not None:
            self.world = make_worldmodel_loop(settings, self, PUBLISHER)
        self._tell_learner()

    def restore(self) -> None:
        """Go on from the newest good checkpoints. Raises CheckpointError."""
        self.learner.restore()
        if self.world is not None:
            self.world.restore()

    def take(self, transition: Transition) -> None:
        """Do all the work that one more transition asks for."""
        for loop in (self.world, self.learner):
            if loop is not None:
                loop.intake.offer(transition)
        self.work()

    def policy_trains(self) -> None:
        """The demonstrations are over."""
        if not self.learner.policy_trains:
            for loop in (self.world, self.learner):
                if loop is not None:
                    loop.policy_trains = True
            self.work()

    def work(self) -> None:
        """Do all the work that can be done."""
        while self.world is not None and self.world.work():
            self._tell_learner()
        while self.learner.work():
            pass

    def checkpoint(self) -> int:
        """Write the learner's checkpoint, and publish what it holds. Returns its updates. Raises OSError."""
        self.learner.checkpoint()
        self.learner.publish(dated=False)
        return self.learner.learner.updates

    def close(self) -> None:
        """Write the checkpoints that are due. Raises OSError."""
        for loop in (self.world, self.learner):
            if loop is not None and loop.checkpoint_due():
                loop.checkpoint()

    def _tell_learner(self) -> None:
        """Let the learner know how far the world model is."""
        world, following = self.world, self.learner.following
        if world is None or following is None:
            return
        report = WorldModelReport(
            PUBLISHER,
            world.completed_steps,
            world.published.segments,
            world.gate_open,
            world.failed,
            world.detail,
            world.adaptation.trainer.updates,
        )
        following.heard(report, time.monotonic())

    # --- what the loops ask for ---

    def publish_weights(self, packed: PackedWeights) -> None:
        """Hand weights to the policy, also where it acts in the imagination."""
        if self.world is not None and self.world.policy is not None:
            self.world.policy.receive(packed)
        self._publish(packed)

    def publish_segment(self, segment: SyntheticSegment) -> None:
        """Hand an imagined segment to the learner."""
        self.learner.offer_synthetic(segment)

    def progressed(self) -> None:
        """Let others look at how far the work is."""
        self._looked()

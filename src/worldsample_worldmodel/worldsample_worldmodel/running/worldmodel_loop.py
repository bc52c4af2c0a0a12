"""The world model's loop: adapt to the demonstrations, then train, release and imagine after each episode.

Free of ROS. All work is counted in real steps and done in small pieces. In lockstep an episode's work is done
before the next transition is taken, so that a seed repeats; in real time all finished episodes are worked off
together, and what is too much is left out.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from worldsample_core.episodes.transition_intake import TransitionIntake
from worldsample_core.imagined_policy import ImaginedPolicy
from worldsample_core.messages.weights import InvalidWeights
from worldsample_core.node.cpu_account import cpu_piece
from worldsample_core.observation import InvalidObservation
from worldsample_core.settings import RunConfig
from worldsample_core.synthetic import SyntheticSegment
from worldsample_worldmodel.data.episode_assembly import EpisodeAssembly, FinishedEpisode
from worldsample_worldmodel.data.episodes import Episode
from worldsample_worldmodel.imagination.imagination import ActingPolicy
from worldsample_worldmodel.running.backpressure import Backpressure
from worldsample_worldmodel.running.world_model_checkpoints import Published, WorldModelCheckpoints
from worldsample_worldmodel.training.adaptation import Adaptation
from worldsample_worldmodel.training.trainer import DivergedTraining, Logs
from worldsample_worldmodel.worldmodel_config import WorldModelNodeConfig

State = Literal["waiting", "adapting", "generating", "failed"]
Pieces = Iterator[None]
"""A longer work that gives way between its pieces."""

GENERATION = 17
"""Stream of random numbers, by seed and real step, from which segments are drawn."""
CORRECTIONS = 23
"""Stream of random numbers, by seed and real step, from which corrections are drawn."""
MAX_DIVERGED = 3
"""Times in a row that training may diverge, without a release in between, before it ends."""
RATE_WINDOW = 40
"""Segments over which the rate is told."""


class WorldModelOutputs(Protocol):
    """Interface through which the loop asks the node for publications and messages to people."""

    def publish_segment(self, segment: SyntheticSegment) -> None:
        """Send a segment to the learner."""

    def progressed(self) -> None:
        """Counters or detail have changed; also a good moment to look at what came in."""

    def warn(self, message: str) -> None:
        """Tell people."""


class WorldModelLoop:
    """Drives an :class:`Adaptation` with a run's transitions.

    Args:
        publisher: name in what is published, unique among the world models of a run.
        index, count: of the world models that share the generation, this one imagines after every episode
            whose number is ``index`` modulo ``count``.
        policy: acts in a share of the segments, with the weights that acted at the episode's end.

    Attributes:
        state, detail: for the status.
        completed_steps: real steps at the end of the last episode whose work is all done.
        published: what has been sent, over all lives of this publisher.
        refused: episodes that could not be used; lost: transitions that no disk has any more.
        diverged: times in a row that training has diverged.
        policy_trains: the policy is past the demonstrations.
    """

    def __init__(
        self,
        adaptation: Adaptation,
        config: WorldModelNodeConfig,
        run: RunConfig,
        folder: WorldModelCheckpoints,
        outputs: WorldModelOutputs,
        publisher: str = "worldmodel",
        index: int = 0,
        count: int = 1,
        policy: ImaginedPolicy | None = None,
    ) -> None:
        self.adaptation, self.config, self.run = adaptation, config, run
        self.folder, self.outputs, self.publisher = folder, outputs, publisher
        self.index, self.count = index, count
        self.policy = policy
        self.lag = config.effective_lag(adaptation.task.horizon)
        self.catch_up = 2 * adaptation.task.horizon
        self.intake = TransitionIntake()
        self.assembly = EpisodeAssembly(run.image_size, adaptation.task.horizon)
        self.backpressure = Backpressure(config.backlog)
        self.state: State = "waiting"
        self.detail = "for demonstrations" if run.demos else "for real episodes"
        self.completed_steps = 0
        self.published = folder.published()
        self.refused = self.lost = self.diverged = 0
        self.policy_trains = False
        self.logs: Logs = {}
        self._adapted = False
        self._restored = -1
        self._labels = False
        self._demo_successes = 0
        self._finished: deque[FinishedEpisode] = deque()
        self._work: Pieces | None = None
        self._checkpoint_updates = self._diverged_at = -1
        self._sent: deque[tuple[float, int]] = deque(maxlen=RATE_WINDOW)

    # --- for the status ---

    @property
    def gate_open(self) -> bool:
        """True if imagined data may be trained on: held-out quality suffices, and labels can be given."""
        return self.adaptation.gate_open and self._labels

    @property
    def failed(self) -> bool:
        """There is no model that could be used, and training has ended."""
        return self.state == "failed"

    @property
    def rejected(self) -> int:
        """Segments that the guards stopped; they were not published."""
        return sum(self.adaptation.imagination.rejected.values())

    def transitions_per_second(self) -> float:
        """Imagined transitions over the last segments; 0 where none was made of late."""
        if len(self._sent) < 2 or time.monotonic() - self._sent[-1][0] > 10.0:
            return 0.0
        made = sum(length for _, length in list(self._sent)[1:])
        return made / max(1e-9, self._sent[-1][0] - self._sent[0][0])

    def description(self, dropped: str = "") -> str:
        """The detail, and what was refused so far.

        Args:
            dropped: what the node could not use of what it received, in words.
        """
        parts = [self.detail, dropped]
        if self.lost:
            parts.append(f"{self.lost} lost transitions")
        if self.refused:
            parts.append(f"{self.refused} unusable episodes")
        if self.diverged:
            parts.append(f"training has diverged {self.diverged} times")
        return ", ".join(part for part in parts if part)

    # --- start ---

    def restore(self) -> bool:
        """Go on from the newest good checkpoint; true if there was one.

        Without one the world model is adapted again.
        """
        counters = self.folder.load_newest(self.adaptation.load, self.outputs.warn)
        if counters is None:
            return False
        self._adapted = True
        self._labels = bool(counters.get("labels", False))
        self.completed_steps = self._restored = int(counters.get("completed_steps", 0))
        self._checkpoint_updates = self.adaptation.trainer.updates
        self.state, self.detail = "generating" if self._restored else "waiting", "for the run's episodes"
        return True

    # --- one piece of work ---

    def work(self) -> bool:
        """Do one piece of work. False where there is nothing to do until something arrives."""
        if not self.run.lockstep:
            while self._take():
                pass
        if self._work is None:
            self._work = self._next_work()
        if self._work is None:
            return self._take()
        if next(self._work, self) is self:
            self._work = None
        self.outputs.progressed()
        return True

    def _next_work(self) -> Pieces | None:
        if self._adapt_due():
            return self._adapt()
        if not self._finished:
            return None
        if self.run.lockstep:
            return self._follow([self._finished.popleft()])
        finished = list(self._finished)
        self._finished.clear()
        return self._follow(finished)

    def _take(self) -> bool:
        """Take one transition. In lockstep only where no work waits, so that its order is always the same."""
        transition = self.intake.take()
        if transition is None:
            return False
        if self.intake.lost:
            self.lost += len(self.intake.lost)
            self.intake.lost.clear()
        for finished in self.assembly.add(transition):
            if finished.demo or finished.end <= self._restored:
                self._add(finished)
            else:
                self._finished.append(finished)
        if self._restored >= 0 and self.assembly.real_steps > self._restored:
            self.adaptation.renew_exemplars()  # all episodes of the time before the restart are there
            self._restored = -1
        return True

    @cpu_piece("intake")
    def _add(self, finished: FinishedEpisode) -> None:
        problem = finished.problem
        if finished.episode is not None:
            try:
                self.adaptation.add(finished.episode)
                self._demo_successes += finished.demo and finished.success
            except InvalidObservation as refusal:
                problem = str(refusal)
        if problem:
            self.refused += 1
            self.outputs.warn(f"episode {finished.number} is refused: {problem}")

    # --- adaptation ---

    def _adapt_due(self) -> bool:
        if self._adapted or not self.adaptation.memory.training:
            return False
        following = self.intake.peek()
        return (
            (self.run.demos > 0 and self._demo_successes >= self.run.demos)
            or (following is not None and following.source == "policy")
            or (self.policy_trains and following is None and self.intake.next_seq >= self.intake.known_end)
        )

    def _adapt(self) -> Pieces:
        self.state = "adapting"
        for update in range(self.config.adapt_updates):
            self.detail = f"{update} of {self.config.adapt_updates} updates"
            self._train()
            yield
        yield from self._release()
        self._adapted = True
        if not self.failed:
            self.checkpoint()
            yield from self._correct(self._first_corrections(), 0)
            self.state, self.detail = "waiting", "for real episodes"

    def _train(self) -> None:
        if self.diverged > MAX_DIVERGED:
            return
        try:
            self.logs = self.adaptation.train(1)
        except DivergedTraining as problem:
            self.diverged += 1
            if self.diverged <= MAX_DIVERGED:
                self.adaptation.start_again()
                self._diverged_at = self.adaptation.trainer.updates
                version = self.adaptation.version
                where = f"version {version}" if version else "the beginning"
                self.outputs.warn(f"{problem}; training starts again from {where}")
            else:
                self.outputs.warn(f"{problem}; training ends, version {self.adaptation.version} stays in use")

    def _release(self) -> Pieces:
        """The averaged weights become the generator, are measured, and the reward model is fitted."""
        adaptation = self.adaptation
        if self.diverged > MAX_DIVERGED:
            if not adaptation.version:
                self.state, self.detail = (
                    "failed",
                    "the world model cannot be trained: its loss is not finite",
                )
            return
        before = adaptation.version
        adaptation.release(self._say, self.config.generation_batch)
        if adaptation.version > before:
            if adaptation.trainer.updates > self._diverged_at:
                self.diverged = 0
        else:
            self.outputs.warn("the weights are not finite: the version before stays in use")
            adaptation.start_again()
        yield
        try:
            adaptation.fit_reward_model(self.config.reward_segments, self._say)
            parameters = adaptation.reward_model.parameters()
            self._labels = all(bool(value.isfinite().all()) for value in parameters)
        except ValueError as problem:
            self.outputs.warn(f"no labels for imagined segments yet: {problem}")
        yield

    def _say(self, detail: str) -> None:
        self.detail = detail
        self.outputs.progressed()

    # --- after each real episode ---

    def _follow(self, finished: Sequence[FinishedEpisode]) -> Pieces:
        """Work that the real steps of these episodes ask for."""
        for episode in finished:
            self._add(episode)
        if not self._adapted and self.adaptation.memory.training:
            yield from self._adapt()
        before, end = finished[0].before, finished[-1].end
        if self._adapted and not self.failed:
            self.state = "generating"
            updates = self._owed(self.config.updates_per_step, before, end)
            for update in range(updates):
                self.detail = f"training, {update} of {updates} updates"
                self._train()
                yield
            released = end // self.config.release_every > before // self.config.release_every
            if released:
                yield from self._release()
            yield from self._imagine(finished)
            self.completed_steps = end
            self._keep(replace(self.published, generated_steps=max(end, self.published.generated_steps)))
            if released:
                self.checkpoint()
            self.detail = self._explain_gate()
        self.completed_steps = end

    def _owed(self, rate: float, before: int, end: int) -> int:
        """Number of pieces owed for the real steps from ``before`` to ``end``.

        Real time counts the last two horizons of them at most.
        """
        if not self.run.lockstep:
            before = max(before, end - self.catch_up)
        return math.floor(rate * end) - math.floor(rate * before)

    def _explain_gate(self) -> str:
        if self.gate_open:
            return f"version {self.adaptation.version}"
        return "the gate is closed: " + (
            "held-out quality does not suffice" if self._labels else "no reward model yet"
        )

    def _imagine(self, finished: Sequence[FinishedEpisode]) -> Pieces:
        """The segments owed for these episodes: some from the newest episodes, some from anywhere."""
        end = finished[-1].end
        if not self.gate_open or end <= self.published.generated_steps:
            return
        mine = [f for f in finished if f.number % self.count == self.index]
        acting = self._acting(finished)
        group = self.config.imagination.group if acting else 1
        rate = self.config.segments_per_step / group
        count = sum(self._owed(rate, f.before, f.end) for f in mine)
        if not self.run.lockstep:
            count = min(count, math.ceil(rate * self.catch_up))
        rng = np.random.default_rng((self.run.seed, GENERATION, end))
        recent, older = self._sources()
        from_recent = int(rng.binomial(count, self.config.recent_share)) if older else count
        made = 0
        for source, starts in ((recent, from_recent), (older, count - from_recent)):
            by_policy = int(rng.binomial(starts, self.config.policy_share)) if acting else 0
            helped = int(rng.binomial(by_policy, self.config.takeover_share))
            if not any(len(episode.takeovers()) for episode in source):
                helped = 0
            for many, acts, takeovers in (
                (group * helped, acting, True),
                (group * (by_policy - helped), acting, False),
                (group * (starts - by_policy), None, False),
            ):
                left = many
                while left:
                    if not self.run.lockstep and self.backpressure.holds:
                        return  # the learner does not keep up: more would only grow old
                    batch = min(left, max(group, self.config.generation_batch // group * group))
                    left, made = left - batch, made + batch
                    self.detail = f"imagining, {made} of {group * count} segments"
                    try:
                        segments = self.adaptation.imagination.generate(source, batch, rng, acts, takeovers)
                    except ValueError:  # no episode is long enough
                        break
                    for segment in segments:
                        self._publish(segment, end)
                    yield

        corrections = sum(self._owed(self.config.corrections_per_step, f.before, f.end) for f in mine)
        yield from self._correct(corrections, end)

    def _first_corrections(self) -> int:
        """This world model's part of the corrections that are imagined before the first real step."""
        done = self.published.generated_steps > 0 or not self.gate_open
        return 0 if done else len(range(self.index, self.config.first_corrections, self.count))

    def _correct(self, count: int, end: int) -> Pieces:
        """Imagine corrections of what a person has shown so far, for real step ``end``."""
        rng = np.random.default_rng((self.run.seed, CORRECTIONS, end, self.index))
        made = 0
        while made < count:
            if not self.run.lockstep and self.backpressure.holds:
                return
            batch = min(count - made, self.config.generation_batch)
            made += batch
            self.detail = f"imagining corrections, {made} of {count}"
            try:
                segments = self.adaptation.imagination.corrections(
                    self.adaptation.memory.training, batch, rng, self.config.correction
                )
            except ValueError:  # nobody has shown enough
                return
            for segment in segments:
                self._publish(segment, end)
            yield

    def _acting(self, finished: Sequence[FinishedEpisode]) -> ActingPolicy | None:
        """The policy with the weights that acted last in these episodes; None before there are any."""
        episodes = [f.episode for f in finished if f.episode is not None]
        if self.policy is None or not episodes or not self.config.policy_share:
            return None
        try:
            version = self.policy.use(episodes[-1].policy_version(len(episodes[-1]) - 1))
        except InvalidWeights as problem:
            self.outputs.warn(f"the policy does not act in the imagination: {problem}")
            return None
        return ActingPolicy(self.policy, version) if version else None

    def _sources(self) -> tuple[list[Episode], list[Episode]]:
        training = self.adaptation.memory.training
        online = [episode for episode in training if not episode.demo]
        recent = online[-self.config.recent_episodes :] or training
        known = {id(episode) for episode in recent}
        return recent, [episode for episode in training if id(episode) not in known]

    def _publish(self, segment: SyntheticSegment, end: int) -> None:
        segment = replace(
            segment,
            run=self.run.name,
            publisher=self.publisher,
            seq=self.published.segments,
            effective_step=end + self.lag if self.run.lockstep else 0,
        )
        self._keep(
            replace(
                self.published,
                segments=self.published.segments + 1,
                transitions=self.published.transitions + len(segment),
            )
        )
        self._sent.append((time.monotonic(), len(segment)))
        self.backpressure.sent()
        self.outputs.publish_segment(segment)

    # --- on disk ---

    def _keep(self, published: Published) -> None:
        self.published = published
        try:
            self.folder.keep_published(self.published)
        except OSError as error:
            self.outputs.warn(f"the count of published segments cannot be kept: {error}")

    def checkpoint_due(self) -> bool:
        """True if the last checkpoint lacks something, at the end of an episode's work."""
        return (
            self._adapted
            and self._work is None
            and self.adaptation.trainer.updates != self._checkpoint_updates
        )

    @cpu_piece("checkpoints")
    def checkpoint(self) -> Path | None:
        """Write one now; None where the disk does not take it: the run goes on all the same."""
        extra = {"completed_steps": self.completed_steps, "labels": self._labels}
        try:
            path = self.folder.save(self.completed_steps, lambda path: self.adaptation.save(path, extra))
        except OSError as error:
            self.outputs.warn(f"no checkpoint of the world model: {error}")
            return None
        self._checkpoint_updates = self.adaptation.trainer.updates
        return path

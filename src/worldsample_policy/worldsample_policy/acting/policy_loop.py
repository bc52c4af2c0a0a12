"""The policy's loop: one episode after the other; each finished step is on disk before it is sent.

Free of ROS: the node brings in messages and carries out what :class:`Outputs` asks for.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from worldsample_core.arm.joint_reading import JointReading
from worldsample_core.config import from_mapping
from worldsample_core.disturbance_config import DisturbanceConfig
from worldsample_core.episodes.episode_bag import encode_transition
from worldsample_core.episodes.episode_store import EpisodeStore
from worldsample_core.episodes.label_count import label_count
from worldsample_core.node.stopping import RunFailed
from worldsample_core.observation import ACTION_DIM, Observation
from worldsample_core.settings import Settings
from worldsample_core.success_detector import SuccessDetector
from worldsample_core.transition import EpisodeKind, EpisodeSummary
from worldsample_policy.acting.disturbance import Disturbance
from worldsample_policy.acting.evaluation_beside import EvaluationBeside
from worldsample_policy.acting.evaluation_pictures import EvaluationPictures
from worldsample_policy.acting.observation_assembly import Tick
from worldsample_policy.acting.rollout import RECORDINGS, Act, Action, EpisodeRollout
from worldsample_policy.acting.run_plan import EvaluationLog, NextEpisode, RunPlan
from worldsample_policy.acting.weights_switch import WeightsSwitch

State = Literal["idle", "weights", "checkpoint", "reset", "running", "evaluating", "done"]

WINDOW = 20
"""Episodes over which success and intervention rates are told."""

MAX_INVALID_ACTIONS = 20
"""Unusable actions of the policy in a row after which the run stops."""

CATCH_UP = 120.0
"""Real time: seconds that the learner gets at the end to do the updates it still owes."""

PUSHES = 19
"""Stream of random numbers, by seed and episode, from which pushes are drawn."""
MAX_RESET_FAILURES = 3
EMPTY_EPISODES = 100
"""Episodes without a step, in a row, after which the run stops."""


class Outputs(Protocol):
    """Interface through which the loop asks the node to act. No call waits."""

    def request_reset(self, seed: int, mode: str, episode: int) -> None:
        """Bring the cell to the start; :meth:`PolicyLoop.on_reset` gets the answer."""

    def request_checkpoint(self) -> None:
        """Have the learner write its last checkpoint; :meth:`PolicyLoop.on_checkpoint` gets the answer."""

    def publish_transition(self, record: bytes) -> None:
        """Send a finished step, which is on disk."""

    def publish_summary(self, summary: EpisodeSummary) -> None:
        """Send the summary of an evaluation episode (those of real episodes follow their bags)."""

    def begin_episode(self, seed: int, deterministic: bool) -> None:
        """A policy that explores restarts its noise from ``seed``."""

    def load_due_weights(self, real_steps: int) -> None:
        """Take the weights that are dated to ``real_steps`` or earlier."""


class PolicyLoop:
    """State machine of a run.

    ``idle`` -> (``weights`` | ``checkpoint`` ->) ``reset`` -> ``running`` -> ``idle`` ... -> ``done``. With
    evaluations beside training, ``evaluating`` is where only they are waited for.

    Args:
        act: the policy.
        weights: which weights have arrived.
        first_weights_patience: s without a sign of life of the learner after which training begins without
            weights.
        beside: evaluates in another process; None: evaluations run in the cell.
        detector: says that a rollout has succeeded: in training, and in evaluations of a real cell; None:
            only the operator's button does.

    Attributes:
        state: see above.
        next: the episode that is running or about to.
        detail: for people, what is being waited for.
        detected: steps of the last finished episode where the detector ended it as a success; else 0.
        checkpointed: the learner has written its last checkpoint (or the run has no learner).
    """

    def __init__(
        self,
        settings: Settings,
        store: EpisodeStore,
        evaluations: EvaluationLog,
        act: Act,
        weights: WeightsSwitch,
        outputs: Outputs,
        first_weights_patience: float = 60.0,
        detector: SuccessDetector | None = None,
        beside: EvaluationBeside | None = None,
    ) -> None:
        self.settings, self.store, self.evaluations = settings, store, evaluations
        self.act, self.weights, self.outputs = act, weights, outputs
        self.patience = first_weights_patience
        self.detector, self.beside = detector, beside
        if beside is not None:
            beside.restore(evaluations.entries)
        self.detected = 0
        self.plan = RunPlan(settings.run, settings.task)
        self._pushes = from_mapping(
            DisturbanceConfig, settings.operator.get("disturbance", {}), "operator.disturbance"
        )
        self.state: State = "idle"
        self.next: NextEpisode | None = None
        self.detail = ""
        self.rollout: EpisodeRollout | None = None
        self._episodes = store.summaries
        recent = [e for e in self._episodes if e.kind == "train"][-WINDOW:]
        self._recent: deque[EpisodeSummary] = deque(recent, maxlen=WINDOW)
        self._learner_seen: float | None = None
        self._waiting_since = 0.0
        self._completed = 0
        self._checkpoint_due = settings.run.mode == "train"
        self._requested = False
        self.checkpointed = not self._checkpoint_due
        self._final_updates = 0
        self._reset_failures = 0
        self._empty = 0
        self._invalid = 0
        self._joints: JointReading | None = None
        self._random = np.random.default_rng(settings.run.seed)
        self._pictures = EvaluationPictures(settings.run.path, settings.task.control_period)

    # --- between episodes ---

    @property
    def kind(self) -> EpisodeKind | None:
        """Kind of the episode that runs or comes next."""
        return self.next.kind if self.next else None

    def advance(self, now: float) -> None:
        """Go on where nothing is to be waited for. Call it now and then. now: s, monotonic.

        Raises:
            RunFailed, StorageError, ConfigError.
        """
        self._collect(now)
        if self.state == "idle":
            self._choose(now)
        if self.state == "checkpoint" and not self._requested and self._learner_caught_up(now):
            self._requested = True
            self.outputs.request_checkpoint()
        if self.state == "weights" and self._may_start(now):
            if self.beside is None or self.kind != "eval":
                self._reset()
            elif not self.weights.wait(self.store.real_steps, now):
                self._evaluate_beside(self.beside, now)

    def _choose(self, now: float) -> None:
        waits = self.beside is not None and self.beside.outstanding > 0
        following = None
        if not (waits and self.settings.run.stop_when_solved):  # then the results decide what comes next
            following = self._planned()
        if following is None and waits:
            self.state, self.detail = "evaluating", ""
            return
        self.next = following
        self._waiting_since = now
        if self._checkpoint_due and (self.next is None or self.next.final):
            self.state, self.detail = "checkpoint", "waiting for the learner's last checkpoint"
        elif self.next is None:
            self.state, self.detail = "done", ""
        else:
            self.state = "weights"

    def _planned(self) -> NextEpisode | None:
        """The next episode, as if the evaluations that are under way had ended."""
        awaited = [] if self.beside is None else self.beside.awaited()
        return self.plan.next(
            self._episodes,
            [*self.evaluations.entries, *awaited],
            self.store.next_episode,
            self.store.real_steps,
            self._empty,
        )

    def _evaluate_beside(self, beside: EvaluationBeside, now: float) -> None:
        """Ask for all episodes of the evaluation that is due, with the weights that are due here."""
        self.outputs.load_due_weights(self.store.real_steps)
        first = self.next
        while self.next is not None and self.next.kind == "eval":
            beside.post([self.next], self.store.real_steps, self.weights.version, now)
            self.next = self._planned()
        self.next, self.state = first, "idle"

    def _collect(self, now: float) -> None:
        """Take the results that have come from beside."""
        if self.beside is None:
            return
        for evaluation in self.beside.collect(now):
            self.evaluations.append(evaluation.summary, evaluation.final)
            self.outputs.publish_summary(evaluation.summary)
            if self.state == "evaluating" and self.next is not None:
                self.next = dataclasses.replace(self.next, number=min(self.next.number + 1, self.next.of))
        if self.state == "evaluating" and not self.beside.outstanding:
            self.state = "idle"

    def on_learner(self, completed_steps: int, detail: str, now: float) -> None:
        """A sign of life of the learner: real steps that it is done with, and what it is doing."""
        self._learner_seen, self._completed = now, completed_steps
        if self.state in ("weights", "checkpoint"):
            self.detail = f"waiting for the learner: {detail}" if detail else "waiting for the learner"

    def learner_silent(self, now: float) -> float:
        """Seconds without a sign of life of the learner, while it was waited for."""
        return now - max(self._waiting_since, self._learner_seen or 0.0)

    def _learner_caught_up(self, now: float) -> bool:
        """True if the learner is done with all real steps, or is waited for no longer."""
        limit = float("inf") if self.settings.run.lockstep else CATCH_UP
        return (
            (self._learner_seen is not None and self._completed >= self.store.real_steps)
            or self.learner_silent(now) > self.patience
            or now - self._waiting_since > limit
        )

    def on_checkpoint(self, success: bool, updates: int) -> None:
        """Take the learner's answer: its last checkpoint, after ``updates`` updates.

        The final evaluation acts on those weights. Without success (a dead learner) the run goes on with the
        weights at hand, and tries once more at its end.
        """
        if self.state != "checkpoint":
            return
        self._requested = False
        self.checkpointed = success
        self._final_updates = updates if success else 0
        if success or self.next is None:
            self._checkpoint_due = False
        if self.next is None:
            self.state, self.detail = "done", ""
        else:
            self.state = "weights"

    def _may_start(self, now: float) -> bool:
        assert self.next is not None
        run, weights = self.settings.run, self.weights
        if run.mode != "train" or self.next.kind in RECORDINGS:
            return True
        if weights.newest and weights.newest_updates >= self._final_updates:
            return True
        return (now - self._waiting_since if weights.newest else self.learner_silent(now)) > self.patience

    def _reset(self) -> None:
        assert self.next is not None
        self.state, self.detail = "reset", "the cell is being reset"
        self.outputs.request_reset(self.next.seed, self.next.kind, self.next.index)

    def on_reset(self, success: bool, message: str) -> None:
        """The cell's answer. Raises :class:`RunFailed` where it fails again and again."""
        if self.state != "reset" or self.next is None:
            return
        if not success:
            self._reset_failures += 1
            if self._reset_failures >= MAX_RESET_FAILURES:
                raise RunFailed(
                    f"the cell cannot be reset ({message})", "look at the arm's log and at its workspace"
                )
            self._reset()
            return
        self._reset_failures = 0
        plan, settings = self.next, self.settings
        episode = plan.index
        if plan.kind != "eval":
            episode = self.store.begin(plan.kind, plan.seed)
        self.outputs.begin_episode(plan.seed, plan.kind == "eval")
        self.rollout = EpisodeRollout(
            plan.kind,
            settings.task,
            plan.max_steps,
            self._policy,
            settings.run.name,
            episode,
            self._disturbance(plan.kind, episode),
            plan.kind == "eval" and settings.run.evaluates_mean,
        )
        if plan.kind == "label":
            self.rollout.labels = label_count(self._episodes)
            self.rollout.labels_wanted = settings.run.labels
        self.detected = 0
        if self.detector is not None:
            self.detector.restart()
        self.state, self.detail = "running", ""

    def _disturbance(self, kind: EpisodeKind, episode: int) -> Disturbance | None:
        """The pushes of an episode; None where nothing disturbs its operator."""
        run, pushes = self.settings.run, self._pushes
        rate = {"demo": pushes.demos, "train": pushes.help}.get(kind, 0.0)
        if rate == 0.0 or not (run.sim or pushes.real):
            return None
        return Disturbance(pushes, rate, self.settings.task.active_mask, run.seed, PUSHES, episode)

    # --- in an episode ---

    def must_wait(self, now: float) -> bool:
        """True if the next tick should wait for weights that are dated to it. now: s, monotonic."""
        if self.state != "running" or self.rollout is None or self.rollout.kind in RECORDINGS:
            return False
        return self.weights.wait(self._steps_at_tick(self.rollout), now)

    def _steps_at_tick(self, rollout: EpisodeRollout) -> int:
        """Real steps once the next tick has finished the step that is under way."""
        return self.store.real_steps + (rollout.kind == "train" and rollout.in_step)

    def take_executed(self, action: Action) -> None:
        """The arm has executed this action (7,) in place of the last one that was sent."""
        if self.state == "running" and self.rollout is not None:
            self.rollout.take_executed(action)

    def drop_step(self) -> bool:
        """The arm has not executed the last command: its step is not recorded. True if there was one."""
        return self.state == "running" and self.rollout is not None and self.rollout.drop_step()

    def on_tick(self, tick: Tick) -> Action | None:
        """One control step: the action (7,) to execute now, or None where the episode ended.

        Raises:
            RunFailed, StorageError: the step that this tick finishes may be lost, none before it.
        """
        if self.state != "running" or self.rollout is None:
            return None
        rollout = self.rollout
        counted = rollout.kind != "eval"
        if rollout.kind not in RECORDINGS and not self._frozen(rollout):
            self.outputs.load_due_weights(self._steps_at_tick(rollout))
        before = rollout.counts.invalid_actions
        action = rollout.tick(self._judged(rollout, tick), self.store.next_seq)
        if rollout.kind == "label":
            self.detail = rollout.labelled.in_words(rollout.labels_wanted)
        if not counted:
            self._pictures.add(tick.observation.images)
        if rollout.finished is not None and counted:
            record = encode_transition(rollout.finished)
            self.store.append(record, self._joints, tick.joints)
            self.outputs.publish_transition(record)
        self._joints = tick.joints
        if rollout.ended:
            self._end_episode()
            return None
        self._invalid = self._invalid + 1 if rollout.counts.invalid_actions > before else 0
        if self._invalid >= MAX_INVALID_ACTIONS:
            raise RunFailed(
                f"the last {self._invalid} actions were not finite; zero was executed instead",
                "look at the learner's losses and resume from an earlier checkpoint (remove the newest ones)",
            )
        return action

    def _judged(self, rollout: EpisodeRollout, tick: Tick) -> Tick:
        """The tick with the detector's success as a pressed button.

        The operator's *failure* and *abort* overrule it.
        """
        judged = ("train",) if self.settings.run.sim else ("train", "eval")
        if self.detector is None or rollout.kind not in judged:
            return tick
        operator, succeeded = tick.operator, self.detector.observe(tick.observation)
        if not succeeded or operator.failure or operator.abort or operator.success:
            return tick
        self.detected = rollout.counts.steps + 1
        return dataclasses.replace(tick, operator=dataclasses.replace(operator, success=True))

    def _frozen(self, rollout: EpisodeRollout) -> bool:
        """An evaluation is of one policy: in real time the weights stay as they were at its first step."""
        begun = self.next is not None and (self.next.number > 0 or rollout.counts.steps > 0)
        return (
            rollout.kind == "eval" and not self.settings.run.lockstep and begun and self.weights.version > 0
        )

    def _policy(self, observation: Observation, deterministic: bool) -> tuple[NDArray[np.floating], int]:
        if not self.weights.version and self.settings.run.mode == "train":
            return self._random.uniform(-0.3, 0.3, ACTION_DIM), 0  # no weights yet: small random motions
        if self.settings.run.black_images:
            observation = dataclasses.replace(observation, images=np.zeros_like(observation.images))
        return self.act(observation, deterministic)

    def _end_episode(self) -> None:
        rollout, plan = self.rollout, self.next
        assert rollout is not None and plan is not None
        counts = rollout.counts
        summary = EpisodeSummary(
            kind=rollout.kind,
            episode=rollout.episode,
            steps=counts.steps,
            episode_return=counts.episode_return,
            success=counts.success,
            truncated=counts.truncated,
            aborted=counts.aborted,
            intervention_steps=counts.intervention_steps,
            policy_version=counts.policy_version,
            real_steps=self.store.real_steps,
            seed=plan.seed,
            run=self.settings.run.name,
        )
        self.rollout = None
        self.state = "idle"
        self._empty = 0 if counts.steps else self._empty + 1
        if self._empty >= EMPTY_EPISODES:
            raise RunFailed(
                f"{self._empty} episodes ended before their first step", "is the abort button stuck?"
            )
        if rollout.kind == "eval":
            if counts.steps:
                self.evaluations.append(summary, plan.final)
                self.outputs.publish_summary(summary)
            self._pictures.end(self._evaluated_steps(), plan.seed, counts.success)
            return
        summary = self.store.finish(summary)
        if counts.steps:
            self._episodes.append(summary)
        if rollout.kind == "train" and counts.steps:
            self._recent.append(summary)

    def _evaluated_steps(self) -> int:
        """Real steps behind the weights that act: the checkpoint's where there is no training."""
        checkpoint = Path(self.settings.run.checkpoint).name.removeprefix("step_")
        return int(checkpoint) if checkpoint.isdigit() else self.store.real_steps

    def interrupt(self) -> None:
        """Stop here: the running episode is closed as aborted; what it did stays."""
        if self.state == "running" and self.rollout is not None:
            self.rollout.interrupt()
            if self.rollout.kind != "eval":
                self.store.interrupt()
        if self.beside is not None:
            self.beside.close()
        self.rollout, self.state = None, "done"

    # --- for people ---

    def success_rate(self) -> float:
        """Over the last training episodes (0 before the first)."""
        return sum(e.success for e in self._recent) / len(self._recent) if self._recent else 0.0

    def intervention_rate(self) -> float:
        """Fraction of the steps of the last training episodes."""
        steps = sum(e.steps for e in self._recent)
        return sum(e.intervention_steps for e in self._recent) / steps if steps else 0.0

"""A whole run in one process: its folder, its results and its report are those of the node graph.

The policy's state machine, the simulator, the operator, the learner and the world model are the same classes
as in the nodes. They take turns in one thread, so nobody waits for anybody, and no message is sent.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections import deque
from collections.abc import Iterator
from types import FrameType

import torch

from worldsample_bringup.graph.announcement import closing, opening
from worldsample_bringup.graph.runner import Outcome
from worldsample_bringup.graph.terminal import Console
from worldsample_bringup.one_process.learning_side import LearningSide
from worldsample_bringup.one_process.metrics_watch import MetricsWatch
from worldsample_bringup.one_process.simulated_cell import SimulatedCell
from worldsample_bringup.run.prepare import Plan
from worldsample_core.config import ConfigError
from worldsample_core.episodes.episode_bag import decode_transition
from worldsample_core.episodes.journal import StorageError
from worldsample_core.messages.weights import PackedWeights
from worldsample_core.node.freed_memory import keep_freed_memory
from worldsample_core.node.imported_objects import keep_imported_objects
from worldsample_core.node.stopping import RunFailed, failure_of
from worldsample_core.transition import EpisodeSummary
from worldsample_policy.acting.policy_setup import make_acting, make_loop, make_store, take_demonstrations
from worldsample_policy.acting.rollout import RECORDINGS

NEVER = float("inf")
NAME = "run"
"""Stands before the lines of the process, where the graph has the names of its nodes."""


class _Stopped(Exception):
    """A person has asked to stop, in the middle of a long piece of work."""


class OneProcessRun:
    """The parts of a run, and who does what next.

    Args:
        plan: a training run in lockstep, in the simulated cell.
        console: where lines go.
    """

    def __init__(self, plan: Plan, console: Console) -> None:
        """Raises ConfigError, StorageError, CheckpointError, NoRenderer."""
        settings, self._console = plan.settings, console
        torch.set_num_threads(1)
        keep_freed_memory()
        self._signals: list[int] = []
        self._closed: deque[EpisodeSummary] = deque()
        self._steps: deque[bytes] = deque()
        self._reset: tuple[int, str, int] | None = None
        self._checkpoint = False
        self.acting = make_acting(settings)
        self.store = make_store(settings, False, self._closed.append)
        try:
            for problem in self.store.problems:
                self._warn(problem)
            take_demonstrations(self.store, settings, self._warn)
            self.cell = SimulatedCell(settings)
            self.learning = LearningSide(settings, self._take_weights, self._warn, self._look)
            self.loop = make_loop(settings, self.store, self.acting, self, NEVER, (), self._warn)
            self.watch = MetricsWatch(plan.folder, settings, self.loop, self.acting, self.learning, console)
        except BaseException:
            self.store.close()
            raise

    def run(self) -> Outcome:
        """Run to the end, to a failure, or until SIGINT or SIGTERM. Everything is on disk then."""
        with self._signals_caught():
            try:
                with contextlib.suppress(_Stopped):
                    self._go_on()
                outcome = self._stop_outcome() or Outcome(0)
            except (RunFailed, ConfigError, StorageError, OSError) as error:
                failure = error if isinstance(error, OSError) else failure_of(error)
                outcome = Outcome(getattr(failure, "code", 1), reason=str(failure))
            self._close(outcome)
            return outcome

    def _go_on(self) -> None:
        self.learning.restore()
        for transition in self.store.transitions():
            self.learning.take(transition)
            self._look()
        while self.loop.state != "done" and not self._signals:
            self._advance()
            self._look()
        if self.loop.state == "done":
            self.store.drain()
            self.store.check()

    def _advance(self) -> None:
        """One control step, or what lies between episodes."""
        loop, now = self.loop, time.monotonic()
        self.acting.collect()
        if loop.state == "running":
            if loop.must_wait(now):
                time.sleep(0.01)
                return
            action = loop.on_tick(self.cell.tick())
            if action is not None:
                self.cell.execute(action)
        else:
            completed = self.learning.learner.completed_steps
            loop.on_learner(completed, self.learning.learner.detail, now)
            loop.advance(now)
            self._answer()
        while self._steps:
            self.learning.take(decode_transition(self._steps.popleft()))
        if loop.kind is not None and loop.kind not in RECORDINGS:
            self.learning.policy_trains()

    def _answer(self) -> None:
        """Do what the policy's state machine has asked for."""
        if self._reset is not None:
            (seed, mode, episode), self._reset = self._reset, None
            self.cell.reset(seed, mode, episode)
            self.loop.on_reset(True, "")
        if self._checkpoint:
            self._checkpoint = False
            updates = self.learning.checkpoint()
            self.acting.collect()
            self.loop.on_checkpoint(True, updates)

    def _close(self, outcome: Outcome) -> None:
        self.loop.interrupt()
        for step in (self.learning.close, self.store.close, self.store.check):
            try:
                step()
            except (StorageError, OSError) as problem:
                self._warn(str(problem))
        self.cell.close()
        self._take_closed()
        self.watch.close(complete=outcome.code == 0)

    # --- people ---

    def _look(self) -> None:
        """Between two pieces of work: tell how far the run is, and heed a wish to stop."""
        self._take_closed()
        self.watch.look()
        if self._signals and self.learning.learner.state == "adapting":
            raise _Stopped

    def _take_closed(self) -> None:
        while self._closed:
            self.watch.log.episode(self._closed.popleft())

    def _warn(self, message: str) -> None:
        self._console.log(NAME, f"WARN {message}")

    def _stop_outcome(self) -> Outcome | None:
        if not self._signals:
            return None
        name = {signal.SIGINT: "interrupted"}.get(signal.Signals(self._signals[0]), "terminated")
        return Outcome(128 + self._signals[0], reason=name)

    @contextlib.contextmanager
    def _signals_caught(self) -> Iterator[None]:
        def on_signal(number: int, frame: FrameType | None) -> None:
            self._signals.append(number)

        before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    # --- what the policy's state machine asks for ---

    def request_reset(self, seed: int, mode: str, episode: int) -> None:
        """Have the cell reset."""
        self._reset = seed, mode, episode

    def request_checkpoint(self) -> None:
        """Have the learner write a checkpoint."""
        self._checkpoint = True

    def publish_transition(self, record: bytes) -> None:
        """Hand on a finished step."""
        self._steps.append(record)

    def publish_summary(self, summary: EpisodeSummary) -> None:
        """Note an evaluation episode."""
        self._closed.append(summary)

    def begin_episode(self, seed: int, deterministic: bool) -> None:
        """Restart the exploration noise."""
        self.acting.seed(seed)

    def load_due_weights(self, real_steps: int) -> None:
        """Take the weights that are due."""
        self.acting.load_due(real_steps)

    def _take_weights(self, packed: PackedWeights) -> None:
        self.acting.receive(packed, time.time())


def run_in_one_process(plan: Plan) -> Outcome:
    """Run a plan to its end. Leaves a summary and a report in its folder, however it ends.

    Raises:
        ConfigError: its folder cannot be used.
    """
    keep_imported_objects()
    with plan.begin():
        console = Console(names=(NAME,))
        for line in opening(plan, None):
            console.say(line)
        outcome = OneProcessRun(plan, console).run()
        console.close_live()
        for line in closing(plan.folder, plan.settings, outcome):
            console.say(line)
        return outcome

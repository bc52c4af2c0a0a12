"""Puts one fault after the other into a running session, and sees how it recovers. Called by the runner."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping
from random import Random

from worldsample_bringup.bench.faults.fault import OUTSIDE, Fault
from worldsample_bringup.bench.faults.graph_ears import GraphEars
from worldsample_bringup.bench.faults.surroundings import Surroundings
from worldsample_bringup.bench.faults.told_lines import ToldLines
from worldsample_bringup.graph.runner import Outcome, Runner
from worldsample_msgs.msg import LearnerStatus

SETTLED = 3.0
"""s of acting and learning before the next fault."""
STOPPED = 4.0
"""s for which a stopped node stands still."""
PATIENCE = 240.0
"""s for a recovery."""
AROUND = {kind for kind, _ in OUTSIDE}
BEHIND = 40
"""Steps that the learner may be behind when a fault counts as over."""


class FaultWatch:
    """Faults of one session, by a state machine: settle, do it, see it end, see acting and learning again.

    Args:
        faults: that are left, first to last; what is done is taken off.
        pending: a fault that ended the session before; its recovery is this one's start.
        ears: of this session, made when it has its ROS domain.
        told: what the person reads.
        around: what faults of the surroundings are done to.
        say: is told each recovery.
    """

    def __init__(
        self,
        faults: list[Fault],
        pending: Fault | None,
        began: float,
        ears: Callable[[], GraphEars],
        told: ToldLines,
        around: Surroundings,
        say: Callable[[Fault], object],
    ) -> None:
        self._faults, self.current, self.began = faults, pending, began
        self._make_ears, self._told, self._around, self._say = ears, told, around, say
        self.ears: GraphEars | None = None
        self._dice = Random(len(faults))
        self._pids: Mapping[str, int] = {}
        self._since = time.monotonic()
        self._until = 0.0
        self._fault_over: float | None = None
        if pending is not None:
            self._fault_over, pending.acting_s, pending.learning_s = self._since, None, None
        self.done: list[Fault] = []

    def __call__(self, runner: Runner) -> None:
        if self.ears is None:
            self.ears = self._make_ears()
        now = time.monotonic()
        if self.current is None:
            self._settle(runner, now)
        elif self._fault_over is None:
            self._endure(runner, self.current, now)
        else:
            self._recover(runner, self.current, now)

    # --- before ---

    def _settle(self, runner: Runner, now: float) -> None:
        """Wait until all has gone well for a while; then do the next fault, or end the run."""
        if not self._goes_on(self._since) or now - self._since < SETTLED:
            if now - self._since > PATIENCE:
                runner.stop(Outcome(1, reason="nothing acts and learns any more"))
            return
        if not self._faults:
            runner.stop(Outcome(0))
            return
        self._pids = {name: pid for name in runner.names if (pid := runner.pid(name)) is not None}
        self.current, self.began = self._faults.pop(0), now
        assert self.ears is not None
        self.current.next_seq = self.ears.next_seq
        self._do(self.current)

    def _goes_on(self, since: float) -> bool:
        assert self.ears is not None
        trains = self.ears.learner is not None and self.ears.learner.state == LearnerStatus.TRAINING
        return trains and min(self.ears.heard_step_at, self.ears.updates_grew_at) > since

    def _do(self, fault: Fault) -> None:
        assert self.ears is not None
        if fault.kind in ("kill", "stop"):
            number = signal.SIGKILL if fault.kind == "kill" else signal.SIGSTOP
            if fault.target in self._pids:
                os.kill(self._pids[fault.target], number)
            self._until = self.began + (STOPPED if fault.kind == "stop" else 0.0)
        elif fault.kind == "garbage":
            self.ears.feed(fault.target, self._dice)
            self._until = self.began + 1.0
        else:
            self._until = self.began + self._around.begin(fault)
        self._fault_over = None

    # --- meanwhile ---

    def _endure(self, runner: Runner, fault: Fault, now: float) -> None:
        if now < self._until:
            return
        if fault.kind == "kill" and runner.pid(fault.target) in (None, self._pids.get(fault.target)):
            if now - self.began > PATIENCE:
                runner.stop(Outcome(1, reason=f"{fault.target} was not started again"))
            return
        if fault.kind == "stop" and fault.target in self._pids:
            _continue(self._pids[fault.target])
        if fault.kind in AROUND:
            self._around.end(fault)
        self._fault_over = now

    # --- after ---

    def _recover(self, runner: Runner, fault: Fault, now: float) -> None:
        assert self.ears is not None and self._fault_over is not None
        if fault.acting_s is None and self.ears.heard_step_at > self._fault_over:
            fault.acting_s = self.ears.heard_step_at - self.began
        if fault.learning_s is None and self.ears.updates_grew_at > self._fault_over:
            fault.learning_s = self.ears.updates_grew_at - self.began
        if fault.acting_s is not None and fault.learning_s is not None:
            if self._has_caught_up() or now - self._fault_over > PATIENCE:
                self._finish(runner, fault)
        elif now - self._fault_over > PATIENCE:
            self._finish(runner, fault)
            runner.stop(Outcome(1, reason=f"no recovery from {fault.name}"))

    def _has_caught_up(self) -> bool:
        """True if the learner has all that was heard up to a moment ago; its lag in lockstep is allowed."""
        assert self.ears is not None
        status = self.ears.learner
        return status is not None and int(status.next_seq) >= self.ears.next_seq - BEHIND

    def _finish(self, runner: Runner, fault: Fault) -> None:
        assert self.ears is not None
        if (status := self.ears.learner) is not None:
            fault.learner = (int(status.next_seq), int(status.real_steps), int(status.demo_steps))
        fault.told += self._told.warnings(self.began)
        if not fault.ended_run:
            now = {name: runner.pid(name) for name in runner.names}
            fault.restarted = [name for name, pid in self._pids.items() if now.get(name) not in (None, pid)]
            fault.silent = sum(not self._said(name, fault) for name in fault.restarted)
        self.done.append(fault)
        self._say(fault)
        self.current, self._since = None, time.monotonic()

    @staticmethod
    def _said(name: str, fault: Fault) -> bool:
        return any(line.startswith(name) and "starts again" in line for line in fault.told)

    def end(self) -> None:
        """Leave nothing stopped, no disk full and no cable cut, whatever has ended the session."""
        if self.current is not None and self._fault_over is None:
            if self.current.kind == "stop":
                _continue(self._pids.get(self.current.target, 0))
            elif self.current.kind in AROUND:
                self._around.end(self.current)
        if self.ears is not None:
            self.ears.close()


def _continue(pid: int) -> None:
    """Let a stopped process go on, if it is still there."""
    if pid:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

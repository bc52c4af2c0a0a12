"""``worldsample bench faults``: faults are put into a running graph, and what they cost is counted.

A quick simulated run of the method ``worldsample`` goes on, in lockstep or in real time. Each node is killed
and stopped, each input is fed garbage, the disk is filled, the wall clock is set, and the cable between the
robot and the workstation is cut. Where a fault ends the run, it is gone on with as
a person would (``--resume``). Recorded episodes are compared in the end with what was heard live, and with
what the learner counted after each fault.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from worldsample_bringup.bench.faults.fault import Fault, draw_faults
from worldsample_bringup.bench.faults.fault_account import account, recorded_steps, recoveries
from worldsample_bringup.bench.faults.fault_watch import FaultWatch
from worldsample_bringup.bench.faults.graph_ears import GraphEars
from worldsample_bringup.bench.faults.surroundings import Surroundings, surroundings
from worldsample_bringup.bench.faults.told_lines import ToldLines
from worldsample_bringup.bench.machine_load import MachineLoad
from worldsample_bringup.dashboard.progress import duration
from worldsample_bringup.graph.run_session import run_session
from worldsample_bringup.graph.runner import Outcome
from worldsample_bringup.run.options import Request
from worldsample_bringup.run.prepare import Plan, plan
from worldsample_bringup.run.provenance import git_revision
from worldsample_core.config import ConfigError

AIM = 100
"""Faults that the figures are meant to be of."""
FAULTS = ("lost", "doubled", "altered", "silent", "unrecovered", "forged_resets_granted")
"""Counts of a result that must be 0."""
UNEXPECTED = 3
"""Ends of the run without a fault after which the measurement gives up."""

RUN_SETTINGS = (
    "run.demos=2",
    "run.eval_every=0",
    "run.checkpoint_every=50",
    "task.max_real_steps=30000",
    "learner.pretrain_updates=50",
    "operator.bother_first=0.0",
    "operator.bother_last=0.0",
)


@dataclass
class FaultRun:
    """A run with its faults, over as many sessions as it takes.

    Attributes:
        heard: signature of each step that was heard, by number. doubled: heard twice with other contents.
        unexpected: reasons of ends that no fault explains. resets: forged resets that were granted.
    """

    around: Surroundings
    faults: list[Fault]
    realtime: bool
    say: Callable[[str], object]
    done: list[Fault] = field(default_factory=list)
    heard: dict[int, int] = field(default_factory=dict)
    doubled: Counter[int] = field(default_factory=Counter)
    unexpected: list[str] = field(default_factory=list)
    resets: int = 0
    began: float = field(default_factory=time.monotonic)

    def run(self) -> bool:
        """Do all faults. False where a person stopped it."""
        total, pending, at = len(self.faults), None, 0.0
        path = self.around.folder / "run"
        with tempfile.TemporaryFile("w") as log:
            while (self.faults or pending is not None) and len(self.unexpected) < UNEXPECTED:
                told = ToldLines(log)
                planned = self._plan(path)
                ears = partial(
                    GraphEars,
                    planned.settings.run.name,
                    planned.settings.run.image_size,
                    self.heard,
                    self.doubled,
                )
                watch = FaultWatch(
                    self.faults, pending, at, ears, told, self.around, partial(self._tell, total)
                )
                outcome = self._session(planned, watch, told)
                self.done += watch.done
                pending, at = watch.current, watch.began
                if outcome.code > 128 and not outcome.node:  # a signal to this process
                    return False
                if pending is not None:
                    pending.ended_run = True
                    pending.told += told.warnings(at)
                elif outcome.code != 0:
                    self.unexpected.append(outcome.reason)
                    self.say(f"the run ended without a fault: {outcome.reason}")
        return not self.faults

    def _session(self, planned: Plan, watch: FaultWatch, told: ToldLines) -> Outcome:
        try:
            with contextlib.redirect_stdout(told):  # type: ignore[type-var]
                return run_session(planned, watch=watch, place=self.around.placed)
        finally:
            watch.end()
            if watch.ears is not None:
                answers = [each.result() for each in watch.ears.resets if each.done()]
                self.resets += sum(answer is not None and answer.success for answer in answers)

    def _plan(self, path: Path) -> Plan:
        if (path / "config.yaml").is_file():
            return plan(Request("train", resume=str(path), realtime=self.realtime), self.around.folder)
        request = Request(
            "train",
            method="worldsample",
            run_dir=str(path),
            realtime=self.realtime,
            quick=True,
            overrides=RUN_SETTINGS,
        )
        return plan(request, self.around.folder)

    def _tell(self, total: int, fault: Fault) -> None:
        number = total - len(self.faults)
        left = duration((time.monotonic() - self.began) / number * len(self.faults))
        again = "not in time" if fault.learning_s is None else f"after {fault.learning_s:.1f} s"
        ended = ", with --resume" if fault.ended_run else ""
        self.say(f"fault {number}/{total}: {fault.name}: learns again {again}{ended} · ETA {left}")


def measure(
    count: int = AIM, seed: int = 0, realtime: bool = False, say: Callable[[str], object] = print
) -> dict[str, Any]:
    """Put so many faults into a run; Ctrl-C ends it with those that were done.

    Args:
        count: of faults. seed: of their order.
        realtime: 10 Hz by the wall clock, as on a robot; otherwise lockstep, which a slow machine keeps, too.
        say: is told each recovery, for people.

    A run that cannot be gone on with ends it, too; ``ended_without_a_fault`` says why.
    """
    load, began = MachineLoad(), time.monotonic()
    with surroundings() as around:
        run = FaultRun(around, draw_faults(count, seed, around.missing), realtime, say)
        try:
            finished = run.run()
        except (ConfigError, OSError) as problem:  # what was done so far still counts
            finished = False
            run.unexpected.append(str(problem))
        say("comparing what was heard with what was recorded")
        recorded = recorded_steps(around.folder / "run")
        altered = account(run.done, recorded, run.heard)
    done = run.done
    return {
        "faults": len(done),
        "aim": AIM,
        "lost": sum(fault.lost for fault in done),
        "doubled": sum(fault.doubled for fault in done),
        "silent": sum(fault.silent for fault in done),
        "altered": altered,
        "heard_twice_with_other_contents": len(run.doubled),
        "forged_resets_granted": run.resets,
        "unrecovered": sum(fault.acting_s is None or fault.learning_s is None for fault in done),
        "ended_without_a_fault": run.unexpected,
        "finished": finished,
        "recovery": recoveries(done),
        "steps_recorded": len(recorded),
        "skipped": dict(around.missing),
        "realtime": realtime,
        "details": [fault.as_mapping() for fault in done],
        "seed": seed,
        "seconds": round(time.monotonic() - began, 1),
        "git_revision": git_revision(),
        "machine": load.describe(),
    }


def table(result: Mapping[str, Any]) -> str:
    """Recoveries by fault, and what was lost, for people."""
    rows = [f"{'seconds, p50 / p95':<30}{'n':>4}{'acting again':>18}{'learning again':>18}{'run ended':>11}"]
    for name, of in result["recovery"].items():
        cells = [f"{of[f'{what}_p50']} / {of[f'{what}_p95']}" for what in ("acting_s", "learning_s")]
        rows.append(f"{name:<30}{of['n']:>4}{cells[0]:>18}{cells[1]:>18}{of['ended_run']:>11}")
    rows.append(", ".join(f"{name} {result[name]}" for name in FAULTS))
    rows += [f"skipped: {name}: {why}" for name, why in result["skipped"].items()]
    if result["faults"] < result["aim"]:
        rows.append(f"{result['faults']} faults; {result['aim']} or more are meant")
    rows.append(f"machine: {result['machine']['note']}")
    return "\n".join(rows if result["finished"] else [*rows, *result["ended_without_a_fault"], "ended early"])

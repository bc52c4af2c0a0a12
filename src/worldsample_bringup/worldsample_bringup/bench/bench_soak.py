"""``worldsample bench soak``: the memory of every process of a long run, and how fast it grows.

A simulated run of the method ``worldsample`` goes on in real time, and every process is looked at every few
seconds. The first minutes are left out, and the first two of learning: networks are made, buffers take their
size. What grows after that by much would fill the memory of a robot's computer in a night.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from worldsample_bringup.bench.machine_load import MachineLoad
from worldsample_bringup.bench.process_memory import MemoryTrack, shared_memory_mb
from worldsample_bringup.dashboard.progress import duration
from worldsample_bringup.graph.run_session import run_session
from worldsample_bringup.graph.runner import Outcome, Runner
from worldsample_bringup.run.history import read_history
from worldsample_bringup.run.options import Request
from worldsample_bringup.run.prepare import plan
from worldsample_bringup.run.provenance import git_revision
from worldsample_core.config import ConfigError

LIMIT = 1.0
"""MB per minute that a process may grow."""
WARM_UP = 300.0
"""s that are left out; of a short measurement a third."""
SETTLING = 120.0
"""s from the first update on that are left out, too."""
EVERY = 5.0
"""s between two looks."""
LEAST = 60.0
"""s after the warm-up, at least, of which a slope is a measurement."""
TELL = 30.0
"""s between two lines of progress."""

SMALL_STORES = (
    "worldmodel.memory_steps=1000",
    "learner.replay_capacity=1000",
    "learner.synthetic_capacity=1000",
)
"""Stores that have a bound, so small that they are full after two minutes: what still grows then has none."""
RUN_SETTINGS = (
    *SMALL_STORES,
    "run.demos=5",
    "run.eval_every=0",
    "run.checkpoint_every=500",
    "task.max_real_steps=1000000",
    "learner.encoder_steps=50",
    "learner.pretrain_updates=50",
    "operator.bother_first=0.0",
    "operator.bother_last=0.0",
)
"""The method's own sizes; what comes before the training is short, and the run does not end by itself."""


class SoakWatch:
    """Looks at the processes of a running graph, and ends it when the time is over. Called by the runner.

    Args:
        seconds: to measure, from the first look on.
        learns: true once the learner has made updates.
        say: is told how far it is, for people.
    """

    def __init__(self, seconds: float, learns: Callable[[], bool], say: Callable[[str], object]) -> None:
        self.seconds, self._learns, self._say = seconds, learns, say
        self._learned_at = math.inf
        self.tracks: dict[str, MemoryTrack] = {}
        self.shared_mb: list[float] = []
        self._began = time.monotonic()
        self._looked, self._told = -EVERY, -TELL

    @property
    def warm_up(self) -> float:
        """Seconds that do not count; infinite while nothing learns."""
        return max(min(WARM_UP, self.seconds / 3.0), self._learned_at + SETTLING)

    @property
    def judged(self) -> bool:
        """True if enough has been seen after the warm-up."""
        return self.seconds - self.warm_up >= LEAST

    def __call__(self, runner: Runner) -> None:
        at = time.monotonic() - self._began
        if at - self._looked >= EVERY:
            self._looked = at
            if math.isinf(self._learned_at) and self._learns():
                self._learned_at = at
            for name in runner.names:
                if (pid := runner.pid(name)) is not None:
                    self.tracks.setdefault(name, MemoryTrack()).look(pid, at)
            self.shared_mb.append(shared_memory_mb())
        if at - self._told >= TELL:
            self._told = at
            self._say(self._line(at))
        if at >= self.seconds:
            runner.stop(Outcome(0))

    def _line(self, at: float) -> str:
        name, worst = worst_of(self.figures())
        grows = "" if worst is None else f" · worst {name} {worst:+.2f} MB/min"
        return f"soak {at / 60.0:.1f}/{self.seconds / 60.0:g} min{grows} · ETA {duration(self.seconds - at)}"

    def figures(self) -> dict[str, dict[str, Any]]:
        """Growth by node."""
        return {name: track.figures(self.warm_up) for name, track in self.tracks.items()}


def worst_of(processes: Mapping[str, Mapping[str, Any]]) -> tuple[str, float | None]:
    """(node, MB per minute) of the one that grows fastest; ("", None) where nothing can be told yet."""
    told = {name: of["mb_per_minute"] for name, of in processes.items() if of["mb_per_minute"] is not None}
    name = max(told, key=lambda each: told[each], default="")
    return name, told.get(name)


def measure(minutes: float, quick: bool = False, say: Callable[[str], object] = print) -> dict[str, Any]:
    """Run the graph for so long, and measure; Ctrl-C ends it with what was seen (``finished`` is false).

    Args:
        minutes: from the start of the nodes on, warm-up included.
        quick: everything tiny.
        say: is told how far it is, for people.

    Raises:
        ConfigError: the run failed.
    """
    load = MachineLoad()
    with tempfile.TemporaryDirectory(prefix="worldsample-soak-") as name:
        folder = Path(name)
        request = Request(
            "train",
            method="worldsample",
            run_dir=str(folder / "run"),
            realtime=True,
            quick=quick,
            overrides=RUN_SETTINGS,
        )
        planned = plan(request, folder)

        def learns() -> bool:
            return bool(read_history(planned.folder.metrics).latest("learner").get("updates"))

        watch = SoakWatch(60.0 * minutes, learns, say)
        outcome = run_session(planned, watch=watch)
        stopped = outcome.code > 128 and not outcome.node  # by a signal to this process
        if outcome.code and not stopped:
            raise ConfigError(f"the measured run failed: {outcome.reason}")
        history = read_history(planned.folder.metrics)
    processes = watch.figures()
    name, worst = worst_of(processes)
    return {
        "minutes": minutes,
        "warm_up_minutes": None if math.isinf(watch.warm_up) else round(watch.warm_up / 60.0, 2),
        "finished": not stopped,
        "judged": watch.judged,
        "stores": list(SMALL_STORES),
        "worst_mb_per_minute": worst,
        "worst": name,
        "limit_mb_per_minute": LIMIT,
        "too_fast": sorted(n for n, of in processes.items() if (of["mb_per_minute"] or 0.0) > LIMIT)
        if watch.judged
        else [],
        "processes": processes,
        "machine_shared_mb": [round(watch.shared_mb[0], 1), round(watch.shared_mb[-1], 1)],
        "real_steps": history.real_steps,
        "updates": history.latest("learner").get("updates"),
        "imagined_transitions": history.total("worldmodel", "transitions"),
        "git_revision": git_revision(),
        "machine": load.describe(),
    }


def table(result: Mapping[str, Any]) -> str:
    """The growth of each process, for people."""
    warm_up = result["warm_up_minutes"]
    head = f"{'' if warm_up is None else f'after {warm_up} min':<18}"
    rows = [f"{head}{'MB/min':>9}{'MB from':>10}{'to':>9}{'shared':>9}{'descriptors':>13}{'restarts':>10}"]
    for name, of in result["processes"].items():
        if not of["samples"]:
            rows.append(f"{name:<18} too short to tell")
            continue
        first, last = of["resident_mb"]
        opened = "{} to {}".format(*of["descriptors"])
        slope = "" if of["mb_per_minute"] is None else f"{of['mb_per_minute']:.3f}"
        rows.append(
            f"{name:<18}{slope:>9}{first:>10}{last:>9}{of['shared_mb'][1]:>9}{opened:>13}{of['restarts']:>10}"
        )
    rows.append(f"{result['real_steps']:,} real steps, {result['updates'] or 0:,} updates")
    if not result["judged"]:
        rows.append("too short to judge: learning began late, or never; give more --minutes")
    elif result["too_fast"]:
        rows.append(
            f"faster than {result['limit_mb_per_minute']:g} MB a minute: {', '.join(result['too_fast'])}"
        )
    rows.append(f"machine: {result['machine']['note']}")
    return "\n".join(rows if result["finished"] else [*rows, "stopped early by Ctrl-C"])

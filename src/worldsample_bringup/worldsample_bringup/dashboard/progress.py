"""The live line: how far a run is, how well it does, and when it will end."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise

from worldsample_bringup.run.history import WINDOW, History, Record, intervention_rate, success_rate
from worldsample_core.settings import Settings


@dataclass
class Pace:
    """Real steps per second of training, evaluations left out, for the estimate of the time left.

    Attributes:
        window: time over which it is taken, s: long enough for the learner's and the world model's pauses.
        least: training time before which it is unknown, s: the first steps are taken faster or slower.
        still: time without a step after which it is unknown, s: nobody knows how long a pause will be.
    """

    window: float = 300.0
    least: float = 20.0
    still: float = 10.0
    points: deque[tuple[float, int]] = field(default_factory=deque)
    _training: float = 0.0
    _last: float | None = None
    _moved: float = 0.0

    def add(self, seconds: float, steps: int) -> None:
        """``steps`` had been done at ``seconds``, in training."""
        self._training += seconds - (seconds if self._last is None else self._last)
        self._last = seconds
        if not self.points or steps > self.points[-1][1]:
            self._moved = self._training
        self.points.append((self._training, steps))
        while len(self.points) > 2 and self._training - self.points[0][0] > self.window:
            self.points.popleft()

    def pause(self) -> None:
        """Something else than training goes on."""
        self._last = None

    @property
    def rate(self) -> float:
        """Steps per second; 0 while it is unknown."""
        if len(self.points) < 2 or self._training - self._moved > self.still:
            return 0.0
        (first, before), (last, after) = self.points[0], self.points[-1]
        return (after - before) / (last - first) if last - first >= self.least else 0.0


def evaluates_beside(settings: Settings) -> bool:
    """True where evaluations run beside training: only the last one is waited for."""
    run = settings.run
    return run.evaluate_beside and run.lockstep and run.sim


def seconds_per_evaluation(settings: Settings, history: History, rate: float) -> float:
    """Time of one evaluation episode: of those so far, else of the demonstrations, else at the pace ``rate``.

    Without a learner beside it the cell moves faster than in training.
    """
    beside = evaluates_beside(settings)  # their results arrive together: no time can be told from them
    for episodes in ([] if beside else history.evals, history.demos):
        times = [
            float(later["t"]) - float(earlier["t"])
            for earlier, later in pairwise(episodes)
            if later.get("real_steps") == earlier.get("real_steps")
        ]
        if times:
            return sum(times) / len(times)
    return settings.task.horizon / rate


def follow(pace: Pace, seconds: float, policy: Record, learner: Record) -> None:
    """Take in where a run is.

    Args:
        seconds: now, on the run's clock.
        policy, learner: their newest statuses. Steps count from the time at which the learner trains.
    """
    if policy.get("phase") != "train":
        pace.pause()
    elif pace.points or learner.get("state") == "training":
        pace.add(seconds, int(policy["real_steps"]))


def seconds_left(settings: Settings, history: History, pace: Pace) -> float | None:
    """Until the run is done: the training steps that are left, and the evaluations between and after them."""
    if pace.rate <= 0.0:
        return None
    run, budget = settings.run, settings.task.max_real_steps
    left = max(0, budget - history.real_steps)
    done = {evaluation.real_steps for evaluation in history.evaluations(0)}
    due = (
        [
            step
            for step in range(run.eval_every, budget, run.eval_every)
            if step not in done and step > history.real_steps
        ]
        if run.eval_every and not evaluates_beside(settings)
        else []
    )
    episodes = len(due) * run.eval_episodes + run.final_eval_episodes
    return left / pace.rate + episodes * seconds_per_evaluation(settings, history, pace.rate)


def live_line(settings: Settings, history: History, policy: Record, learner: Record, pace: Pace) -> str:
    """One line for people.

    Args:
        policy, learner: their newest statuses, {} before the first.
    """
    phase = policy.get("phase", "starting")
    parts: list[str] = []
    count, of = int(policy.get("episode", 0)), int(policy.get("episodes_in_phase", 0))
    if phase == "starting":
        parts.append(str(policy.get("detail") or "starting"))
    elif phase == "demo":
        failed = len(history.demos) - history.demo_successes
        parts.append(f"demonstrations {history.demo_successes}/{of or settings.run.demos}")
        parts += [f"{failed} did not succeed"] if failed else []
    elif phase == "label":
        parts.append(f"labels: {policy.get('detail') or 'the cell is being reset'}")
    elif phase == "eval":
        recent = history.evals[-count:] if count else []
        rate = success_rate(recent)
        many = f" {count}/{of}" if of else ""
        parts.append(f"evaluation{many}" + (f", success {rate:.2f}" if rate is not None else ""))
    elif phase in ("done", "failed"):
        parts.append(phase)
    if settings.run.mode == "train":
        parts.append(f"{history.real_steps:,}/{settings.task.max_real_steps:,} real steps")
        parts += _training(history, learner)
        parts += _imagining(history)
        if learner.get("state") in ("adapting", "waiting", "failed") and phase != "demo":
            parts.append(f"learner {learner['state']} {learner.get('detail') or ''}".rstrip())
        left = seconds_left(settings, history, pace) if phase == "train" else None
        if left is not None:
            parts.append(f"ETA {duration(left)}")
    return " · ".join(parts)


def _training(history: History, learner: Record) -> list[str]:
    parts = []
    recent = history.train[-WINDOW:]
    success, helped = success_rate(recent), intervention_rate(recent)
    if success is not None and helped is not None:
        parts += [f"success {success:.2f} (last {len(recent)})", f"interventions {100 * helped:.0f} %"]
    if learner.get("state") == "training":
        rate = float(learner.get("updates_per_second") or 0.0)
        parts += [f"{rate:.1f} updates/s"] if rate else []
        skipped = int(learner.get("skipped_updates") or 0)
        parts += [f"{skipped:,} updates skipped"] if skipped else []
    if dropped := int(learner.get("rejected") or 0):
        parts.append(f"{dropped:,} messages dropped")
    evaluations = history.evaluations(0)
    if evaluations:
        parts.append(f"eval {evaluations[-1].success_rate:.2f}")
    return parts


SILENT = 20.0
"""Seconds without a word after which a world model counts as silent."""


def _imagining(history: History) -> list[str]:
    """The world model's part of the live line; empty where there is none."""
    world = history.latest("worldmodel")
    if not world:
        return []
    if history.wall_seconds - float(world["t"]) > SILENT:
        return ["world model silent"]
    if world.get("state") == "failed":
        return [f"world model failed {world.get('detail') or ''}".rstrip()]
    parts = [f"{history.total('worldmodel', 'transitions') or 0:,} imagined"]
    psnr = history.latest_measured("worldmodel", "psnr")
    parts += [] if psnr is None else [f"PSNR {psnr:.1f} dB"]
    pacing = history.latest("pacing")
    parts += [f"rho {float(pacing['rho']):.2f}"] if pacing.get("rho") is not None else []
    return parts


def duration(seconds: float) -> str:
    """``42 s``, ``7 min``, ``1 h 05 min``."""
    minutes = round(seconds / 60)
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"

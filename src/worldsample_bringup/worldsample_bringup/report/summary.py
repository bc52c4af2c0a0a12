"""``summary.json``: the result of a run, in the words that tools rely on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from worldsample_bringup.run.history import EvaluationRecord, History
from worldsample_bringup.run.run_folder import RunFolder
from worldsample_core.config import to_mapping
from worldsample_core.settings import Settings


def summarise(folder: RunFolder, settings: Settings, history: History) -> dict[str, Any]:
    """The summary of a run; also of one that was interrupted (``finished`` is false then).

    The keys up to ``checkpoint`` are the contract, null where they do not apply: ``intervention_rate`` is
    the fraction of all training steps that the operator drove, ``episodes`` counts training episodes,
    ``eval_*`` is the last whole evaluation, ``wall_seconds`` leaves out the time between sessions,
    ``checkpoint`` is relative to the folder, ``synthetic_transitions`` is what all world models published
    together, ``psnr`` (dB) and ``ssim`` are the newest held-out figures. ``lockstep_lapses`` is null in real
    time, 0 where lockstep was kept; otherwise the run does not repeat by its seed.
    """
    run = settings.run
    expected = run.final_eval_episodes if run.mode == "eval" else run.eval_episodes
    evaluations = evaluations_of(settings, history)
    whole = [e for e in evaluations if e.final or e.episodes >= expected]
    last = whole[-1] if whole else None
    steps = folder.checkpoint_steps()
    checkpoint = f"checkpoints/step_{steps[-1]}" if steps else run.checkpoint or None
    real_steps = history.real_steps
    if run.mode == "eval":
        real_steps = _steps_of(run.checkpoint)
    return {
        "task": settings.task.name,
        "method": run.method,
        "seed": run.seed,
        "real_steps": real_steps,
        "synthetic_transitions": history.total("worldmodel", "transitions"),
        "episodes": len(history.train),
        "eval_episodes": last.episodes if last else None,
        "eval_success_rate": round(last.success_rate, 6) if last else None,
        "intervention_rate": _rounded(history.intervention_rate),
        "psnr": history.latest_measured("worldmodel", "psnr"),
        "ssim": history.latest_measured("worldmodel", "ssim"),
        "wall_seconds": round(history.wall_seconds, 1),
        "checkpoint": checkpoint,
        "finished": history.done is not None,
        "demo_episodes": len(history.demos),
        "demo_successes": history.demo_successes,
        "demo_steps": history.demo_steps,
        "label_successes": history.label_count.successes,
        "label_failures": history.label_count.failures,
        "lockstep_lapses": lockstep_lapses(settings, history),
        "git_revision": run.git_revision,
        "versions": to_mapping(run.versions),
        "eval_history": [[e.real_steps, e.episodes, round(e.success_rate, 6)] for e in evaluations],
    }


def evaluations_of(settings: Settings, history: History) -> list[EvaluationRecord]:
    """The evaluations of a run, each at the real steps of the weights that acted.

    The command ``eval`` takes no real step itself: its evaluation stands at those of its checkpoint.
    """
    run = settings.run
    evaluations = history.evaluations(run.final_eval_episodes)
    if run.mode != "eval":
        return evaluations
    return [replace(each, real_steps=_steps_of(run.checkpoint)) for each in evaluations]


def lockstep_lapses(settings: Settings, history: History) -> int | None:
    """Times that acting or learning went on without what lockstep makes them wait for.

    None in real time, where nothing waits, and where no node has told.
    """
    told = [history.total(node, "lockstep_lapses") for node in ("policy", "learner")]
    counts = [count for count in told if count is not None]
    return sum(counts) if settings.run.lockstep and counts else None


def write_summary(folder: RunFolder, settings: Settings, history: History) -> dict[str, Any]:
    """Write ``summary.json``, whole or not at all, and return what stands in it."""
    summary = summarise(folder, settings, history)
    partial = folder.summary.with_suffix(".partial")
    partial.write_text(json.dumps(summary, indent=2) + "\n")
    partial.replace(folder.summary)
    return summary


def _steps_of(checkpoint: str) -> int:
    """Real training steps behind a checkpoint folder ``…/step_N``."""
    number = Path(checkpoint).name.removeprefix("step_")
    return int(number) if number.isdigit() else 0


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)

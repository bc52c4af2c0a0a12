"""Figures of the cells of ``bench table1``: success with its confidence, means, steps to the same success."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from worldsample_bringup.bench.comparison import Steps, median_steps, ratio, steps_to_success
from worldsample_bringup.bench.grid import GridCell
from worldsample_bringup.bench.method_variants import BASELINE
from worldsample_bringup.run.history import WINDOW, intervention_rate, read_history
from worldsample_core.config import read_yaml

Z = 1.959964
"""Standard deviations of a normal distribution on either side of its mean that hold 95 % of it."""


def wilson(successes: float, episodes: int) -> tuple[float, float]:
    """95 % confidence interval of a success rate (E. B. Wilson 1927), within [0, 1]."""
    rate, z2 = successes / episodes, Z * Z
    middle = (rate + z2 / (2 * episodes)) / (1 + z2 / episodes)
    half = Z * math.sqrt(rate * (1 - rate) / episodes + z2 / (4 * episodes**2)) / (1 + z2 / episodes)
    return round(max(0.0, middle - half), 4), round(min(1.0, middle + half), 4)


def figures(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One cell of the table, over its seeds (as :func:`run_figures` gives them); null figures without any.

    ``success`` and ``ci`` are over all episodes of the last evaluations together.
    """
    told = [run for run in runs if run["success"] is not None]
    episodes = sum(int(run["episodes"]) for run in told)
    successes = sum(float(run["success"]) * int(run["episodes"]) for run in told)
    return {
        "success": round(successes / episodes, 4) if episodes else None,
        "ci": list(wilson(successes, episodes)) if episodes else None,
        "episodes": episodes,
        "real_steps": _mean(runs, "real_steps"),
        "interventions": _mean(runs, "interventions"),
        "wall_seconds": _mean(runs, "wall_seconds"),
        "seeds_finished": len(runs),
        "seeds": list(runs),
    }


def run_figures(cell: GridCell, seed: int, policies: Path | None) -> dict[str, Any]:
    """Result and curves of a finished run, and where it and its policy are."""
    summary, config = cell.folder.read_summary(), read_yaml(cell.folder.config)
    policy = None if policies is None else policies / cell.name
    return {
        "seed": seed,
        "success": summary.get("eval_success_rate"),
        "episodes": int(summary.get("eval_episodes") or summary["eval_history"][-1][1]),
        "real_steps": summary.get("real_steps"),
        "interventions": summary.get("intervention_rate"),
        "wall_seconds": summary.get("wall_seconds"),
        "imagined_transitions": summary.get("synthetic_transitions"),
        "budget": config.get("task", {}).get("max_real_steps"),
        "git_revision": config.get("run", {}).get("git_revision"),
        "versions": config.get("run", {}).get("versions"),
        "run_dir": os.path.relpath(cell.folder.path),
        "policy": str(policy.relative_to(policy.parents[1])) if policy and policy.is_dir() else None,
        "success_curve": [[steps, rate] for steps, _, rate in summary["eval_history"]],
        "intervention_curve": _interventions(cell),
    }


def _mean(runs: Sequence[Mapping[str, Any]], key: str) -> float | None:
    there = [float(run[key]) for run in runs if run.get(key) is not None]
    return round(mean(there), 4) if there else None


def _interventions(cell: GridCell) -> list[list[float]]:
    """(real steps, fraction of the last episodes' steps that the operator drove), every few episodes."""
    train = read_history(cell.folder.metrics).train
    every = max(1, len(train) // 60)
    points = []
    for end in range(every, len(train) + 1, every):
        rate = intervention_rate(train[max(0, end - WINDOW) : end])
        if rate is not None:
            points.append([int(train[end - 1]["real_steps"]), round(rate, 4)])
    return points


def ratios(row: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Real steps that every method needs, on one task, for the success that HiL-SERL ends with.

    They are the median over the seeds up to the first evaluation that reaches that success, and their
    fraction of HiL-SERL's.
    """
    target = row[BASELINE]["success"]
    if not target:
        return {"success": target, "methods": {}}
    steps = {name: _steps_to(target, cell["seeds"]) for name, cell in row.items() if cell["seeds"]}
    methods = {}
    for name, each in steps.items():
        value, kind = ratio(each, steps[BASELINE])
        methods[name] = {"steps": each.value, "lower_bound": each.bound, "ratio": value, "is": kind}
    return {"success": target, "methods": methods}


def _steps_to(success: float, seeds: Sequence[Mapping[str, Any]]) -> Steps:
    """The median over the seeds; a run that never gets there counts with its real steps, as a bound."""
    curves = [[(steps, 1, rate) for steps, rate in seed["success_curve"]] for seed in seeds]
    found = [steps_to_success(curve, success, in_a_row=1) for curve in curves]
    result = median_steps(found, max(int(seed["real_steps"] or 0) for seed in seeds))
    assert result is not None
    return result


def averages(cells: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means of a method over the tasks that were run, and how many those are."""
    there = [cell for cell in cells if cell["success"] is not None]
    return {
        **{
            key: round(mean(cell[key] for cell in there), 4) if there else None
            for key in ("success", "real_steps", "interventions", "wall_seconds")
            if all(cell[key] is not None for cell in there)
        },
        "tasks": len(there),
    }


def mean_ratio(steps: Mapping[str, Mapping[str, Any]], method: str) -> dict[str, Any]:
    """Mean over the tasks of a method's ratios of real steps, as :func:`ratios` gives them."""
    known = [row["methods"].get(method, {}).get("ratio") for row in steps.values()]
    exact = [value for value in known if value is not None]
    return {"ratio": round(mean(exact), 4) if exact else None, "tasks": len(exact)}

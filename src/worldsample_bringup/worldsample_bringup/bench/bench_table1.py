"""``worldsample bench table1``: the paper's table, in simulation. Every task with every method, as real
training runs on the same budget; figures beside the paper's.

What is asked for is run or resumed, and finished cells are kept, also without their run folders: what stands
in the results file, with the same budget, stays there until a run here takes its place, and beside the file
lies the policy of each cell (:mod:`worldsample_bringup.run.export`), which ``eval`` evaluates again. Cells
that are nowhere are empty.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

from worldsample_bringup.bench.bench_method import Comparison, cell_of, check_same, resolve
from worldsample_bringup.bench.comparison import Steps, median_steps, ratio, steps_to_success
from worldsample_bringup.bench.grid import Cell, Grid, write_json
from worldsample_bringup.bench.method_variants import (
    BASELINE,
    METHODS,
    OURS,
    TASKS,
    method_variants,
    task_names,
)
from worldsample_bringup.bench.table1_text import markdown, table
from worldsample_bringup.graph.terminal import Console
from worldsample_bringup.report.curve_image import curves
from worldsample_bringup.run.configuration import git_revision
from worldsample_bringup.run.export import export_run
from worldsample_bringup.run.history import WINDOW, intervention_rate, read_history
from worldsample_bringup.run.run_folder import RunFolder
from worldsample_bringup.selftest import find_checkout
from worldsample_core.config import ConfigError, read_yaml

RUNS = Path("runs/bench/table1")
QUICK_RUNS = Path("runs/bench/table1-quick")
EVAL_EVERY, QUICK_EVAL_EVERY = 500, 60
SOLVED = 0.95
"""A run ends when two evaluations in a row reach this success: the paper's best."""
_EVERY_RESULT = {
    "seed",
    "success",
    "episodes",
    "real_steps",
    "interventions",
    "wall_seconds",
    "success_curve",
}
Z = 1.959964
"""Of 95 % confidence."""


@dataclass(frozen=True)
class Table:
    """What is asked for.

    Attributes:
        tasks, methods: names, separated by commas: what is run. The table shows the others, too.
        seeds: how many, from 0.
        budget: real steps of each run: a number for all, or ``task=number`` separated by commas; tasks that
            are not named keep their own.
        eval_every, jobs, quick, settings, out, results, command: see
            :class:`worldsample_bringup.bench.bench_method.Comparison`. results: of the .json; .md and .png
            beside it.
        show: run nothing.
    """

    tasks: str = ""
    methods: str = ""
    seeds: int = 3
    budget: str = ""
    eval_every: int | None = None
    jobs: int = 1
    quick: bool = False
    settings: tuple[str, ...] = ()
    out: str = ""
    results: str = ""
    command: str = ""
    show: bool = False

    @property
    def root(self) -> Path:
        """Of the run folders."""
        return Path(self.out) if self.out else QUICK_RUNS if self.quick else RUNS

    @property
    def results_file(self) -> Path:
        """A result of other than the plain settings does not replace the published one."""
        if self.results:
            return Path(self.results)
        if not (self.quick or self.settings or self.out):
            try:
                return find_checkout() / "benchmarks" / "results" / "table1.json"
            except ConfigError:
                pass
        return self.root / "table1.json"

    @property
    def policies(self) -> Path | None:
        """Where the policies of finished cells go; None where the result lies among its run folders."""
        file = self.results_file
        return None if file.parent.absolute() == self.root.absolute() else file.with_suffix("")

    @property
    def making(self) -> str:
        """The command that makes what is shown."""
        return self.command.replace(" --show", "")

    def budgets(self) -> dict[str, int | None]:
        """Of each task; None: its own. Raises :class:`ConfigError`."""
        result: dict[str, int | None] = dict.fromkeys(TASKS)
        for part in filter(None, self.budget.split(",")):
            name, equals, number = part.strip().rpartition("=")
            names = [name] if equals else list(TASKS)
            if not number.isdigit() or not int(number) or names[0] not in result:
                raise ConfigError(f"--budget is a number of real steps, or task=number, …; got {part!r}")
            result.update(dict.fromkeys(names, int(number)))
        return result

    def comparison(self, task: str) -> Comparison:
        """The same runs as those of ``bench method``, but for where they end and where they live."""
        return Comparison(
            what="table1",
            task=task,
            variants=method_variants(",".join(METHODS)),
            seeds=self.seeds,
            steps=self.budgets()[task],
            eval_every=self.eval_every or (QUICK_EVAL_EVERY if self.quick else EVAL_EVERY),
            jobs=self.jobs,
            quick=self.quick,
            settings=(f"run.solved_success={SOLVED}", *self.settings),
            out=str(self.root),
            command=self.command,
        )


Key = tuple[str, str, int]
"""(task, method, seed)."""


@dataclass(frozen=True)
class Plan:
    """All cells of the table and their runs; those that are asked for."""

    cells: dict[Key, Cell] = field(default_factory=dict)
    asked: list[Key] = field(default_factory=list)


def measure(asked: Table, console: Console | None = None) -> tuple[dict[str, Any], str, int]:
    """Run what is asked for and not finished, and write the table.

    Returns:
        the result (also in :attr:`Table.results_file`), the table for people, and the exit code: 0, 1 where a
        run failed, 128 + n after signal n.

    Raises:
        ConfigError: something asked for is unknown, a run in the way was made with other settings, or a file
            in the way of the result is none; before anything is started.
    """
    grid = cells_of(asked)
    budgets = {key: cell.steps for key, cell in grid.cells.items()}
    kept = published(asked, budgets)
    failed: dict[str, str] = {}
    stopped = 0
    if not asked.show:
        outcome = Grid(
            [grid.cells[key] for key in grid.asked], asked.jobs, console or Console(sys.stderr)
        ).run()
        failed, stopped = outcome.failed, outcome.stopped
        kept = published(asked, budgets)  # another command may have added to it meanwhile
    notes = [f"failed: {name}: {last}" for name, last in failed.items()]
    notes += export_policies(grid.cells, asked)
    result = {**result_of(grid.cells, kept, asked), "failed": failed}
    write(asked.results_file, result)
    if others := sum(not cell.finished and key in kept for key, cell in grid.cells.items()):
        notes.append(f"{others} cells are not of the runs in {asked.root}: they stood in the result already")
    left = sum(not grid.cells[key].finished for key in grid.asked)
    if left:
        notes.append(f"{left} of {len(grid.asked)} runs are not finished; go on with: {asked.making}")
    notes.append(f"result: {asked.results_file}, .md and .png")
    return result, "\n".join([table(result), *notes]), 128 + stopped if stopped else int(bool(failed))


def cells_of(asked: Table) -> Plan:
    """Every cell, and which are asked for: all of one seed before the next. Raises :class:`ConfigError`."""
    tasks = task_names(asked.tasks)
    wanted = [variant.name for variant in method_variants(asked.methods or ",".join(METHODS))]
    if extra := [name for name in wanted if name not in METHODS]:
        raise ConfigError(f"the table has the methods {', '.join(METHODS)}, not {extra[0]}")
    comparisons = {task: asked.comparison(task) for task in TASKS}
    settings = {
        (task, variant.name): resolve(comparison, variant)
        for task, comparison in comparisons.items()
        for number, variant in enumerate(comparison.variants)
        if number == 0 or (task in tasks and variant.name in wanted)
    }
    grid = Plan()
    for seed in range(asked.seeds):
        for task, comparison in comparisons.items():
            budget = settings[task, comparison.variants[0].name].task.max_real_steps  # the same for all
            for variant in comparison.variants:
                key = (task, variant.name, seed)
                grid.cells[key] = cell_of(comparison, variant, seed, budget)
                if task in tasks and variant.name in wanted:
                    check_same(grid.cells[key], comparison.overrides(variant), settings[task, variant.name])
                    grid.asked.append(key)
    return grid


# --- figures ---


def wilson(successes: float, episodes: int) -> tuple[float, float]:
    """95 % confidence interval of a success rate (E. B. Wilson 1927), within [0, 1]."""
    rate, z2 = successes / episodes, Z * Z
    middle = (rate + z2 / (2 * episodes)) / (1 + z2 / episodes)
    half = Z * math.sqrt(rate * (1 - rate) / episodes + z2 / (4 * episodes**2)) / (1 + z2 / episodes)
    return round(max(0.0, middle - half), 4), round(min(1.0, middle + half), 4)


def figures(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One cell of the table, over its seeds (as :func:`run_figures` gives them); null figures without any.
    ``success`` and ``ci`` are over all episodes of the last evaluations together."""
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


def run_figures(cell: Cell, seed: int, policies: Path | None) -> dict[str, Any]:
    """Of a finished run: its result, its curves, and where it and its policy are."""
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
        "run_dir": os.path.relpath(cell.folder.path),
        "policy": str(policy.relative_to(policy.parents[1])) if policy and policy.is_dir() else None,
        "success_curve": [[steps, rate] for steps, _, rate in summary["eval_history"]],
        "intervention_curve": _interventions(cell),
    }


def _mean(runs: Sequence[Mapping[str, Any]], key: str) -> float | None:
    there = [float(run[key]) for run in runs if run.get(key) is not None]
    return round(mean(there), 4) if there else None


def _interventions(cell: Cell) -> list[list[float]]:
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
    """Of one task: the success that HiL-SERL ends with, and every method's median real steps to the first
    evaluation that reaches it, as a fraction of HiL-SERL's."""
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


def published(asked: Table, budgets: Mapping[Key, int]) -> dict[Key, dict[str, Any]]:
    """The runs that stand in the results file and had the same budget; their folders may be elsewhere.

    Raises:
        ConfigError: the file is no result of this command.
    """
    try:
        result = json.loads(asked.results_file.read_text())
        if result["quick"] != asked.quick or result["settings"] != list(asked.settings):
            return {}
        return {
            (task, method, run["seed"]): run
            for task, row in result["cells"].items()
            for method, cell in row.items()
            for run in cell["seeds"]
            if run.keys() >= _EVERY_RESULT and budgets.get((task, method, run["seed"])) == run["budget"]
        }
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise ConfigError(
            f"{asked.results_file} is not a result of bench table1 ({type(problem).__name__}: {problem}).\n"
            "  Move it away, or give another place for the result: --results FILE"
        ) from problem


def export_policies(cells: Mapping[Key, Cell], asked: Table) -> list[str]:
    """The policies of finished runs, beside the result. Returns what went wrong, for people."""
    if asked.policies is None:
        return []
    problems = []
    for cell in (cell for cell in cells.values() if cell.finished):
        there = RunFolder(asked.policies / cell.name)
        if there.read_summary().items() >= _without_checkpoint(cell.folder.read_summary()).items():
            continue
        try:
            shutil.rmtree(there.path, ignore_errors=True)
            export_run(cell.folder, str(there.path))
        except (ConfigError, OSError) as problem:
            problems.append(f"no policy of {cell.name} beside the result: {problem}")
    return problems


def _without_checkpoint(summary: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in summary.items() if key != "checkpoint"}


def result_of(cells: Mapping[Key, Cell], kept: Mapping[Key, dict[str, Any]], asked: Table) -> dict[str, Any]:
    """The table as JSON-able values; a run that is not finished counts for nothing, and where ``kept`` has
    one of its place, that one stands there."""
    runs = {
        key: run_figures(cell, key[2], asked.policies) if cell.finished else kept.get(key)
        for key, cell in cells.items()
    }
    rows = {
        task: {
            method: figures([run for seed in range(asked.seeds) if (run := runs[task, method, seed])])
            for method in METHODS
        }
        for task in TASKS
    }
    steps = {task: ratios(row) for task, row in rows.items()}
    averages, mean_ratios = {}, {}
    for method in METHODS:
        there = [rows[task][method] for task in TASKS if rows[task][method]["success"] is not None]
        averages[method] = {
            **{
                key: round(mean(cell[key] for cell in there), 4) if there else None
                for key in ("success", "real_steps", "interventions", "wall_seconds")
                if all(cell[key] is not None for cell in there)
            },
            "tasks": len(there),
        }
        known = [steps[task]["methods"].get(method, {}).get("ratio") for task in TASKS]
        exact = [value for value in known if value is not None]
        mean_ratios[method] = {"ratio": round(mean(exact), 4) if exact else None, "tasks": len(exact)}
    return {
        "cells": rows,
        "averages": averages,
        "steps_ratio": mean_ratios[OURS]["ratio"],
        "steps_ratios": mean_ratios,
        "steps_to_the_same_success": steps,
        "solved": f"a run ends when two evaluations in a row reach {SOLVED:g}, or at its budget; "
        "ci: Wilson, 95 %",
        "seeds": list(range(asked.seeds)),
        "quick": asked.quick,
        "settings": list(asked.settings),
        "cores": os.cpu_count(),
        "git_revision": git_revision(),
        "command": asked.making,
    }


def write(path: Path, result: Mapping[str, Any]) -> None:
    """``table1.json``, ``.md`` and ``.png``."""
    write_json(path, result)
    path.with_suffix(".md").write_text(markdown(result))
    shown = {task: row for task, row in result["cells"].items() if any(c["seeds"] for c in row.values())}
    titles = {"success_curve": "success", "intervention_curve": "driven by the operator"}
    panels = [
        [(f"{task}: {title}", _by_method(row, key)) for key, title in titles.items()]
        for task, row in shown.items()
    ]
    curves(panels, "real steps").save(path.with_suffix(".png"))


def _by_method(row: Mapping[str, Mapping[str, Any]], curve: str) -> dict[str, list[list[list[float]]]]:
    """The curves of all seeds, of the methods that were run."""
    return {name: [seed[curve] for seed in cell["seeds"]] for name, cell in row.items() if cell["seeds"]}

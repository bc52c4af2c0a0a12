"""``worldsample bench table1``: the paper's table, in simulation. Every task with every method, as real
training runs on the same budget; figures beside the paper's.

What is asked for is run or resumed, and finished cells are kept; the table shows all cells that are there,
and nothing in place of those that are not.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

from worldsample_bringup.bench_method import Comparison, cell_of, check_same, resolve
from worldsample_bringup.comparison import Steps, median_steps, ratio, steps_to_success
from worldsample_bringup.configuration import git_revision
from worldsample_bringup.console import Console
from worldsample_bringup.curve_image import curves
from worldsample_bringup.grid import Cell, Grid, write_json
from worldsample_bringup.history import WINDOW, intervention_rate, read_history
from worldsample_bringup.selftest import find_checkout
from worldsample_bringup.table1_text import markdown, table
from worldsample_bringup.variants import BASELINE, METHODS, OURS, TASKS, method_variants, task_names
from worldsample_core.config import ConfigError, read_yaml

RUNS = Path("runs/bench/table1")
QUICK_RUNS = Path("runs/bench/table1-quick")
EVAL_EVERY, QUICK_EVAL_EVERY = 500, 60
SOLVED = 0.95
"""A run ends when two evaluations in a row reach this success: the paper's best."""
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
            :class:`worldsample_bringup.bench_method.Comparison`. results: of the .json; .md and .png beside
            it.
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


@dataclass(frozen=True)
class Plan:
    """All cells of the table: (task, method, seed) -> run; the budgets; those that are asked for."""

    cells: dict[tuple[str, str, int], Cell] = field(default_factory=dict)
    asked: list[tuple[str, str, int]] = field(default_factory=list)


def measure(asked: Table, console: Console | None = None) -> tuple[dict[str, Any], str, int]:
    """Run what is asked for and not finished, and write the table.

    Returns:
        the result (also in :attr:`Table.results_file`), the table for people, and the exit code: 0, 1 where a
        run failed, 128 + n after signal n.

    Raises:
        ConfigError: something asked for is unknown, or a run in the way was made with other settings.
    """
    grid = cells_of(asked)
    failed: dict[str, str] = {}
    stopped = 0
    if not asked.show:
        outcome = Grid(
            [grid.cells[key] for key in grid.asked], asked.jobs, console or Console(sys.stderr)
        ).run()
        failed, stopped = outcome.failed, outcome.stopped
    result = {**result_of(grid.cells, asked), "failed": failed}
    write(asked.results_file, result)
    notes = [f"failed: {name}: {last}" for name, last in failed.items()]
    left = sum(not grid.cells[key].finished for key in grid.asked)
    if left:
        going_on = asked.command.replace(" --show", "")
        notes.append(f"{left} of {len(grid.asked)} runs are not finished; go on with: {going_on}")
    notes.append(f"result: {asked.results_file}, .md and .png")
    return result, "\n".join([table(result), *notes]), 128 + stopped if stopped else int(bool(failed))


def cells_of(asked: Table) -> Plan:
    """Every cell, and which are asked for: all of one seed before the next. Raises :class:`ConfigError`."""
    tasks = task_names(asked.tasks)
    wanted = [variant.name for variant in method_variants(asked.methods or ",".join(METHODS))]
    if extra := [name for name in wanted if name not in METHODS]:
        raise ConfigError(f"the table has the methods {', '.join(METHODS)}, not {extra[0]}")
    grid = Plan()
    for seed in range(asked.seeds):
        for task in TASKS:
            comparison = asked.comparison(task)
            for variant in comparison.variants:
                key = (task, variant.name, seed)
                if task in tasks and variant.name in wanted:
                    settings = resolve(comparison, variant)
                    cell = cell_of(comparison, variant, seed, settings.task.max_real_steps)
                    check_same(cell, comparison.overrides(variant), settings)
                    grid.asked.append(key)
                else:
                    cell = cell_of(comparison, variant, seed, comparison.steps or 0)
                grid.cells[key] = cell
    return grid


# --- figures ---


def wilson(successes: float, episodes: int) -> tuple[float, float]:
    """95 % confidence interval of a success rate (E. B. Wilson 1927), within [0, 1]."""
    rate, z2 = successes / episodes, Z * Z
    middle = (rate + z2 / (2 * episodes)) / (1 + z2 / episodes)
    half = Z * math.sqrt(rate * (1 - rate) / episodes + z2 / (4 * episodes**2)) / (1 + z2 / episodes)
    return round(max(0.0, middle - half), 4), round(min(1.0, middle + half), 4)


def figures(cells: Sequence[Cell]) -> dict[str, Any]:
    """One cell of the table, over its seeds; null figures where no run is finished. ``success`` and ``ci``
    are over all episodes of the last evaluations together."""
    finished = [cell for cell in cells if cell.finished]
    summaries = [cell.folder.read_summary() for cell in finished]
    told = [s for s in summaries if s.get("eval_success_rate") is not None]
    episodes = sum(_episodes(s) for s in told)
    successes = sum(float(s["eval_success_rate"]) * _episodes(s) for s in told)
    return {
        "success": round(successes / episodes, 4) if episodes else None,
        "ci": list(wilson(successes, episodes)) if episodes else None,
        "episodes": episodes,
        "real_steps": _mean(summaries, "real_steps"),
        "interventions": _mean(summaries, "intervention_rate"),
        "wall_seconds": _mean(summaries, "wall_seconds"),
        "seeds_finished": len(finished),
        "seeds": [
            {
                "success": s.get("eval_success_rate"),
                "real_steps": s.get("real_steps"),
                "imagined_transitions": s.get("synthetic_transitions"),
                "budget": read_yaml(cell.folder.config).get("task", {}).get("max_real_steps"),
                "git_revision": read_yaml(cell.folder.config).get("run", {}).get("git_revision"),
                "run_dir": os.path.relpath(cell.folder.path),
                "success_curve": [[steps, rate] for steps, _, rate in s["eval_history"]],
                "intervention_curve": _interventions(cell),
            }
            for cell, s in zip(finished, summaries, strict=True)
        ],
    }


def _episodes(summary: Mapping[str, Any]) -> int:
    """Of the last evaluation."""
    return int(summary.get("eval_episodes") or summary["eval_history"][-1][1])


def _mean(summaries: Sequence[Mapping[str, Any]], key: str) -> float | None:
    there = [float(s[key]) for s in summaries if s.get(key) is not None]
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


def result_of(cells: Mapping[tuple[str, str, int], Cell], asked: Table) -> dict[str, Any]:
    """The table as JSON-able values; a run that is not finished counts for nothing."""
    rows = {
        task: {m: figures([cells[task, m, seed] for seed in range(asked.seeds)]) for m in METHODS}
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
        "command": asked.command,
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

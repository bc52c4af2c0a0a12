"""``worldsample bench table1``: the paper's table in simulation, beside the paper's own figures.

Every cell is a real training run of a task with a method, on the same budget. What is asked for is run or
resumed, and finished cells are kept, also without their run folders: what stands in the results file, with
the same budget, stays there until a run here takes its place, and beside the file lies the policy of each
cell (:mod:`worldsample_bringup.run.export`), which ``eval`` evaluates again. Cells
that are nowhere are empty.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worldsample_bringup.bench.bench_method import Comparison, cell_of, check_same, resolve
from worldsample_bringup.bench.grid import Grid, GridCell, write_json
from worldsample_bringup.bench.grid_request import GridRequest
from worldsample_bringup.bench.method_variants import (
    METHODS,
    OURS,
    TASKS,
    method_variants,
    task_names,
)
from worldsample_bringup.bench.table1_figures import averages, figures, mean_ratio, ratios, run_figures
from worldsample_bringup.bench.table1_text import markdown, table
from worldsample_bringup.graph.terminal import Console
from worldsample_bringup.report.curve_image import curves
from worldsample_bringup.run.export import export_run
from worldsample_bringup.run.provenance import git_revision, installed_versions
from worldsample_bringup.run.run_folder import RunFolder
from worldsample_core.config import ConfigError, to_mapping

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


@dataclass(frozen=True, kw_only=True)
class Table(GridRequest):
    """The table that a person asked for.

    Attributes:
        tasks, methods: names, separated by commas: what is run. The table shows the others, too.
        budget: real steps of each run: a number for all, or ``task=number`` separated by commas; tasks that
            are not named keep their own.
        show: run nothing.
    """

    runs = Path("runs/bench/table1")
    quick_runs = Path("runs/bench/table1-quick")

    tasks: str = ""
    methods: str = ""
    budget: str = ""
    show: bool = False

    @property
    def result_name(self) -> str:
        """Name of the result's file."""
        return "table1.json"

    @property
    def policies(self) -> Path | None:
        """Folder of the finished cells' policies; None where the result lies among its run folders."""
        file = self.results_file
        return None if file.parent.absolute() == self.root.absolute() else file.with_suffix("")

    @property
    def making(self) -> str:
        """The command that makes what is shown."""
        return self.command.replace(" --show", "")

    def budgets(self) -> dict[str, int | None]:
        """Real steps of each task; None: its own. Raises :class:`ConfigError`."""
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
            first_seed=self.first_seed,
            steps=self.budgets()[task],
            eval_every=self.eval_every or (QUICK_EVAL_EVERY if self.quick else EVAL_EVERY),
            jobs=self.jobs,
            graph=self.graph,
            quick=self.quick,
            settings=(f"run.solved_success={SOLVED}", *self.settings),
            out=str(self.root),
            command=self.command,
        )


Key = tuple[str, str, int]
"""(task, method, seed)."""


@dataclass(frozen=True)
class TableCells:
    """All cells of the table and their runs; those that are asked for."""

    cells: dict[Key, GridCell] = field(default_factory=dict)
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


def cells_of(asked: Table) -> TableCells:
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
    grid = TableCells()
    for seed in asked.seed_numbers:
        for task, comparison in comparisons.items():
            budget = settings[task, comparison.variants[0].name].task.max_real_steps  # the same for all
            for variant in comparison.variants:
                key = (task, variant.name, seed)
                grid.cells[key] = cell_of(comparison, variant, seed, budget)
                if task in tasks and variant.name in wanted:
                    check_same(grid.cells[key], comparison.overrides(variant), settings[task, variant.name])
                    grid.asked.append(key)
    return grid


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


def export_policies(cells: Mapping[Key, GridCell], asked: Table) -> list[str]:
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


def result_of(
    cells: Mapping[Key, GridCell], kept: Mapping[Key, dict[str, Any]], asked: Table
) -> dict[str, Any]:
    """The table as JSON-able values.

    A run that is not finished counts for nothing, and where ``kept`` has one of its place, that one stands
    there.
    """
    runs = {
        key: run_figures(cell, key[2], asked.policies) if cell.finished else kept.get(key)
        for key, cell in cells.items()
    }
    rows = {
        task: {
            method: figures([run for seed in asked.seed_numbers if (run := runs[task, method, seed])])
            for method in METHODS
        }
        for task in TASKS
    }
    steps = {task: ratios(row) for task, row in rows.items()}
    mean_ratios = {method: mean_ratio(steps, method) for method in METHODS}
    return {
        "cells": rows,
        "averages": {method: averages([rows[task][method] for task in TASKS]) for method in METHODS},
        "steps_ratio": mean_ratios[OURS]["ratio"],
        "steps_ratios": mean_ratios,
        "steps_to_the_same_success": steps,
        "solved": f"a run ends when two evaluations in a row reach {SOLVED:g}, or at its budget; "
        "ci: Wilson, 95 %",
        "seeds": list(asked.seed_numbers),
        "quick": asked.quick,
        "settings": list(asked.settings),
        "cores": os.cpu_count(),
        "git_revision": git_revision(),
        "versions": to_mapping(installed_versions()),
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

"""``worldsample bench method`` and ``bench ablation``: methods compared by real training runs.

Each run ends when it has solved the task or spent its budget.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldsample_bringup.bench.comparison import SOLVED_IN_A_ROW, SOLVED_SUCCESS, figures, step_ratios, table
from worldsample_bringup.bench.grid import Grid, GridCell, GridOutcome, write_json
from worldsample_bringup.bench.grid_request import GridRequest
from worldsample_bringup.bench.method_variants import OURS, Variant
from worldsample_bringup.graph.terminal import Console
from worldsample_bringup.run.configuration import read_overrides
from worldsample_bringup.run.options import Request
from worldsample_bringup.run.prepare import plan
from worldsample_bringup.run.provenance import git_revision, installed_versions
from worldsample_bringup.run.run_folder import RunFolder
from worldsample_core.config import ConfigError, read_yaml, to_mapping
from worldsample_core.settings import Settings

EVAL_EPISODES, FINAL_EVAL_EPISODES = 20, 50


@dataclass(frozen=True, kw_only=True)
class Comparison(GridRequest):
    """A comparison that a person asked for.

    Attributes:
        what: "method" or "ablation": in the result's name.
        task: a file of config/tasks.
        variants: what is compared.
        steps: budget of real steps of each run; None: the task's.
    """

    runs = Path("runs/bench/method")
    quick_runs = Path("runs/bench/quick")

    what: str
    task: str
    variants: tuple[Variant, ...]
    steps: int | None = None

    def __post_init__(self) -> None:
        if min(self.seeds, self.jobs, self.every) < 1:
            raise ConfigError("--seeds, --jobs and --eval-every must be at least 1")

    @property
    def every(self) -> int:
        """Real steps between evaluations."""
        return (60 if self.quick else 250) if self.eval_every is None else self.eval_every

    @property
    def result_name(self) -> str:
        """Name of the result's file."""
        return f"{self.what}-{self.task}.json"

    def overrides(self, variant: Variant) -> tuple[str, ...]:
        """Settings of a variant's runs; what a person said comes last."""
        episodes = (2, 4) if self.quick else (EVAL_EPISODES, FINAL_EVAL_EPISODES)
        return (
            f"run.eval_every={self.every}",
            f"run.eval_episodes={episodes[0]}",
            f"run.final_eval_episodes={episodes[1]}",
            f"run.stop_when_solved={SOLVED_IN_A_ROW}",
            f"run.solved_success={SOLVED_SUCCESS}",
            *variant.overrides,
            *self.settings,
        )


def compare(asked: Comparison, console: Console | None = None) -> tuple[dict[str, Any], str, int]:
    """Run what is not finished, and compare.

    Returns:
        the result (also written to :attr:`Comparison.results_file` when every run is finished), the table
        for people, and the exit code: 0, 1 where a run failed, 128 + n after signal n.

    Raises:
        ConfigError: something asked for is unknown, or a run in the way was made with other settings.
    """
    console = console or Console(sys.stderr)
    resolved = {variant: resolve(asked, variant) for variant in asked.variants}
    budget = resolved[asked.variants[0]].task.max_real_steps
    cells = {
        (variant.name, seed): cell_of(asked, variant, seed, budget)
        for seed in asked.seed_numbers  # every variant of a seed before the next seed
        for variant in asked.variants
    }
    for variant in asked.variants:
        for seed in asked.seed_numbers:
            check_same(cells[variant.name, seed], asked.overrides(variant), resolved[variant])
    outcome = Grid(tuple(cells.values()), asked.jobs, console).run()
    result = result_of(asked, cells, budget, resolved[asked.variants[0]].run.eval_episodes)
    result["failed"] = outcome.failed
    notes, code = conclude(asked, cells.values(), outcome, result)
    seeds = f"{asked.seeds} seed{'s' if asked.seeds > 1 else ''}"
    title = f"{asked.task}, {seeds}, up to {budget:,} real steps"
    text = "\n".join([table(title, result["methods"], budget), *notes])
    return result, text, code


def conclude(
    asked: GridRequest, cells: Iterable[GridCell], outcome: GridOutcome, result: Mapping[str, Any]
) -> tuple[list[str], int]:
    """Write a grid's result, where every run is finished. Returns notes for people, and the exit code."""
    notes = [f"failed: {name}: {last}" for name, last in outcome.failed.items()]
    if all(cell.finished for cell in cells):
        write_json(asked.results_file, result)
        notes.append(f"result: {asked.results_file}")
    else:
        notes.append(f"not complete; go on with: {asked.command}")
    return notes, 128 + outcome.stopped if outcome.stopped else int(bool(outcome.failed))


def resolve(asked: Comparison, variant: Variant) -> Settings:
    """The settings of a variant's runs. Raises :class:`ConfigError` before anything is started."""
    request = Request(
        "train",
        task=asked.task,
        method=variant.method,
        steps=asked.steps,
        quick=asked.quick,
        overrides=asked.overrides(variant),
    )
    settings = plan(request, asked.root / ".new").settings
    learner = settings.learner
    if settings.worldmodel.get("enabled") and not learner["pacing"] and learner["algorithm"] == "sac":
        raise ConfigError(
            f"{variant.name} imagines for nothing: it has a world model, but learner.pacing=false keeps "
            "what is imagined out of training.\n"
            "  Set learner.pacing in config/methods, or leave the world model out"
        )
    return settings


def cell_of(asked: Comparison, variant: Variant, seed: int, budget: int) -> GridCell:
    """The run of a variant with a seed."""
    name = f"{asked.task}-{variant.folder}-seed{seed}"
    folder = RunFolder(asked.root / name)
    command = (sys.executable, "-m", "worldsample_bringup.cli", "train")
    train = command if asked.graph else (*command, "--one-process")
    start = (
        *train,
        *("--task", asked.task, "--method", variant.method, "--seed", str(seed)),
        *("--steps", str(budget), "--run-dir", str(folder.path)),
        *(("--quick",) if asked.quick else ()),
        *asked.overrides(variant),
    )
    return GridCell(name, folder, start, (*train, "--resume", str(folder.path)), budget)


def check_same(cell: GridCell, overrides: Sequence[str], settings: Settings) -> None:
    """Raise :class:`ConfigError` where the folder of a cell holds a run with other settings than asked for.

    Only what was asked for is compared, and the budget: a default that has changed since is another revision
    of the code, which the result names.
    """
    if not cell.begun:
        return
    there, wanted = read_yaml(cell.folder.config), to_mapping(settings)
    asked = [(section, key) for section, keys in read_overrides(tuple(overrides)).items() for key in keys]
    for section, key in (*asked, ("task", "max_real_steps")):
        found, value = there.get(section, {}).get(key), wanted[section][key]
        if found != value:
            raise ConfigError(
                f"{cell.folder.path} was made with {section}.{key}={found}, not {value}.\n"
                "  Move it away, or give another place for the runs: --out DIR"
            )


def result_of(
    asked: Comparison, cells: Mapping[tuple[str, int], GridCell], budget: int, episodes: int
) -> dict[str, Any]:
    """The result as JSON-able values; a run that is not finished counts for nothing."""

    def summary(variant: Variant, seed: int) -> dict[str, Any] | None:
        cell = cells[variant.name, seed]
        return cell.folder.read_summary() if cell.finished else None

    seeds = asked.seed_numbers
    methods = {}
    for variant in asked.variants:
        folders = [cells[variant.name, seed].folder.path for seed in seeds]
        methods[variant.name] = {
            **figures([summary(variant, seed) for seed in seeds], budget, episodes),
            "method": variant.method,
            "overrides": list(variant.overrides),
            "run_dirs": [os.path.relpath(folder) for folder in folders],
        }
    ratios = step_ratios(methods)
    ours = ratios.get(next((v.name for v in asked.variants if v.method == OURS and not v.overrides), ""), {})
    return {
        "task": asked.task,
        "seeds": list(seeds),
        "budget": budget,
        "eval_every": asked.every,
        "eval_episodes": episodes,
        "solved": f"{SOLVED_IN_A_ROW} evaluations in a row reach {SOLVED_SUCCESS:g}; null: not within the "
        "budget, which then counts as a lower bound",
        "step_ratio": ours.get("ratio"),
        "step_ratio_is": ours.get("is", "unknown"),
        "step_ratios": ratios,
        "methods": methods,
        "jobs": asked.jobs,
        "cores": os.cpu_count(),
        "settings": list(asked.settings),
        "git_revision": git_revision(),
        "versions": to_mapping(installed_versions()),
        "git_revisions_of_runs": _revisions(cells.values()),
        "command": asked.command,
    }


def _revisions(cells: Iterable[GridCell]) -> list[str]:
    """Revisions of the code that made (or last resumed) the runs: more than one is worth knowing."""
    revisions = {str(read_yaml(c.folder.config)["run"].get("git_revision")) for c in cells if c.begun}
    return sorted(revisions)

"""``worldsample bench imagination``: what imagination is worth, by the control that lacks nothing else.

Each task and seed is trained twice: with the method that imagines, and with the same learner without a world
model. Both share demonstrations, scenes and seeds, so their difference is paired. The interval is that of a
bootstrap which draws seeds anew within each task (stratified, percentile, 95 %).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldsample_bringup.bench.bench_method import Comparison, cell_of, check_same, conclude, resolve
from worldsample_bringup.bench.grid import Grid, GridCell
from worldsample_bringup.bench.grid_request import GridRequest
from worldsample_bringup.bench.method_variants import Variant, method_variants, task_names
from worldsample_bringup.graph.terminal import Console
from worldsample_bringup.run.provenance import git_revision, installed_versions
from worldsample_core.config import ConfigError, to_mapping

STEPS, QUICK_STEPS = 1000, 150
RESAMPLES = 9999
Key = tuple[str, str, int]
"""(task, variant, seed)."""


@dataclass(frozen=True, kw_only=True)
class ImaginationGain(GridRequest):
    """The measurement that a person asked for.

    Attributes:
        tasks: names, separated by commas; "": all five.
        control, imagining: the two methods; ``name+section.key=value`` is one with another setting.
        steps: real steps of each run; None: 1,000, or 150 where everything is tiny.
    """

    runs = Path("runs/bench/imagination")
    quick_runs = Path("runs/bench/imagination-quick")

    tasks: str = ""
    control: str = "rlpd_plus"
    imagining: str = "worldsample"
    steps: int | None = None

    @property
    def result_name(self) -> str:
        """Name of the result's file."""
        return "imagination.json"

    @property
    def budget(self) -> int:
        """Real steps of each run."""
        return self.steps or (QUICK_STEPS if self.quick else STEPS)

    def variants(self) -> tuple[Variant, Variant]:
        """The control, and what imagines. Raises :class:`ConfigError`."""
        found = method_variants(f"{self.control},{self.imagining}")
        if len(found) != 2:
            raise ConfigError("--control and --imagining name one method each")
        return found[0], found[1]

    def comparison(self, task: str) -> Comparison:
        """The runs of a task: those of ``bench method``, evaluated at their end."""
        return Comparison(
            what="imagination",
            task=task,
            variants=self.variants(),
            seeds=self.seeds,
            first_seed=self.first_seed,
            steps=self.budget,
            eval_every=self.eval_every or self.budget,
            jobs=self.jobs,
            graph=self.graph,
            quick=self.quick,
            settings=self.settings,
            out=str(self.root),
            command=self.command,
        )


def measure(asked: ImaginationGain, console: Console | None = None) -> tuple[dict[str, Any], str, int]:
    """Run what is not finished, and compare what is.

    Returns:
        the result (also in :attr:`ImaginationGain.results_file` once every run is finished), the table for
        people, and the exit code: 0, 1 where a run failed, 128 + n after signal n.

    Raises:
        ConfigError: something asked for is unknown, or a run in the way was made with other settings.
    """
    cells: dict[Key, GridCell] = {}
    for seed in asked.seed_numbers:  # every task and method of a seed before the next seed
        for task in task_names(asked.tasks):
            comparison = asked.comparison(task)
            for variant in comparison.variants:
                key = (task, variant.name, seed)
                cells[key] = cell_of(comparison, variant, seed, asked.budget)
                check_same(cells[key], comparison.overrides(variant), resolve(comparison, variant))
    outcome = Grid(tuple(cells.values()), asked.jobs, console or Console(sys.stderr)).run()
    result = {**result_of(asked, cells), "failed": outcome.failed}
    notes, code = conclude(asked, cells.values(), outcome, result)
    return result, "\n".join([table(result), *notes]), code


def result_of(asked: ImaginationGain, cells: Mapping[Key, GridCell]) -> dict[str, Any]:
    """The result as JSON-able values; a pair counts once both of its runs are finished."""
    control, imagining = (variant.name for variant in asked.variants())
    summaries = {key: cell.folder.read_summary() for key, cell in cells.items() if cell.finished}
    pairs = [
        {
            "task": task,
            "seed": seed,
            "control": summaries[task, control, seed]["eval_success_rate"],
            "imagining": summaries[task, imagining, seed]["eval_success_rate"],
            "episodes": summaries[task, imagining, seed]["eval_episodes"],
            "helped": [summaries[task, name, seed]["intervention_rate"] for name in (control, imagining)],
            "imagined_transitions": summaries[task, imagining, seed]["synthetic_transitions"],
        }
        for task in task_names(asked.tasks)
        for seed in asked.seed_numbers
        if (task, control, seed) in summaries and (task, imagining, seed) in summaries
    ]
    return {
        **gain([(pair["task"], pair["imagining"] - pair["control"]) for pair in pairs]),
        "pairs": pairs,
        "control": control,
        "imagining": imagining,
        "seeds": list(asked.seed_numbers),
        "real_steps": asked.budget,
        "interval": f"95 %, bootstrap of {RESAMPLES} resamples, seeds drawn anew within each task",
        "quick": asked.quick,
        "settings": list(asked.settings),
        "git_revision": git_revision(),
        "versions": to_mapping(installed_versions()),
        "command": asked.command,
    }


def gain(differences: Sequence[tuple[str, float]]) -> dict[str, Any]:
    """``gain_points`` and its interval, in points of success; null where nothing can be said.

    Args:
        differences: (task, success with imagination - success without), one of each seed. Tasks count alike.
    """
    by_task: dict[str, list[float]] = {}
    for task, difference in differences:
        by_task.setdefault(task, []).append(100.0 * difference)
    if not by_task:
        return {"gain_points": None, "ci_low": None, "ci_high": None, "n": 0}
    means = [sum(values) / len(values) for values in by_task.values()]
    result = {"gain_points": round(sum(means) / len(means), 2), "n": len(differences)}
    if min(len(values) for values in by_task.values()) < 2:
        return {**result, "ci_low": None, "ci_high": None}
    low, high = _interval(list(by_task.values()))
    return {**result, "ci_low": round(low, 2), "ci_high": round(high, 2)}


def _interval(samples: list[list[float]]) -> tuple[float, float]:
    """95 % of the mean over tasks of the means over seeds. Raises :class:`ConfigError` without SciPy."""
    try:
        import numpy as np
        from scipy.stats import bootstrap
    except ImportError as missing:
        raise ConfigError("bench imagination needs SciPy: python -m pip install scipy") from missing

    def mean_of_means(*tasks: Any, axis: int) -> Any:
        return np.mean([np.mean(task, axis=axis) for task in tasks], axis=0)

    found = bootstrap(
        [np.asarray(task) for task in samples],
        mean_of_means,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(found.low), float(found.high)


def table(result: Mapping[str, Any]) -> str:
    """The pairs and the gain, for people."""
    lines = [f"{'task':<12} {'seed':>4}  {'without':>8} {'with':>8} {'gain':>8}"]
    for pair in result["pairs"]:
        before, after = 100 * pair["control"], 100 * pair["imagining"]
        name, seed = pair["task"], pair["seed"]
        lines.append(f"{name:<12} {seed:>4}  {before:>6.0f} % {after:>6.0f} % {after - before:>+8.0f}")
    if result["gain_points"] is None:
        return "\n".join([*lines, "no pair is finished yet"])
    interval = (
        "no interval: it needs two seeds of each task"
        if result["ci_low"] is None
        else f"[{result['ci_low']:+.1f}, {result['ci_high']:+.1f}]"
    )
    return "\n".join(
        [
            *lines,
            "",
            f"imagination gives {result['gain_points']:+.1f} points of success at {result['real_steps']:,} "
            f"real steps {interval}, n = {result['n']} pairs",
        ]
    )

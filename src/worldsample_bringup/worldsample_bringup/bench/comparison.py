"""Figures of finished runs: real steps to 90 %, final success, medians, and how they compare.

A run that never gets there within its budget needs more steps than the budget: the budget then counts as
a lower bound, and everything that rests on it says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from worldsample_bringup.bench.method_variants import BASELINE
from worldsample_bringup.dashboard.progress import duration

SOLVED_SUCCESS = 0.90
SOLVED_IN_A_ROW = 2
"""Solved: so many evaluations in a row reach this success rate."""


@dataclass(frozen=True)
class Steps:
    """Real steps to a success rate; ``bound``: at least so many, it was not reached within them."""

    value: float
    bound: bool = False

    def __str__(self) -> str:
        return f"{'> ' if self.bound else ''}{self.value:,.0f}"


def steps_to_success(
    evaluations: Sequence[Sequence[float]],
    threshold: float = SOLVED_SUCCESS,
    in_a_row: int = SOLVED_IN_A_ROW,
    episodes: int = 1,
) -> int | None:
    """Real steps at the first of ``in_a_row`` evaluations that reach the threshold; None if they never do.

    Args:
        evaluations: ``eval_history`` of ``summary.json``: (real steps, episodes, success rate), in order; the
            final one, at the end of the budget, is one of them.
        episodes: an evaluation with fewer is left out: it was interrupted.
    """
    row: list[int] = []
    for steps, count, rate in evaluations:
        if count < episodes:
            continue
        row = [*row, int(steps)] if rate >= threshold - 1e-9 else []
        if len(row) == in_a_row:
            return row[0]
    return None


def median_steps(values: Sequence[int | None], budget: int) -> Steps | None:
    """The median, None counted as more than the budget; None of no values."""
    if not values:
        return None
    ordered = sorted((budget, True) if value is None else (value, False) for value in values)
    middle = ordered[(len(ordered) - 1) // 2 : len(ordered) // 2 + 1]
    return Steps(median(value for value, _ in middle), any(bound for _, bound in middle))


def ratio(steps: Steps | None, baseline: Steps | None) -> tuple[float | None, str]:
    """``steps / baseline``, and what it is: "exact", "at most", "at least" or "unknown" (both are bounds)."""
    if steps is None or baseline is None or not baseline.value:
        return None, "unknown"
    words = {(False, False): "exact", (False, True): "at most", (True, False): "at least"}
    kind = words.get((steps.bound, baseline.bound), "unknown")
    return (None if kind == "unknown" else round(steps.value / baseline.value, 4)), kind


def figures(summaries: Sequence[Mapping[str, Any] | None], budget: int, episodes: int) -> dict[str, Any]:
    """Figures of the runs of one variant, in the order of the seeds; null where a run is not finished.

    Args:
        summaries: each ``summary.json``, None where the run is not finished.
        budget: real steps of each run.
        episodes: of an evaluation.
    """
    whole = [summary for summary in summaries if summary is not None]
    steps = [None if s is None else steps_to_success(s["eval_history"], episodes=episodes) for s in summaries]
    middle = median_steps([s for s, of in zip(steps, summaries, strict=True) if of is not None], budget)
    final = [s["eval_success_rate"] for s in whole if s["eval_success_rate"] is not None]

    def column(key: str) -> list[Any]:
        return [None if summary is None else summary.get(key) for summary in summaries]

    return {
        "steps_to_90": steps,
        "final_success": column("eval_success_rate"),
        "median_steps_to_90": None if middle is None else middle.value,
        "median_is_lower_bound": None if middle is None else middle.bound,
        "mean_final_success": round(sum(final) / len(final), 4) if final else None,
        "finished": [summary is not None for summary in summaries],
        "real_steps": column("real_steps"),
        "intervention_rate": column("intervention_rate"),
        "synthetic_transitions": column("synthetic_transitions"),
        "psnr": column("psnr"),
        "wall_seconds": column("wall_seconds"),
        "eval_history": column("eval_history"),
    }


def step_ratios(by_variant: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Every variant's median steps as a fraction of the baseline's; {} without the baseline."""

    def steps(name: str) -> Steps | None:
        values = by_variant[name]
        value = values["median_steps_to_90"]
        return None if value is None else Steps(value, bool(values["median_is_lower_bound"]))

    if BASELINE not in by_variant:
        return {}
    result = {}
    for name in by_variant:
        if name != BASELINE:
            value, kind = ratio(steps(name), steps(BASELINE))
            result[name] = {"ratio": value, "is": kind}
    return result


def table(title: str, by_variant: Mapping[str, Mapping[str, Any]], budget: int) -> str:
    """The comparison for people, one line per variant."""
    head = ("", "steps to 90 %, by seed", "median", "final success, by seed", "driven", "wall time")
    rows = [head]
    for name, values in by_variant.items():
        finished = values["finished"]
        steps = [
            "–" if not done else str(Steps(budget, True)) if value is None else f"{value:,}"
            for value, done in zip(values["steps_to_90"], finished, strict=True)
        ]
        middle = values["median_steps_to_90"]
        rows.append(
            (
                name,
                "  ".join(steps),
                "–" if middle is None else str(Steps(middle, values["median_is_lower_bound"])),
                "  ".join(_percent(value) for value in values["final_success"]),
                _percent(_mean(values["intervention_rate"])),
                duration(sum(value or 0.0 for value in values["wall_seconds"])),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = ["   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    ratios = [
        f"{name} needs {words} of {BASELINE}'s steps"
        for name, each in step_ratios(by_variant).items()
        if (words := _in_words(each))
    ]
    return "\n".join([title, *(line.rstrip() for line in lines), *ratios])


def _in_words(each: Mapping[str, Any]) -> str:
    if each["ratio"] is None:
        return ""
    kind = "" if each["is"] == "exact" else f"{each['is']} "
    return f"{kind}{100 * each['ratio']:.0f} %"


def _mean(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if there else None


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f} %"

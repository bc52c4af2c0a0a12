"""The account of one cell: CPU seconds of each process, of its pieces of work, and of what is left."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worldsample_bringup.bench.process_watch import ProcessWatch
from worldsample_bringup.bench.watched_run import EVALUATION


def read_accounts(folder: Path) -> dict[int, dict[str, dict[str, float]]]:
    """The pieces of every process that left its account, by process id."""
    accounts = (json.loads(file.read_text()) for file in sorted(folder.glob("*.json")))
    return {int(account["pid"]): account["pieces"] for account in accounts}


def account_of(
    watch: ProcessWatch, accounts: Mapping[int, Mapping[str, Mapping[str, float]]]
) -> dict[str, dict[str, Any]]:
    """Each process's CPU seconds, those of its pieces, what is left, and what fell into evaluations."""
    pieces: dict[str, dict[str, dict[str, float]]] = {}
    for pid, account in accounts.items():
        if pid not in watch.times:
            continue
        sums = pieces.setdefault(watch.times[pid].name, {})
        for piece, counted in account.items():
            entry = sums.setdefault(piece, {"cpu_seconds": 0.0, "calls": 0})
            entry["cpu_seconds"] = round(entry["cpu_seconds"] + counted["cpu_seconds"], 3)
            entry["calls"] += counted["calls"]
    evaluation = watch.phases.get(EVALUATION, Counter())
    result = {}
    for name, seconds in watch.by_name().most_common():
        own = pieces.get(name, {})
        counted_seconds = sum(piece["cpu_seconds"] for piece in own.values())
        result[name] = {
            "cpu_seconds": round(seconds, 2),
            "evaluation_cpu_seconds": round(evaluation[name], 2),
            "pieces": dict(sorted(own.items(), key=lambda item: -item[1]["cpu_seconds"])),
            **({"rest_cpu_seconds": round(max(0.0, seconds - counted_seconds), 2)} if own else {}),
        }
    return result


def table(result: Mapping[str, Any]) -> str:
    """The account for people: processes with their pieces, then phases; minutes of CPU time."""

    def row(name: str, piece: str, seconds: float, more: str = "") -> str:
        return f"{name:<12} {piece:<28} {seconds / 60.0:>9.2f}  {more}".rstrip()

    lines = [f"{'process':<12} {'piece of work':<28} {'CPU min':>9}  calls"]
    for name, process in result["processes"].items():
        during = process["evaluation_cpu_seconds"]
        lines.append(
            row(name, "", process["cpu_seconds"], f"(in evaluations {during / 60.0:.2f})" if during else "")
        )
        for piece, counted in process["pieces"].items():
            lines.append(row("", piece, counted["cpu_seconds"], f"{int(counted['calls']):,}"))
        if "rest_cpu_seconds" in process:
            lines.append(row("", "all else", process["rest_cpu_seconds"]))
    lines.append(row("not seen", "", result["not_seen_cpu_seconds"]))
    lines += ["", f"{'phase':<16} {'wall min':>9} {'CPU min':>9}"]
    for phase, times in result["phases"].items():
        lines.append(f"{phase:<16} {times['wall_seconds'] / 60:>9.2f} {times['cpu_seconds'] / 60:>9.2f}")
    lines += [
        "",
        f"{result['task']}, {result['method']}, seed {result['seed']}, {result['real_steps']} real steps, "
        f"success {result['eval_success_rate']}",
        f"{result['wall_minutes']:.1f} min of wall time, {result['cpu_minutes']:.1f} min of CPU time, "
        f"{result['busy_cores']} of {result['cores']} cores busy; "
        f"other processes used {result['others_cpu_minutes']:.1f} min of CPU time",
    ]
    if "baseline" in result:
        baseline = result["baseline"]
        lines.append(
            f"baseline {baseline['git_revision']}: {baseline['wall_minutes']:.1f} min of wall time, "
            f"{baseline['wall_ratio']} times this one's; CPU {baseline['cpu_ratio']} times"
        )
    return "\n".join(lines)

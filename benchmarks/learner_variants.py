"""Compares settings of the learner and the operator in one process, on development seeds.

    .venv/bin/python benchmarks/learner_variants.py --task pick_place --method rlpd_plus --seeds 0 1 \
        --at 1000 2000 --vary "default" "dropout: learner.dropout=0.3" "no pushes:
        operator.disturbance.demos=0"

Each variant is a name, a colon, and settings as ``worldsample train`` takes them. Each run writes a line per
evaluation to ``benchmarks/results/learner_variants.jsonl``; a run that stands there already is not run again,
so the command can be stopped and started again. At the end: success by variant, mean over seeds, and Wilson's
95 % interval over all episodes together. Development seeds are 0 to 4; results are reported on others.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from worldsample_bringup.bench.one_process import OneProcess, settings_of

RESULTS = Path(__file__).parent / "results" / "learner_variants.jsonl"


def wilson(successes: float, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's 95 % interval of a success rate."""
    p, denominator = successes / n, 1.0 + z * z / n
    centre, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (centre - half) / denominator, (centre + half) / denominator


def run(name: str, task: str, method: str, seed: int, changes: list[str], at: list[int], n: int) -> None:
    """Train once and write a line per evaluation."""
    began = time.time()
    loop = OneProcess(settings_of(task, method, seed, changes))
    loop.demonstrate()
    for steps in at:
        loop.train(steps)
        success = loop.evaluate(n)
        row: dict[str, Any] = {
            "variant": name,
            "task": task,
            "method": method,
            "seed": seed,
            "settings": changes,
            "at": steps,
            "success": round(success, 4),
            "episodes": n,
            "helped": round(loop.helped / max(1, loop.learner.real_steps), 3),
            "labelled_steps": loop.helped + loop.learner.demo_steps,
            "stood_still": loop.stood_still,
            "updates": loop.learner.updates,
            "seconds": round(time.time() - began),
        }
        with RESULTS.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)


def rows() -> list[dict[str, Any]]:
    """All lines of the results so far."""
    return [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []


def table(names: list[str], task: str, method: str) -> str:
    """Success by variant and real steps, over all seeds that are there."""
    lines = []
    for name in names:
        for at in sorted({r["at"] for r in rows() if r["variant"] == name and r["task"] == task}):
            mine = [
                r for r in rows()
                if (r["variant"], r["task"], r["method"], r["at"]) == (name, task, method, at)
            ]  # fmt: skip
            n = sum(r["episodes"] for r in mine)
            if n:
                wins = sum(r["success"] * r["episodes"] for r in mine)
                low, high = wilson(wins, n)
                helped = sum(r["helped"] for r in mine) / len(mine)
                lines.append(
                    f"{name:32s} {at:6d} steps  {wins / n:.2f} [{low:.2f}, {high:.2f}]  "
                    f"{len(mine)} seeds, n = {n}, {helped:.0%} helped"
                )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", default="pick_place")
    parser.add_argument("--method", default="rlpd_plus")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument(
        "--at", nargs="+", type=int, default=[1000, 2000], help="real steps of the evaluations"
    )
    parser.add_argument("--episodes", type=int, default=40)
    parser.add_argument("--vary", nargs="+", default=["default"], metavar="NAME: SETTINGS")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    names = []
    for variant in arguments.vary:
        name, _, changes = variant.partition(":")
        names.append(name)
        for seed in arguments.seeds:
            known = [
                r["at"] for r in rows()
                if (r["variant"], r["task"], r["method"], r["seed"])
                == (name, arguments.task, arguments.method, seed)
            ]  # fmt: skip
            if max(arguments.at) not in known:
                run(
                    name, arguments.task, arguments.method, seed, changes.split(), arguments.at,
                    arguments.episodes,
                )  # fmt: skip
    print(table(names, arguments.task, arguments.method))


if __name__ == "__main__":
    main()

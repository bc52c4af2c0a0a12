"""Plot the success of several runs over their real steps, as one picture.

    source <(./worldsample env)
    python examples/plot_runs.py runs/pushing-worldsample-seed0 runs/pushing-hil_serl-seed0 --out curves.png

Run folders with the same method share a colour.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

from worldsample_bringup.report import curve_image
from worldsample_bringup.run.history import read_history
from worldsample_bringup.run.run_folder import RunFolder


def success_curve(run: RunFolder) -> list[tuple[float, float]]:
    """(real steps, success rate) of each evaluation of a run."""
    evaluations = read_history(run.metrics).evaluations(run.settings().run.final_eval_episodes)
    return [(evaluation.real_steps, evaluation.success_rate) for evaluation in evaluations]


def main() -> None:
    """Draw one panel with a curve for each run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, nargs="+", help="run folders")
    parser.add_argument("--out", type=Path, default=Path("curves.png"))
    options = parser.parse_args()
    curves = defaultdict(list)
    for run in map(RunFolder, options.runs):
        curve = success_curve(run)
        curves[run.settings().run.method].append(curve)
        last = f"{curve[-1][1]:.0%} after {curve[-1][0]:,} real steps" if curve else "no evaluation yet"
        print(f"{run.path.name}: {last}")
    curve_image.curves([[("success", curves)]], "real steps").save(options.out)
    print(options.out)


if __name__ == "__main__":
    main()

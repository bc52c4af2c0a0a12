"""The whole graph on a GPU: real steps per second in lockstep, and how busy the card is.

Starts one training run (machine `gpu`), samples the card meanwhile, and prints JSON. `benchmarks/gpu.sh` sets
the environment. Steps are counted while the policy trains, without start-up, demonstrations and evaluations.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from worldsample_core.node.parent_death import die_with_parent

SAMPLES_PER_SECOND = 2.0


def card_busy() -> float | None:
    """Utilisation of the first card, percent; None without one."""
    command = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
    try:
        return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[0])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The complete lines of a run's metrics.jsonl, oldest first; none where there is no file yet."""
    if not path.is_file():
        return []
    lines = path.read_text().splitlines()
    return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]


def rate(values: Sequence[Mapping[str, Any]], count: str, first: int = 1) -> float | None:
    """Growth of `count` per second, from the first row in which it is at least `first` to the last row."""
    rows = [row for row in values if row.get(count, 0) >= first]
    seconds = rows[-1]["t"] - rows[0]["t"] if len(rows) > 1 else 0.0
    return (rows[-1][count] - rows[0][count]) / seconds if seconds > 0.0 else None


def training_window(rows: list[dict[str, Any]]) -> tuple[float, float] | None:
    """Seconds of the run between which the learner trained and the policy took training steps."""
    training = [row["t"] for row in rows if row["kind"] == "learner" and row.get("updates", 0) > 0]
    acting = [row["t"] for row in rows if row["kind"] == "policy" and row.get("phase") == "train"]
    if not training or not acting:
        return None
    return max(training[0], acting[0]), acting[-1]


def main() -> int:
    """Runs the measurement; 1 where the run did not end well."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=600, help="real steps (default 600)")
    parser.add_argument("--task", default="pushing")
    parser.add_argument("--method", default="worldsample")
    parser.add_argument("--machine", default="gpu")
    parser.add_argument("--out", type=Path, default=Path(), help="folder for the run's log")
    parser.add_argument("settings", nargs="*", help="any setting, as for `worldsample train`")
    asked = parser.parse_args()
    folder = Path(os.environ.get("TMPDIR", "/tmp")) / f"gpu-graph-{os.getpid()}"
    command = [sys.executable, "-m", "worldsample_bringup.cli", "train", "--run-dir", str(folder)]
    command += ["--task", asked.task, "--method", asked.method, "--machine", asked.machine]
    command += ["--steps", str(asked.steps), "run.eval_every=0", "run.final_eval_episodes=2", *asked.settings]
    began = time.monotonic()
    busy: list[tuple[float, float]] = []
    with open(asked.out / "graph-run.log", "w") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, preexec_fn=die_with_parent()
        )
        signal.signal(signal.SIGTERM, lambda *_: process.send_signal(signal.SIGTERM))
        while process.poll() is None:
            value = card_busy()
            if value is not None:
                busy.append((time.monotonic() - began, value))
            time.sleep(1.0 / SAMPLES_PER_SECOND)
    rows = read_metrics(folder / "metrics.jsonl")
    window = training_window(rows)
    result: dict[str, Any] = {"command": " ".join(command[2:]), "exit_code": process.returncode}
    if window is not None:
        first, last = window
        inside = [row for row in rows if first <= row["t"] <= last]
        policy = [row for row in inside if row["kind"] == "policy" and row["phase"] == "train"]
        in_window = [value for at, value in busy if first <= at <= last]
        result |= {
            "real_steps_per_second": rate(policy, "real_steps"),
            "updates_per_second": rate([row for row in inside if row["kind"] == "learner"], "updates"),
            "imagined_transitions_per_second": rate(
                [row for row in inside if row["kind"] == "worldmodel"], "transitions"
            ),
            "seconds": last - first,
            "card_busy_percent": sum(in_window) / len(in_window) if in_window else None,
            "demonstration_seconds": first,
        }
    print(json.dumps(result, indent=1))
    return 0 if process.returncode == 0 else 1


if __name__ == "__main__":
    sys.exit(main())

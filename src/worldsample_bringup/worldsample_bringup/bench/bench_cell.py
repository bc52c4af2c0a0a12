"""``worldsample bench cell``: one cell of the table end to end, and where its CPU time goes.

The cell is a training run as ``worldsample train`` makes it, started as a process of its own. Wall time, and
CPU time by process and by phase, are seen from outside, so that another checkout can be measured as well; CPU
time by piece of work comes from the nodes themselves (:mod:`worldsample_core.node.cpu_account`), where they
count it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldsample_bringup.bench.cell_account import account_of, read_accounts, table
from worldsample_bringup.bench.grid import GridCell, write_json
from worldsample_bringup.bench.watched_run import WatchedRun
from worldsample_bringup.graph.terminal import Console
from worldsample_bringup.run.configuration import known
from worldsample_bringup.run.run_folder import RunFolder, free_path
from worldsample_core.config import ConfigError, choose, read_yaml
from worldsample_core.node.cpu_account import ENVIRONMENT, IMPORTS, START

RUNS = Path("runs/bench/cell")
_FROM_OUTSIDE = ("HOME", "USER", "LOGNAME", "LANG", "TERM", "TMPDIR", "ROS_DOMAIN_ID")
"""Variables that a command of another checkout gets from here; its own set-up makes the rest."""


@dataclass(frozen=True)
class MeasuredCell:
    """The cell that a person asked for.

    Attributes:
        task, method, seed, quick, settings: as in ``worldsample train``.
        steps: budget of real steps; None: 5,000, or the tiny budget of ``quick``.
        one_process: the run is one process, and not the node graph.
        checkout: folder of another checkout, whose own ``worldsample`` runs the cell; "": this one.
        out: where the run folder goes; "": ``runs/bench/cell``.
        results: the result's file; "": beside the run folder.
        baseline: file of an earlier result, to be compared with; "": none.
        command: to be noted in the result.
    """

    task: str = "pick_place"
    method: str = "worldsample"
    steps: int | None = None
    seed: int = 0
    quick: bool = False
    settings: tuple[str, ...] = ()
    one_process: bool = False
    checkout: str = ""
    out: str = ""
    results: str = ""
    baseline: str = ""
    command: str = ""

    @property
    def budget(self) -> int:
        """Real steps of the run."""
        return self.steps or (150 if self.quick else 5000)

    def cell(self) -> GridCell:
        """The run, in a folder that is not there yet."""
        root = Path(self.out) if self.out else RUNS
        name = f"{self.task}-{self.method}-seed{self.seed}"
        folder = RunFolder(free_path(root / name))
        if self.checkout:
            program: tuple[str, ...] = (str(Path(self.checkout).absolute() / "worldsample"),)
        else:
            program = (sys.executable, "-m", "worldsample_bringup.cli")
        start = (
            *(*program, "train", "--task", self.task, "--method", self.method),
            *("--seed", str(self.seed), "--steps", str(self.budget), "--run-dir", str(folder.path)),
            *(("--quick",) if self.quick else ()),
            *(("--one-process",) if self.one_process else ()),
            *self.settings,
        )
        return GridCell(name, folder, start, (), self.budget)

    def environment(self, accounts: Path) -> dict[str, str]:
        """Variables of the run's command; the nodes leave their accounts in ``accounts``."""
        if not self.checkout:
            return {**os.environ, ENVIRONMENT: str(accounts)}
        ours = os.environ.get("WORLDSAMPLE_ROOT", "")
        path = os.environ.get("PATH", os.defpath).split(os.pathsep)
        theirs = [entry for entry in path if not (ours and Path(entry).is_relative_to(ours))]
        passed = {name: os.environ[name] for name in _FROM_OUTSIDE if name in os.environ}
        return {**passed, "PATH": os.pathsep.join(theirs), ENVIRONMENT: str(accounts)}


def measure(asked: MeasuredCell, console: Console | None = None) -> tuple[dict[str, Any], str, int]:
    """Run the cell and account for it.

    Returns:
        the result (also written to a file), the table for people, and the exit code: 0, 1 where the run
        failed, 128 + n after signal n.

    Raises:
        ConfigError: something asked for is unknown; before anything is started.
    """
    baseline = read_baseline(asked.baseline)
    if not asked.checkout:
        choose(asked.task, known("tasks"), "task")
        choose(asked.method, known("methods"), "method")
    cell = asked.cell()
    watched = WatchedRun(cell, asked.environment(cell.folder.path / "cpu"), console or Console(sys.stderr))
    watched.run()
    result = result_of(asked, cell, watched, baseline)
    file = Path(asked.results) if asked.results else cell.folder.path.with_suffix(".json")
    write_json(file, result)
    notes = [f"result: {file}"]
    if not result["finished"]:
        notes.insert(0, f"the run FAILED with exit code {watched.code}; see {cell.log}")
    code = 128 + watched.stopped if watched.stopped else int(not result["finished"])
    return result, "\n".join([table(result), *notes]), code


def read_baseline(file: str) -> Mapping[str, Any] | None:
    """An earlier result. Raises :class:`ConfigError` where the file holds none."""
    if not file:
        return None
    try:
        result: dict[str, Any] = json.loads(Path(file).read_text())
        float(result["wall_minutes"]), float(result["cpu_minutes"])
        return result
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise ConfigError(f"--baseline: {file} is no result of bench cell ({problem})") from problem


def result_of(
    asked: MeasuredCell, cell: GridCell, watched: WatchedRun, baseline: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The account as JSON-able values; times in seconds of CPU unless a name says otherwise."""
    folder = cell.folder
    summary = folder.read_summary()
    config = read_yaml(folder.config) if folder.config.exists() else {}
    processes = account_of(watched.watch, read_accounts(folder.path / "cpu"))
    seen = sum(process["cpu_seconds"] for process in processes.values())
    wall, cpu = watched.wall_seconds / 60.0, watched.cpu_seconds / 60.0
    starts = [
        process["pieces"].get(piece, {}).get("cpu_seconds", 0.0)
        for process in processes.values()
        for piece in (IMPORTS, START)
    ]
    result = {
        "task": asked.task,
        "method": asked.method,
        "seed": asked.seed,
        "budget": cell.steps,
        "quick": asked.quick,
        "one_process": asked.one_process,
        "settings": list(asked.settings),
        "finished": bool(summary.get("finished")),
        "real_steps": summary.get("real_steps"),
        "eval_success_rate": summary.get("eval_success_rate"),
        "eval_episodes": summary.get("eval_episodes"),
        "wall_minutes": round(wall, 3),
        "cpu_minutes": round(cpu, 3),
        "busy_cores": round(cpu / wall, 2) if wall else None,
        "others_cpu_minutes": round(watched.others / 60.0, 3),
        "cores": os.cpu_count(),
        "processes": processes,
        "not_seen_cpu_seconds": round(max(0.0, watched.cpu_seconds - seen), 2),
        "starts_cpu_seconds": round(sum(starts), 2),
        "phases": {
            phase: {
                "wall_seconds": round(watched.wall[phase], 1),
                "cpu_seconds": round(sum(used.values()), 1),
            }
            for phase, used in watched.watch.phases.items()
        },
        "git_revision": config.get("run", {}).get("git_revision"),
        "versions": config.get("run", {}).get("versions"),
        "run_dir": os.path.relpath(folder.path),
        "command": asked.command,
    }
    if baseline is not None:
        result["baseline"] = {
            **{key: baseline.get(key) for key in ("git_revision", "wall_minutes", "cpu_minutes")},
            "wall_ratio": round(float(baseline["wall_minutes"]) / wall, 2),
            "cpu_ratio": round(float(baseline["cpu_minutes"]) / cpu, 2) if cpu else None,
        }
    return result

"""Episodes of a run folder that no message has told of, for its metrics."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from worldsample_bringup.dashboard.metrics import MetricsLog
from worldsample_core.episodes.episode_bag import DamagedBag, read_metadata
from worldsample_core.episodes.episode_store import find_bags
from worldsample_policy.acting.run_plan import EvaluationLog


def add_unheard_episodes(log: MetricsLog, run_folder: Path, warn: Callable[[str], object]) -> None:
    """Write what bags and evaluations on disk tell; a damaged bag is told and passed over."""
    for path in find_bags(run_folder):
        try:
            log.episode(read_metadata(path)[0], from_disk=True)
        except DamagedBag as problem:
            warn(str(problem))
    for evaluation in EvaluationLog(run_folder, mend=False).entries:
        log.episode(evaluation.summary, from_disk=True)

"""The run's checkpoints on disk (the newest ``checkpoints/step_N``), and the count of published weights."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

from worldsample_core.checkpoint_error import CheckpointError
from worldsample_core.kept_counts import keep_counts, read_counts
from worldsample_policy.learning.checkpoint_directory import clear_leftovers

WEIGHTS_VERSION = "weights_version"
"""File of the highest version."""
_STEP = re.compile(r"step_(\d+)$")


class LearnerCheckpoints:
    """``checkpoints/`` of a run folder. keep: how many stay."""

    def __init__(self, run_folder: Path, keep: int) -> None:
        self.path, self.keep = run_folder / "checkpoints", keep
        self.path.mkdir(parents=True, exist_ok=True)
        clear_leftovers(self.path)

    def steps(self) -> list[tuple[int, Path]]:
        """(real steps, folder) of all checkpoints, oldest first."""
        found = [(int(m[1]), p) for p in self.path.iterdir() if (m := _STEP.match(p.name)) and p.is_dir()]
        return sorted(found)

    def save(self, step: int, write: Callable[[Path], None]) -> Path:
        """Write the checkpoint of real step ``step`` with ``write``, drop the oldest. Raises OSError."""
        path = self.path / f"step_{step}"
        write(path)
        for _, old in self.steps()[: -self.keep]:
            shutil.rmtree(old, ignore_errors=True)
        return path

    def load_newest(self, read: Callable[[Path], None], report: Callable[[str], None]) -> Path | None:
        """Try ``read`` on the newest checkpoint, on damage on the one before, and so on.

        Returns the one that was read; None where the folder has none.

        Raises:
            CheckpointError: there are checkpoints, and none can be read.
        """
        problems = []
        for _, path in reversed(self.steps()):
            try:
                read(path)
                return path
            except CheckpointError as problem:
                problems.append(str(problem))
                report(f"{problem}; trying the checkpoint before")
        if problems:
            raise CheckpointError(
                f"no checkpoint in {self.path} can be read ({problems[0]}): remove that folder to train "
                "again from the recorded episodes, which are safe"
            )
        return None

    def last_version(self) -> int:
        """Highest version of weights that was ever published in this run (0: none)."""
        counts = read_counts(self.path / WEIGHTS_VERSION, ("version",))
        return counts["version"] if counts else 0

    def keep_version(self, version: int) -> None:
        """Remember that ``version`` is about to be published: a restarted learner goes on above it."""
        keep_counts(self.path / WEIGHTS_VERSION, {"version": version})

"""The world model's checkpoints in the run folder, the newest few, and the count of what it has published."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from worldsample_core.checkpoint_error import CheckpointError
from worldsample_core.kept_counts import keep_counts, read_counts

PUBLISHED = "published.json"
"""File of the counts."""
_STEP = re.compile(r"step_(\d+)\.safetensors$")


@dataclass(frozen=True)
class Published:
    """Count of what has left the node, over all its lives.

    Attributes:
        segments: the next one has this seq. transitions: in them.
        generated_steps: real steps whose segments are all out: they are not generated again.
    """

    segments: int = 0
    transitions: int = 0
    generated_steps: int = 0


class WorldModelCheckpoints:
    """``<publisher>/step_N.safetensors`` of a run folder, N real steps. keep: how many stay."""

    def __init__(self, run_folder: Path, publisher: str, keep: int = 2) -> None:
        self.path, self.keep = run_folder / publisher, keep
        for left in self.path.glob(".step_*.tmp"):  # by a process that was killed while it wrote
            left.unlink(missing_ok=True)

    def steps(self) -> list[tuple[int, Path]]:
        """(real steps, file) of all checkpoints, oldest first."""
        if not self.path.is_dir():
            return []
        return sorted((int(m[1]), p) for p in self.path.iterdir() if (m := _STEP.match(p.name)))

    def save(self, step: int, write: Callable[[Path], None]) -> Path:
        """Write the checkpoint of real step ``step`` with ``write``, drop the oldest. Raises OSError."""
        path = self.path / f"step_{step}.safetensors"
        write(path)
        for _, old in self.steps()[: -self.keep]:
            old.unlink(missing_ok=True)
        return path

    def load_newest(
        self, read: Callable[[Path], dict[str, Any]], report: Callable[[str], None]
    ) -> dict[str, Any] | None:
        """Result of ``read`` for the newest good checkpoint.

        None if there is none: the world model can be trained again from the episodes.
        """
        for _, path in reversed(self.steps()):
            try:
                return read(path)
            except CheckpointError as problem:
                report(f"{problem}; trying the checkpoint before")
        return None

    def published(self) -> Published:
        """Count of what was published before, by this or an earlier process."""
        return Published(**(read_counts(self.path / PUBLISHED, asdict(Published())) or {}))

    def keep_published(self, published: Published) -> None:
        """Remember what is about to be published: another process goes on above it. Raises OSError."""
        self.path.mkdir(parents=True, exist_ok=True)
        keep_counts(self.path / PUBLISHED, asdict(published))

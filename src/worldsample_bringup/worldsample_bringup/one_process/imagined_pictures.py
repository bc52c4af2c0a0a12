"""Pictures of what the world model imagines, in one process; in the graph the dashboard asks for them."""

from __future__ import annotations

import time
from collections.abc import Callable

from worldsample_bringup.dashboard.imagined import pictures
from worldsample_bringup.dashboard.imagined_log import INTERVAL, log_twin, worth_imagining
from worldsample_bringup.dashboard.metrics import MetricsLog
from worldsample_bringup.run.run_folder import RunFolder
from worldsample_core.node.cpu_account import cpu_piece
from worldsample_core.observation import InvalidObservation
from worldsample_worldmodel.running.imagined_twin import NothingToImagine, imagined_twin
from worldsample_worldmodel.running.worldmodel_loop import WorldModelLoop


class ImaginedPictures:
    """Keeps ``imagined/`` of a run folder up to date; what the run learns from is not touched.

    Args:
        warn: is told in words what cannot be kept.
    """

    def __init__(
        self, folder: RunFolder, log: MetricsLog, world: WorldModelLoop, warn: Callable[[str], object]
    ) -> None:
        self._folder, self._log, self._world, self._warn = folder, log, world, warn
        self._version = max((figures.version for _, figures in pictures(folder.imagined)), default=0)
        self._shown_at = -INTERVAL

    def look(self, last: bool = False) -> None:
        """Show a new version of the model once a minute, and at the end."""
        adaptation, now = self._world.adaptation, time.monotonic()
        if adaptation.version in (0, self._version) or (not last and now - self._shown_at < INTERVAL):
            return
        for episode, step in worth_imagining(self._log.history, adaptation.config.horizon):
            if self._kept(episode, step):
                self._version, self._shown_at = adaptation.version, now
                return

    @cpu_piece("pictures")
    def _kept(self, episode: int, step: int) -> bool:
        """Keep one picture. Returns False where the model does not have this episode."""
        adaptation = self._world.adaptation
        try:
            twin = imagined_twin(adaptation, episode, step)
            log_twin(self._folder, self._log, twin.real, twin.imagined, adaptation.version)
        except NothingToImagine:
            return False
        except (InvalidObservation, OSError) as problem:
            self._warn(f"an imagined segment was passed over: {problem}")
            return False
        return True

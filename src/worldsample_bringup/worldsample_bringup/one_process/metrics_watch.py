"""Metrics, live line and report of a run in one process: what the dashboard does in the graph."""

from __future__ import annotations

import time
from typing import Any

from worldsample_bringup.dashboard.metrics import MetricsLog
from worldsample_bringup.dashboard.open_events import open_events
from worldsample_bringup.dashboard.progress import Pace, follow, live_line
from worldsample_bringup.dashboard.status_records import STATUSES, to_record
from worldsample_bringup.dashboard.unheard_episodes import add_unheard_episodes
from worldsample_bringup.graph.terminal import Console
from worldsample_bringup.one_process.imagined_pictures import ImaginedPictures
from worldsample_bringup.one_process.learning_side import LearningSide
from worldsample_bringup.report.report import REFRESH, write_live_report, write_report
from worldsample_bringup.run.history import Record
from worldsample_bringup.run.run_folder import RunFolder
from worldsample_core.messages.reception import Reception
from worldsample_core.settings import Settings
from worldsample_policy.acting.acting_weights import ActingWeights
from worldsample_policy.acting.policy_loop import PolicyLoop
from worldsample_policy.acting.policy_status import policy_status
from worldsample_policy.acting.tick_timing import TickTiming
from worldsample_policy.learning.learner_status import learner_status, pacing_status
from worldsample_worldmodel.running.worldmodel_status import worldmodel_status

INTERVAL = 1.0
"""s between two looks."""


class MetricsWatch:
    """Looks at the parts of a run once a second.

    Attributes:
        log: the run's metrics.
    """

    def __init__(
        self,
        folder: RunFolder,
        settings: Settings,
        loop: PolicyLoop,
        acting: ActingWeights,
        learning: LearningSide,
        console: Console,
    ) -> None:
        self._folder, self._settings, self._console = folder, settings, console
        self._loop, self._acting, self._learning = loop, acting, learning
        self._timing, self._reception = TickTiming(None), Reception(learning.warn)
        self._pace, self._latest = Pace(), dict[str, Record]()
        self._looked_at, self._reported_at = 0.0, time.monotonic()
        self.log = MetricsLog(folder, open_events(folder, settings, console.say, learning.warn))
        if settings.run.resume:
            add_unheard_episodes(self.log, self._folder.path, self._learning.warn)
        self.log.start(settings.run.resume, settings.run.git_revision)
        self._imagined: ImaginedPictures | None = None
        if learning.world is not None:
            self._imagined = ImaginedPictures(folder, self.log, learning.world, learning.warn)

    def look(self) -> None:
        """Write statuses and the live line, where it is time to."""
        now = time.monotonic()
        if now - self._looked_at < INTERVAL:
            return
        self._looked_at = now
        self._take_statuses()
        if self._imagined is not None:
            self._imagined.look()
        policy, learner = self._latest.get("policy", {}), self._latest.get("learner", {})
        follow(self._pace, self.log.wall, policy, learner)
        self._console.live(live_line(self._settings, self.log.history, policy, learner, self._pace))
        if now - self._reported_at >= REFRESH:
            self._reported_at = now
            write_live_report(self._folder, self._settings, self.log.history)

    def close(self, complete: bool) -> None:
        """Write what is left, summary and report."""
        self._take_statuses()
        add_unheard_episodes(self.log, self._folder.path, self._learning.warn)
        if complete:
            if self._imagined is not None:
                self._imagined.look(last=True)
            self.log.done()
        try:
            write_report(self._folder, self._settings, self.log.history)
        finally:
            self.log.close()  # last: it may take a while

    def _take_statuses(self) -> None:
        learning = self._learning
        messages: dict[str, Any] = {
            "policy": policy_status(self._loop, self._acting, self._timing, "", ""),
            "learner": learner_status(learning.learner, self._reception, ""),
        }
        if (report := learning.learner.learner.pacing_status()) is not None:
            messages["pacing"] = pacing_status(report, 0)
        if learning.world is not None:
            messages["worldmodel"] = worldmodel_status(learning.world, "", "")
        for kind, message in messages.items():
            self._latest[kind] = to_record(message, STATUSES[kind][2])
            self.log.status(kind, self._latest[kind])

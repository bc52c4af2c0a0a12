"""Listens to all statuses; writes metrics and live line, and at the end summary and report."""

from __future__ import annotations

import worldsample_core.node.quiet_imports  # noqa: F401

# isort: split
import os
import signal
import sys
import time
from functools import partial
from types import FrameType
from typing import Any

import rclpy
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from worldsample_bringup.dashboard.imagination_watch import PUBLISHER, ImaginationWatch
from worldsample_bringup.dashboard.metrics import MetricsLog
from worldsample_bringup.dashboard.open_events import open_events
from worldsample_bringup.dashboard.progress import Pace, follow, live_line
from worldsample_bringup.dashboard.silence_watch import SilenceWatch
from worldsample_bringup.dashboard.status_records import STATUSES, to_record
from worldsample_bringup.dashboard.unheard_episodes import add_unheard_episodes
from worldsample_bringup.graph.announcement import closing
from worldsample_bringup.graph.runner import Outcome
from worldsample_bringup.graph.terminal import LIVE_INTERVAL, LIVE_MARK
from worldsample_bringup.report.report import REFRESH, write_live_report, write_report
from worldsample_bringup.run.history import Record, count_damaged
from worldsample_bringup.run.run_folder import RunFolder
from worldsample_core.config import ConfigError
from worldsample_core.episodes.episode_store import FOLDER as RECORDED
from worldsample_core.episodes.episode_store import bag_name
from worldsample_core.episodes.journal import StorageError, explain
from worldsample_core.messages.conversions import summary_from_message
from worldsample_core.messages.qos import EPISODES, STATUS
from worldsample_core.messages.reception import Reception
from worldsample_core.messages.run_bounds import RunBounds
from worldsample_core.node.cpu_account import START, cpu_piece, imports_done
from worldsample_core.node.exit_codes import BAD_CONFIGURATION
from worldsample_core.node.quiet_imports import imports_are_done
from worldsample_core.node.run_settings import run_settings
from worldsample_core.node.run_topics import RunTopics
from worldsample_core.node.steady_time import steady_timer
from worldsample_core.observation import InvalidObservation
from worldsample_core.transition import EpisodeSummary as EpisodeSummaryOfRun
from worldsample_msgs.msg import EpisodeSummary

LAST_WORDS = 1.5
"""Seconds between the policy's word that the run is done and the report: what is still under way arrives."""


class DashboardNode(Node):
    """Watches the run. :attr:`complete` turns true when there is nothing left to wait for."""

    def __init__(self) -> None:
        """Raises :class:`ConfigError` where the configuration is unusable."""
        super().__init__("dashboard")
        self.settings = run_settings(self)
        self.folder = RunFolder(self.settings.run.path)
        logger = self.get_logger()
        events = open_events(self.folder, self.settings, logger.info, logger.warning)
        self.log = MetricsLog(self.folder, events)
        if damaged := count_damaged(self.folder.metrics):
            self.get_logger().warning(
                f"{damaged} lines of {self.folder.metrics} are damaged and left out; the episodes in "
                "them are read from their bags again"
            )
        if self.settings.run.resume:
            self._add_unheard_episodes()
        self.log.start(self.settings.run.resume, self.settings.run.git_revision)
        self.complete = self._disk_told = False
        self.reception = Reception(self.get_logger().warning)
        self._bounds = RunBounds.of(self.settings)
        self._imagination = ImaginationWatch(self, self.folder, self.log)
        self._newest: dict[tuple[str, str], Any] = {}  # since the last look, by kind and publisher
        self._latest: dict[str, Record] = {}
        self._world: Record = {}  # the newest status of the world model that is asked to imagine
        self._pace = Pace()
        self._silence = SilenceWatch()
        self._done_at: float | None = None
        self._live_printed = -LIVE_INTERVAL
        self._reported_at = -float(REFRESH)
        self._in_place = "WORLDSAMPLE_LIVE_LINE" in os.environ  # whoever reads our output knows the mark
        topics = RunTopics(self, self.reception, self.settings.run.name)
        topics.create_subscription(EpisodeSummary, "episodes", self._on_episode, EPISODES)
        for kind, (topic, message_type, _) in STATUSES.items():
            topics.create_subscription(message_type, topic, partial(self._on_status, kind), STATUS)
        steady_timer(self, 1.0, self._every_second)

    def _on_episode(self, message: EpisodeSummary) -> None:
        summary = self.reception.take("episodes", lambda: self._plausible(summary_from_message(message)))
        if summary is not None:
            self.log.episode(summary)

    def _plausible(self, summary: EpisodeSummaryOfRun) -> EpisodeSummaryOfRun:
        """The summary, if an episode of this run can have it. Raises :class:`InvalidObservation`."""
        task = self.settings.task
        recorded = summary.kind != "eval"
        path = f"{RECORDED}/{bag_name(summary.episode)}" if recorded else ""
        if summary.steps > task.horizon or summary.real_steps > task.max_real_steps + task.horizon:
            raise InvalidObservation("an episode is longer than the task allows")
        if summary.path not in ("", path):
            raise InvalidObservation("an episode's bag is elsewhere")
        return summary

    def _on_status(self, kind: str, message: Any) -> None:
        if self.reception.take("statuses", lambda: self._bounds.status(message)) is not None:
            publisher = str(getattr(message, "publisher", ""))
            self._newest[kind, publisher] = (
                message  # in lockstep there are many a second: one of them is kept
            )
            if kind != "pacing":  # the learner's, too
                self._silence.heard(publisher or kind, time.monotonic())

    def _every_second(self) -> None:
        self._take_statuses()
        if self.log.problem and not self._disk_told:
            self._disk_told = True
            self.get_logger().warning(f"metrics.jsonl is not written any more: {self.log.problem}")
        done = self._latest.get("policy", {}).get("phase") == "done"
        for words in self._silence.look(time.monotonic()):
            if not done:
                self.get_logger().warning(words)
        self._imagination.look(self._world, last=done)
        self._pace_on()
        self._show()
        self._report_on(done)
        if not done:
            return
        now = time.monotonic()
        self._done_at = self._done_at or now
        self.complete = now - self._done_at > LAST_WORDS

    def _take_statuses(self) -> None:
        for (kind, publisher), message in self._newest.items():
            self._latest[kind] = to_record(message, STATUSES[kind][2])
            self.log.status(kind, self._latest[kind])
            if (kind, publisher) == ("worldmodel", PUBLISHER):
                self._world = self._latest[kind]
        self._newest.clear()

    def _pace_on(self) -> None:
        follow(self._pace, self.log.wall, self._latest.get("policy", {}), self._latest.get("learner", {}))

    def _report_on(self, done: bool) -> None:
        """Write the page again every minute while the run goes on."""
        now = time.monotonic()
        if done or now - self._reported_at < REFRESH:
            return
        self._reported_at = now
        try:
            write_live_report(self.folder, self.settings, self.log.history)
        except OSError as problem:  # a full disk ends the run elsewhere
            self.get_logger().warning(f"the report could not be written: {problem}")

    def _show(self) -> None:
        policy, learner = self._latest.get("policy", {}), self._latest.get("learner", {})
        line = live_line(self.settings, self.log.history, policy, learner, self._pace)
        if self._in_place:
            print(LIVE_MARK + line, flush=True)
        elif time.monotonic() - self._live_printed >= LIVE_INTERVAL:
            self._live_printed = time.monotonic()
            print(line, flush=True)

    def close(self) -> None:
        """Write what is left: episodes that were not heard of, the end of the run, summary and report."""
        self._take_statuses()
        self._add_unheard_episodes()
        if self.complete:
            self.log.done()
        try:
            write_report(self.folder, self.settings, self.log.history)
        except OSError as error:
            raise explain(error, self.folder.report) from error
        finally:
            self.log.close()  # last: it may take a while
        if not self._in_place:  # with the runner the command itself says it
            outcome = Outcome(0) if self.complete else Outcome(1, reason="asked to stop")
            print("\n".join(closing(self.folder, self.settings, outcome)), flush=True)
        self.destroy_node()

    def _add_unheard_episodes(self) -> None:
        add_unheard_episodes(self.log, self.folder.path, self.get_logger().warning)


def main(args: list[str] | None = None) -> int:
    """Run the node until the run is complete or it is asked to stop. Returns the exit code."""
    imports_done()
    imports_are_done()
    asked: list[int] = []

    def on_signal(number: int, frame: FrameType | None) -> None:
        asked.append(number)

    rclpy.init(
        args=args, signal_handler_options=SignalHandlerOptions.NO
    )  # the report is written after the signal
    signal.signal(signal.SIGINT, on_signal)
    signal.signal(signal.SIGTERM, on_signal)
    try:
        with cpu_piece(START):
            node = DashboardNode()
        while not node.complete and not asked:
            rclpy.spin_once(node, timeout_sec=0.2)
        node.close()
    except (ConfigError, StorageError, OSError) as problem:
        print(f"dashboard: {problem}", file=sys.stderr)
        return BAD_CONFIGURATION
    finally:
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())

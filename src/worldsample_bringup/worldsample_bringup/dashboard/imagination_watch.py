"""Asks a world model for a real segment and its imagined twin whenever it has become a new one.

Nothing waits for the answer: the service is asked when it is there, and a question that stays unanswered
is forgotten.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from rclpy.node import Node

from worldsample_bringup.dashboard.imagined import pictures
from worldsample_bringup.dashboard.imagined_log import INTERVAL, log_twin, worth_imagining
from worldsample_bringup.dashboard.metrics import MetricsLog
from worldsample_bringup.run.history import Record
from worldsample_bringup.run.run_folder import RunFolder
from worldsample_core.messages.conversions import synthetic_from_message
from worldsample_core.node.cpu_account import cpu_piece
from worldsample_core.observation import InvalidObservation
from worldsample_msgs.srv import Imagine

PUBLISHER = "worldmodel"
"""The world model that is asked, where there are several: the first one."""
SERVICE = f"{PUBLISHER}/imagine"
RETRY = 3.0
"""Seconds after a refusal: the model may not have the episode, and is asked for an older one."""
PATIENCE = 60.0
"""Seconds after which an unanswered question is forgotten."""


class ImaginationWatch:
    """Keeps ``imagined/`` of a run folder up to date.

    Args:
        node: that asks.
        folder: of the run.
        log: for TensorBoard, and for what has happened so far.
        clock: seconds, of the wall.
    """

    def __init__(
        self,
        node: Node,
        folder: RunFolder,
        log: MetricsLog,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._node = node
        self._folder = folder
        self._log = log
        self._clock = clock
        self._client = node.create_client(Imagine, SERVICE)
        self._version = max((figures.version for _, figures in pictures(folder.imagined)), default=0)
        self._asked_at = self._shown_at = -INTERVAL
        self._refusals = 0  # in a row
        self._future: Any = None

    def look(self, status: Record, last: bool = False) -> None:
        """Ask, where it is time to. Returns at once.

        Args:
            status: the newest of the world model, {} before the first.
            last: the run is done: the last version is shown however short a time ago the one before was.
        """
        now = self._clock()
        if self._future is not None:
            if now - self._asked_at < PATIENCE:
                return
            self._client.remove_pending_request(self._future)
            self._future = None
        version = int(status.get("version") or 0)
        if version in (0, self._version) or not self._client.service_is_ready():
            return
        if now - self._asked_at < RETRY * min(self._refusals, 10) or (
            not last and now - self._shown_at < INTERVAL
        ):
            return
        segments = worth_imagining(self._log.history, int(status.get("horizon") or 1))
        if not segments:
            return
        episode, step = segments[self._refusals % len(segments)]
        self._asked_at = now
        self._future = self._client.call_async(Imagine.Request(episode=episode, start_step=step))
        self._future.add_done_callback(partial(self._answered, version))

    def _answered(self, asked_for: int, future: Any) -> None:
        if future is not self._future:
            return  # forgotten
        self._future = None
        self._refusals += 1
        try:
            answer = future.result()
            if not answer.success:
                self._node.get_logger().debug(f"nothing was imagined to look at: {answer.message}")
                return
            self._show(asked_for, answer)
            self._refusals = 0
        except (InvalidObservation, OSError, RuntimeError, ValueError) as problem:
            self._node.get_logger().warning(f"an imagined segment was passed over: {problem}")

    @cpu_piece("pictures")
    def _show(self, asked_for: int, answer: Imagine.Response) -> None:
        real, imagined = synthetic_from_message(answer.real), synthetic_from_message(answer.imagined)
        log_twin(self._folder, self._log, real, imagined, int(answer.world_model_version))
        self._version, self._shown_at = asked_for, self._clock()

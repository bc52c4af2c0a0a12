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

from worldsample_bringup.history import History, Record
from worldsample_bringup.imagined import Figures, compare, picture, pictures, store
from worldsample_bringup.metrics import MetricsLog
from worldsample_bringup.run_folder import RunFolder
from worldsample_core.conversions import synthetic_from_message
from worldsample_core.observation import InvalidObservation
from worldsample_msgs.srv import Imagine

SERVICE = "worldmodel/imagine"
INTERVAL = 60.0
"""Seconds of wall time between two questions, at least."""
PATIENCE = 60.0
"""Seconds after which an unanswered question is forgotten."""


def worth_imagining(history: History, horizon: int) -> tuple[int, int] | None:
    """Episode and start step of the segment to ask for; None where there is none.

    The newest training episode, which the model has been trained on least; the end of it, where most happens.
    """
    for episodes in (history.train, history.demos):
        for record in reversed(episodes[-20:]):
            if int(record["steps"]) >= horizon and record.get("path"):
                return int(record["episode"]), int(record["steps"]) - horizon
    return None


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
        self._asked_at = -INTERVAL
        self._future: Any = None

    def look(self, status: Record) -> None:
        """Ask, where it is time to. Returns at once.

        Args:
            status: the newest of a world model, {} before the first.
        """
        now = self._clock()
        if self._future is not None:
            if now - self._asked_at < PATIENCE:
                return
            self._client.remove_pending_request(self._future)
            self._future = None
        version = int(status.get("version") or 0)
        if (
            version in (0, self._version)
            or now - self._asked_at < INTERVAL
            or not self._client.service_is_ready()
        ):
            return
        segment = worth_imagining(self._log.history, int(status.get("horizon") or 1))
        if segment is None:
            return
        self._asked_at = now
        request = Imagine.Request(episode=segment[0], start_step=segment[1])
        self._future = self._client.call_async(request)
        self._future.add_done_callback(partial(self._answered, version))

    def _answered(self, asked_for: int, future: Any) -> None:
        if future is not self._future:
            return  # forgotten
        self._future = None
        try:
            answer = future.result()
            if not answer.success:
                self._node.get_logger().debug(f"nothing was imagined to look at: {answer.message}")
                return
            self._show(asked_for, answer)
        except (InvalidObservation, OSError, RuntimeError, ValueError) as problem:
            self._node.get_logger().warning(f"an imagined segment was passed over: {problem}")

    def _show(self, asked_for: int, answer: Imagine.Response) -> None:
        real, imagined = synthetic_from_message(answer.real), synthetic_from_message(answer.imagined)
        if real.images.shape[2:] != imagined.images.shape[2:]:
            raise InvalidObservation("the real and the imagined segment have images of different sizes")
        frames = min(len(real.images), len(imagined.images))
        quality = compare(real.images[:frames], imagined.images[:frames])
        figures = Figures(
            version=int(answer.world_model_version),
            episode=real.source_episode,
            start_step=real.source_step,
            real_steps=self._log.history.real_steps,
            quality=quality,
        )
        image = picture(real.images[:frames], imagined.images[:frames], quality.psnr)
        store(self._folder.imagined, image, figures)
        self._log.imagined(image, figures)
        self._version = asked_for

"""The live view: logs everything that is heard of a run. Without ROS."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np
import rerun as rr
from numpy.typing import NDArray

from worldsample_bringup.run.history import Record
from worldsample_bringup.viewer import entities
from worldsample_bringup.viewer.arm_scene import ArmScene, log_workspace
from worldsample_bringup.viewer.camera_frusta import log_frusta
from worldsample_bringup.viewer.curves import Curves
from worldsample_bringup.viewer.imagined_playback import ImaginedPlayback, RealFrames
from worldsample_bringup.viewer.node_health import NodeHealth
from worldsample_bringup.viewer.pictures import log_imagined, log_picture
from worldsample_bringup.viewer.recording import set_moment
from worldsample_core.settings import Settings
from worldsample_core.synthetic import SyntheticSegment
from worldsample_core.transition import Transition

INTERVAL = 0.1
"""s between two pictures of a camera, two poses of the arm, and two imagined steps, at least."""


class LiveView:
    """Logs a run as it happens.

    Args:
        stream: of the recording.
        settings: of the run, where they are known: the workspace, and how long an evaluation is.
        clock: seconds since 1970.

    Attributes:
        heard: number of messages of the run's nodes so far.
        ended: the run is done, or has failed.
    """

    def __init__(
        self,
        stream: rr.RecordingStream,
        settings: Settings | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._stream = stream
        self._clock = clock
        run = None if settings is None else settings.run
        self._curves = Curves(stream, (run.eval_episodes, run.final_eval_episodes) if run else ())
        self._arm = ArmScene(stream)
        self._health = NodeHealth()
        self._real = RealFrames()
        self._playback = ImaginedPlayback(self._real)
        self._real_steps: int | None = None
        self._shown: dict[str, float] = {}
        self._driver = ""
        self.heard = 0
        self.ended = False
        if settings is not None:
            log_workspace(stream, settings.task.box_low, settings.task.box_high)
            log_frusta(stream, settings)

    def due(self, what: str) -> bool:
        """True if this can be shown now: it was not within the last :data:`INTERVAL`. Notes that it is."""
        now = self._clock()
        if 0.0 <= now - self._shown.get(what, 0.0) < INTERVAL:
            return False
        self._shown[what] = now
        return True

    def _now(self) -> float:
        now = self._clock()
        set_moment(self._stream, now, self._real_steps)
        return now

    def camera(self, view: str, image: NDArray[np.uint8]) -> None:
        """A camera's picture. image: ``(H, W, 3) uint8`` rgb."""
        self._health.hear(f"{view} camera", self._now())
        log_picture(self._stream, entities.CAMERAS[view], image)

    def joints(self, positions: Mapping[str, float]) -> None:
        """Measured joints of the arm and of its fingers by their names, rad and m."""
        self._now()
        self._arm.joints(positions)

    def gripper(self, position: NDArray[np.float64], rotation: NDArray[np.float64]) -> None:
        """Measured pose of the gripper in base_link: m, and a rotation matrix ``(3, 3)``."""
        self._now()
        self._arm.gripper(position, rotation)

    def command(self, translation: NDArray[np.float64], rotation: NDArray[np.float64], gripper: int) -> None:
        """A step's commanded motion in base_link: m, a rotation vector in rad, and -1, 0 or 1."""
        self._now()
        self._arm.command(translation, rotation, gripper)

    def transition(self, transition: Transition) -> None:
        """A finished real step: kept to be shown beside what is imagined, and who drove."""
        self._real.add(transition)
        driver = "operator" if transition.intervention or transition.source == "demo" else "policy"
        if driver != self._driver:
            self._driver = driver
            self._now()
            self._stream.log(entities.DRIVER, rr.StateChange(state=driver))

    def segment(self, segment: SyntheticSegment) -> None:
        """An imagined segment has arrived."""
        self._playback.offer(segment)

    def record(self, record: Record) -> None:
        """A status of a node, or an episode that has ended, as in ``metrics.jsonl``."""
        kind = str(record.get("kind"))
        if kind == "policy":
            self._real_steps = int(record["real_steps"])
            self.ended = record.get("phase") in ("done", "failed")
        now = self._now()
        self._curves.take(record)
        if kind in ("policy", "learner", "worldmodel"):
            name = str(record.get("publisher") or kind)
            self.node(name, str(record.get("state", record.get("phase", ""))), str(record["detail"]), now)

    def node(self, name: str, state: str = "", detail: str = "", now: float | None = None) -> None:
        """A sign of life of a node, with its own word for its state; a change of it is told in the log."""
        self.heard += 1
        now = self._now() if now is None else now
        if self._health.hear(name, now, state, detail):
            words = f"{name} is {state}" + (f": {detail}" if detail else "")
            bad = state in ("failed", "fault")
            self._stream.log(entities.LOG, rr.TextLog(words, level="ERROR" if bad else "INFO"))

    def play(self) -> None:
        """Show the next imagined step; to be called every :data:`INTERVAL`."""
        frame = self._playback.next_frame()
        if frame is not None:
            self._now()
            log_imagined(self._stream, frame)

    def every_second(self) -> None:
        """Show the nodes' health."""
        self._health.log(self._stream, self._now())

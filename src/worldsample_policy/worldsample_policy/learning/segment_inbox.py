"""Imagined segments between the ROS thread that receives them and the main thread that uses them."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator

from worldsample_core.messages.conversions import synthetic_from_message
from worldsample_core.observation import InvalidObservation
from worldsample_core.synthetic import SyntheticSegment
from worldsample_msgs.msg import SyntheticBatch

MAX_SEGMENTS = 400
"""Segments that may wait; one that comes beyond is lost, and imagined again later."""


class SegmentInbox:
    """A bounded queue of messages, unpacked and checked where they are used.

    Args:
        image_size: side of the images, pixels. warn: tells people.

    Attributes:
        malformed: segments that were refused.
    """

    def __init__(self, image_size: int, warn: Callable[[str], None]) -> None:
        self.malformed = 0
        self._image_size, self._warn = image_size, warn
        self._waiting: queue.Queue[SyntheticBatch] = queue.Queue(MAX_SEGMENTS)
        self._lost = 0

    def put(self, message: SyntheticBatch) -> bool:
        """Keep a message until it is taken, from any thread; False where there is no room for it."""
        try:
            self._waiting.put_nowait(message)
        except queue.Full:
            self._lost += 1
            return False
        return True

    def take_all(self) -> Iterator[SyntheticSegment]:
        """All usable segments that wait."""
        if self._lost:
            self._warn(f"{self._lost} imagined segments came too fast and are lost")
            self._lost = 0
        while True:
            try:
                message = self._waiting.get_nowait()
            except queue.Empty:
                return
            try:
                yield synthetic_from_message(message, self._image_size)
            except InvalidObservation as problem:
                self.malformed += 1
                self._warn(f"segment {message.seq} of {message.publisher!r} is malformed: {problem}")

"""Imagined segments between the ROS thread that receives them and the main thread that uses them."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from functools import partial

from worldsample_core.messages.reception import Reception
from worldsample_core.messages.run_bounds import RunBounds
from worldsample_core.synthetic import SyntheticSegment
from worldsample_msgs.msg import SyntheticBatch

MAX_SEGMENTS = 400
"""Segments that may wait; one that comes beyond is lost, and imagined again later."""
KIND = "imagined segments"


class SegmentInbox:
    """A bounded queue of messages of a bounded size, unpacked and checked where they are used.

    Args:
        reception: decodes segments, and counts what cannot be used. bounds: of what they can hold.
    """

    def __init__(self, reception: Reception, bounds: RunBounds) -> None:
        self._reception, self._bounds = reception, bounds
        self._waiting: queue.Queue[SyntheticBatch] = queue.Queue(MAX_SEGMENTS)

    @property
    def malformed(self) -> int:
        """Number of segments that were refused."""
        return self._reception.count(KIND)

    def put(self, message: SyntheticBatch) -> bool:
        """Keep a message; False where it is too large, or there is no room. From any thread."""
        if self._reception.take(KIND, lambda: self._bounds.small(message)) is None:
            return False
        try:
            self._waiting.put_nowait(message)
        except queue.Full:
            self._reception.drop(f"{KIND} that came too fast", f"{MAX_SEGMENTS} wait")
            return False
        return True

    def take_all(self) -> Iterator[SyntheticSegment]:
        """All usable segments that wait."""
        while True:
            try:
                message = self._waiting.get_nowait()
            except queue.Empty:
                return
            segment = self._reception.take(KIND, partial(self._bounds.segment, message))
            if segment is not None:
                yield segment

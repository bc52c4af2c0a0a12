"""Imagined segments between their arrival and the real step from which they are used."""

from __future__ import annotations

from bisect import insort

from worldsample_core.synthetic import SyntheticSegment

MAX_BYTES = 256 * 1024 * 1024
"""Largest size of the images in the buffer, bytes; further segments are refused."""
MAX_APART = 4096
"""Segments of one publisher that are remembered one by one."""


class Arrivals:
    """Which segments of one publisher have arrived.

    Args:
        first: segments with a lower seq are taken where they come, and not waited for.

    Attributes:
        next: all segments from ``first`` up to here have arrived, or are waited for no longer.
        lost: segments that are waited for no longer, and have not come.
    """

    def __init__(self, first: int) -> None:
        self.first = self.next = first
        self.lost = 0
        self._missing: set[int] = set()
        self._apart: set[int] = set()

    def arrived(self, seq: int) -> bool:
        """Note that ``seq`` has arrived; False where it had before, or is too far off."""
        if seq in self._missing:
            self._missing.remove(seq)
            self.lost -= 1
            return True
        if self.first <= seq < self.next or seq in self._apart or len(self._apart) >= MAX_APART:
            return False
        if seq == self.next:
            self.next += 1
        else:
            self._apart.add(seq)
        self._advance()
        return True

    def skip_to(self, count: int) -> None:
        """Wait no longer for the segments below ``count`` that have not come."""
        if count <= self.next:
            return
        missing = [seq for seq in range(max(self.next, count - MAX_APART), count) if seq not in self._apart]
        self.lost += len(missing)
        self._missing = set(missing)
        self._apart = {seq for seq in self._apart if not self.next <= seq < count}
        self.next = count
        self._advance()

    def _advance(self) -> None:
        while self.next in self._apart:
            self._apart.remove(self.next)
            self.next += 1


class SyntheticBuffer:
    """Holds segments in the order of (effective step, publisher, seq), whatever order they arrive in.

    Attributes:
        refused: segments for which there was no room.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self.max_bytes = max_bytes
        self.refused = 0
        self._bytes = 0
        self._held: list[tuple[int, str, int, int]] = []
        self._segments: dict[int, SyntheticSegment] = {}
        self._count = 0

    def __len__(self) -> int:
        return len(self._held)

    def put(self, segment: SyntheticSegment) -> bool:
        """Keep a segment; False, counted, where there is no room."""
        if self._bytes + segment.images.nbytes > self.max_bytes:
            self.refused += 1
            return False
        self._bytes += segment.images.nbytes
        self._count += 1
        self._segments[self._count] = segment
        insort(self._held, (segment.effective_step, segment.publisher, segment.seq, self._count))
        return True

    def take(self, real_steps: int) -> SyntheticSegment | None:
        """The first segment that is used from ``real_steps`` completed real steps on, or earlier."""
        if not self._held or self._held[0][0] > real_steps:
            return None
        segment = self._segments.pop(self._held.pop(0)[-1])
        self._bytes -= segment.images.nbytes
        return segment

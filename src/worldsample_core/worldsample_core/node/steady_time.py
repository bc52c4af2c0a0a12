"""Time that no change of the wall clock touches: timers, and stamps that go on evenly."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node

JUMP = 0.1
"""s; a wall clock that is further off than this has been set."""


def steady_timer(node: Node, period: float, callback: Callable[[], Any]) -> Any:
    """A timer of ``node`` that fires every ``period`` s, also while the wall clock is set back."""
    return node.create_timer(period, callback, clock=Clock(clock_type=ClockType.STEADY_TIME))


class EvenStamps:
    """Stamps of this machine's wall clock that go on evenly, and follow it when it is set.

    Two stamps differ by the time between them. Only where the wall clock has been set, the stamps jump once,
    and :meth:`followed` tells by how much.

    Args:
        wall, steady: clocks, ns.
    """

    def __init__(
        self, wall: Callable[[], int] = time.time_ns, steady: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._wall, self._steady = wall, steady
        self._offset = wall() - steady()

    def __call__(self) -> int:
        """The stamp of this moment, ns."""
        return self._steady() + self._offset

    def followed(self) -> float:
        """Follow the wall clock where it has been set. Returns by how much, s; 0 where it has not."""
        off = self._wall() - self()
        if abs(off) < JUMP * 1e9:
            return 0.0
        self._offset += off
        return off * 1e-9

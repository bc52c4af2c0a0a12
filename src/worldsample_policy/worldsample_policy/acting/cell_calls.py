"""Calls of services: a reset by the arm, a checkpoint by the learner. Each has a deadline, none waits."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from rclpy.node import Node

from worldsample_core.node.inherited_environment import also
from worldsample_core.node.stopping import RunFailed
from worldsample_msgs.srv import Checkpoint, Reset

SERVICE_TIMEOUT = 60.0
"""s until a reset or a checkpoint must be answered."""
BUSY_PATIENCE = 60.0
"""s for which a reset that is under way already is waited for."""
ASK_AGAIN = 1.0
"""s after which a reset is asked for again that was refused because another one is under way."""
AFTER_FAILURE = 2.0
"""s between a reset that has failed and the next one: what was in the way may end meanwhile."""


class CellCalls:
    """The calls that are under way.

    Args:
        node: the clients are its own.
        clock: s, monotonic.
        discovery_wait: s that the arm must have been known before it is called: another run would then be
            known, too.
        start_timeout: s until the arm's service must be there.
        before_first_move: called once, before the arm is called for the first time; raises where it must not.
        on_reset, on_checkpoint: called with the answer's future; a checkpoint that comes too late has None.
    """

    def __init__(
        self,
        node: Node,
        clock: Callable[[], float],
        discovery_wait: float,
        start_timeout: float,
        before_first_move: Callable[[], None],
        on_reset: Callable[[Any], None],
        on_checkpoint: Callable[[Any], None],
    ) -> None:
        self._reset_client = node.create_client(Reset, "a1x/reset")
        self._checkpoint_client = node.create_client(Checkpoint, "learner/checkpoint")
        self._clock = clock
        self._discovery_wait, self._start_timeout = discovery_wait, start_timeout
        self._before_first_move = before_first_move
        self._on_reset, self._on_checkpoint = on_reset, on_checkpoint
        self._request = Reset.Request()
        self._since: dict[str, float] = {}  # of what is waited for: "arm", "reset", "checkpoint"
        self._arm_found = math.inf
        self._not_before = self._busy_until = -math.inf
        self._moved = False

    def reset(self, request: Reset.Request) -> None:
        """Have the cell reset, as soon as the arm is there."""
        self._request = request
        self._since["arm"] = now = self._clock()
        self._busy_until = now + BUSY_PATIENCE
        self._call_arm()

    def _call_arm(self) -> None:
        now = self._clock()
        if not self._reset_client.service_is_ready():
            self._arm_found = math.inf
            return
        self._arm_found = min(self._arm_found, now)
        if now - self._arm_found < self._discovery_wait or now < self._not_before:
            return
        if not self._moved:
            self._before_first_move()
        del self._since["arm"]
        self._since["reset"], self._moved = now, True
        self._reset_client.call_async(self._request).add_done_callback(self._reset_answered)

    def _reset_answered(self, future: Any) -> None:
        if self._since.pop("reset", None) is None:  # it comes too late
            return
        now, response = self._clock(), future.result()
        if response.busy and now < self._busy_until:
            self._since["arm"], self._not_before = now, now + ASK_AGAIN
            return
        if not response.success:
            self._not_before = now + AFTER_FAILURE
        self._on_reset(future)

    def checkpoint(self) -> bool:
        """Have the learner write a checkpoint; False where no learner is there."""
        if not self._checkpoint_client.service_is_ready():
            return False
        self._since["checkpoint"] = self._clock()
        future = self._checkpoint_client.call_async(Checkpoint.Request())
        future.add_done_callback(self._checkpoint_answered)
        return True

    def _checkpoint_answered(self, future: Any) -> None:
        if self._since.pop("checkpoint", None) is not None:
            self._on_checkpoint(future)

    def check(self, explain: Callable[[], None]) -> None:
        """Call the arm once it is there; give up what has taken too long. Call it some times a second.

        Args:
            explain: raises a :class:`RunFailed` that says more of a silent cell, where there is more to say.

        Raises:
            RunFailed: the arm does not answer.
        """
        if "arm" in self._since:
            self._call_arm()
        now, name = self._clock(), self._reset_client.srv_name
        for call, since in list(self._since.items()):
            limit = self._start_timeout if call == "arm" else max(SERVICE_TIMEOUT, self._start_timeout)
            if now - since < limit:
                continue
            del self._since[call]
            if call == "checkpoint":
                self._on_checkpoint(None)
                continue
            explain()
            raise RunFailed(
                f"nobody offers the service {name}"
                if call == "arm"
                else f"{name} did not answer within {limit:g} s",
                "is the arm's (or the simulator's) node running, on the same ROS_DOMAIN_ID?" + also(),
            )

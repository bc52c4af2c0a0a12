"""The driver's services: reset, enable, disable, clear errors."""

from __future__ import annotations

import time
from collections.abc import Callable

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from std_srvs.srv import Trigger

from a1x_driver.arm_driver import ArmDriver
from a1x_driver.arm_functions import ArmFunctions
from a1x_driver.waiting_reset import WaitingReset
from worldsample_core.messages.conversions import time_of_ns
from worldsample_core.node.attributed_service import AttributedService
from worldsample_core.node.single_writer import SingleWriter, commanders
from worldsample_msgs.srv import Reset

MODES = ("demo", "train", "eval", "label")


class ArmServices:
    """Offers the services of ``node``, whose callbacks run in one thread.

    Args:
        patience: s for which a reset waits for what forbids it.
        look_at_links: called before anything moves: finds out who is connected.
        stamp: ns, the time of an answer.
    """

    def __init__(
        self,
        node: Node,
        arm: ArmDriver,
        functions: ArmFunctions,
        patience: float,
        look_at_links: Callable[[], None],
        stamp: Callable[[], int],
    ) -> None:
        self._arm, self._functions = arm, functions
        self._look_at_links, self._stamp = look_at_links, stamp
        self._node, self._writer = node, SingleWriter()
        self._reset = WaitingReset(arm, functions, patience)
        # A group of their own: while a service waits for the arm, everything else goes on.
        aside = ReentrantCallbackGroup()
        AttributedService(node, Reset, "~/reset", self._on_reset, aside)
        node.create_service(Trigger, "~/enable", self._on_enable, callback_group=aside)
        node.create_service(Trigger, "~/disable", self._on_disable)
        node.create_service(Trigger, "~/clear_errors", self._on_clear, callback_group=aside)

    def look(self, now: float) -> None:
        """Go on with what is waited for. Call it often. ``now``: s, monotonic."""
        self._functions.look(now)
        self._reset.look(now)

    def commanded(self, now: float) -> None:
        """The run that drives the arm has sent a command."""
        self._writer.seen(now)

    def end(self) -> None:
        """Forbid all motion and answer a reset that is under way."""
        self._arm.disable(by_person=False)
        self._reset.end((False, "the driver is ending"))

    async def _on_reset(
        self, request: Reset.Request, response: Reset.Response, asker: bytes
    ) -> Reset.Response:
        if request.mode not in MODES:
            response.success = False
            response.message = f"unknown mode {request.mode!r}: expected one of {', '.join(MODES)}"
            return response
        now = time.monotonic()
        if reason := self._writer.refuses(request.run, now, commanders(self._node), asker):
            self._node.get_logger().warning(f"a reset was refused: {reason}", throttle_duration_sec=2.0)
            response.message, response.taken = reason, True
            return response
        if self._reset.under_way:
            response.message, response.busy = "a reset is under way already", True
            return response
        self._look_at_links()
        response.success, response.message = await self._reset.ask(now)
        self._writer.seen(time.monotonic())
        response.stamp = time_of_ns(self._stamp())
        return response

    async def _on_enable(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._look_at_links()
        now = time.monotonic()
        problem = self._arm.fault(now)
        if problem:
            response.success, response.message = False, problem
            return response
        response.success, response.message = await self._functions.ask(self._functions.enable, now)
        if response.success:
            self._arm.enable()
        return response

    def _on_disable(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._arm.disable()
        self._reset.end((False, "the arm was disabled"))
        response.success = True
        response.message = "nothing is sent any more, but the arm stays powered: it has no brakes"
        return response

    async def _on_clear(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        asked = self._functions.ask(self._functions.clear, time.monotonic())
        response.success, response.message = await asked
        self._arm.clear_errors()
        return response

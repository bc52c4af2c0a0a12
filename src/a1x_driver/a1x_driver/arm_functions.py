"""Functions of the arm (enable, clear errors): asked for, answered, and told."""

from __future__ import annotations

from typing import Any

from rclpy.node import Node
from rclpy.task import Future

from a1x_driver import vendor_messages as vendor
from a1x_driver.driver_config import DriverConfig
from a1x_driver.link_check import nobody_reads
from a1x_driver.topic_qos import qos_of
from a1x_driver.vendor_config import resolved_codes


class ArmFunctions:
    """Client (or publisher) of ``node`` for the arm's functions.

    Attributes:
        enable, clear: codes of the two functions that are used.
    """

    def __init__(self, node: Node, config: DriverConfig) -> None:
        self._node, self._config = node, config
        codes = resolved_codes(config.sdk, config.codes)
        self.enable, self.clear, self._release = codes.enable, codes.clear, codes.release
        self._topic = config.topics.function_frame
        self._patience = config.watchdog.answer
        self._waiting: list[tuple[Future, float]] = []
        self._publisher: Any = None
        self._client: Any = None
        if config.functions == "topic":
            self._publisher = node.create_publisher(
                vendor.FunctionMessage, self._topic.name, qos_of(self._topic)
            )
        elif config.functions == "service":
            self._client = node.create_client(vendor.FunctionCall, self._topic.name)

    def ask(self, code: int, now: float) -> Future:
        """Ask the arm for a function. The future's result: success, and words for a person.

        Raises:
            ValueError: the code may release the motors.
        """
        if code in self._release:
            raise ValueError(f"function {code} may release the motors of an arm without brakes")
        answer = Future()
        problem = self._problem()
        if problem:
            answer.set_result((False, problem))
        elif self._config.functions == "none":
            answer.set_result((True, "driver.functions is none: do it with the vendor's own tool"))
        elif self._publisher is not None:
            self._publisher.publish(vendor.function_message(code))
            answer.set_result((True, f"sent on {self._topic.name}, which gives no answer"))
        else:
            self._call(code, answer, now)
        return answer

    def _problem(self) -> str:
        config = self._config
        if config.functions == "none":
            return ""
        have = vendor.VendorFunction if config.functions == "topic" else vendor.VendorFunctionCall
        if have is None and not config.standin:
            return vendor.WITHOUT_VENDOR
        if self._publisher is not None:
            return nobody_reads(self._node, self._topic, "driver.topics.function_frame")
        if not self._client.service_is_ready():
            return (
                f"nobody offers the service {self._topic.name}: is the vendor's driver running? Or set "
                "driver.topics.function_frame.name and driver.functions (topic, service, none)"
            )
        return ""

    def _call(self, code: int, answer: Future, now: float) -> None:
        def on_response(call: Future) -> None:
            if answer.done():  # it came too late
                return
            try:
                yes, words = vendor.function_answer(call.result())
            except Exception as problem:  # of the middleware, or of an SDK's message
                yes, words = False, str(problem)
            said = words if yes else f"the arm refused function {code}" + (f": {words}" if words else "")
            answer.set_result((yes, said))

        self._waiting.append((answer, now + self._patience))
        self._client.call_async(vendor.function_message(code, vendor.FunctionCall.Request)).add_done_callback(
            on_response
        )

    def look(self, now: float) -> None:
        """Give up calls that are not answered. Call it often."""
        for answer, until in self._waiting:
            if now > until and not answer.done():
                answer.set_result((False, f"{self._topic.name} did not answer within {self._patience:g} s"))
        self._waiting = [waits for waits in self._waiting if not waits[0].done()]

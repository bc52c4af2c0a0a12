"""A node whose callbacks do all the work, in the process's main thread, until its run ends."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from worldsample_core.node.exit_codes import DONE
from worldsample_core.node.stopping import RunFailed, StopSignals, failure_of, say_last

F = TypeVar("F", bound=Callable[..., Any])


def fails_the_run(callback: F) -> F:
    """End the run with the failure that a callback of a :class:`CallbackNode` raises.

    A callback that comes once the run has ended does nothing.
    """

    @wraps(callback)
    def guarded(self: CallbackNode, *arguments: Any) -> Any:
        if self.exit_code is not None:
            return None
        try:
            return callback(self, *arguments)
        except Exception as error:
            self.fail(failure_of(error))
            return None

    return guarded  # type: ignore[return-value]


class CallbackNode(Node, ABC):
    """A node that spins in the main thread.

    Attributes:
        exit_code: what the process returns; None while the run goes on.
        failure: why the run has failed; None where it has not.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.exit_code: int | None = None
        self.failure: RunFailed | None = None

    @abstractmethod
    def close(self) -> None:
        """Write what is due, once the run has ended."""

    @abstractmethod
    def publish_status(self) -> None:
        """Publish the status; also that of a :attr:`failure`."""

    def end(self, failure: RunFailed | None) -> None:
        """End the run; with a failure where there is one."""
        self.failure = failure
        self.exit_code = DONE if failure is None else failure.code

    def fail(self, failure: RunFailed) -> None:
        """End the run: a status with the failure, a message with the remedy, and the exit code."""
        if self.exit_code is None:
            self.end(failure)
            self.get_logger().error(str(failure))
            self.publish_status()

    def run(self, signals: StopSignals) -> int:
        """Spin until the run has ended or ``signals`` ask to stop. Returns the process's exit code."""
        executor = SingleThreadedExecutor()
        executor.add_node(self)
        try:
            while self.exit_code is None:
                executor.spin_once(timeout_sec=0.5)
                if signals.requested and self.exit_code is None:
                    self.end(None)
        finally:
            self.close()
        if self.failure is not None:
            say_last(self.get_name(), self.failure)
            time.sleep(0.2)  # for the last status to leave
        return self.exit_code or DONE

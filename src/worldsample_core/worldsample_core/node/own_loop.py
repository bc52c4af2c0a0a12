"""A process whose node runs a loop of its own until its work is done or it is asked to stop."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Protocol

import rclpy
from rclpy.signals import SignalHandlerOptions

from worldsample_core.node.cpu_account import START, cpu_piece, imports_done
from worldsample_core.node.freed_memory import keep_freed_memory
from worldsample_core.node.quiet_imports import imports_are_done
from worldsample_core.node.shared_memory import use_shared_memory
from worldsample_core.node.stopping import StopSignals, failure_of, say_last


class OwnLoop(Protocol):
    """A node with a loop of its own."""

    def run(self, signals: StopSignals) -> int:
        """Work until done, or until ``signals`` ask to stop. Returns the process's exit code."""


def run_own_loop(
    name: str, make: Callable[[], OwnLoop], args: list[str] | None, switch_interval: float = 0.001
) -> int:
    """Make the node and run its loop; signals only ask it to stop, so that it can close its files.

    Args:
        name: for people, in the last line on standard error.
        switch_interval: s that one thread of the process may hold the interpreter while another waits.

    Returns:
        The process's exit code: 2 where the node cannot start like this, else what its loop returns.
    """
    imports_done()
    imports_are_done()
    sys.setswitchinterval(switch_interval)
    keep_freed_memory()
    use_shared_memory()
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    signals = StopSignals()
    try:
        try:
            with cpu_piece(START):
                node = make()
        except Exception as error:
            failure = failure_of(error)
            say_last(name, failure)
            return failure.code
        return node.run(signals)
    finally:
        rclpy.try_shutdown()

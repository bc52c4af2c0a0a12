"""A process that spins one node until it is asked to stop: how the nodes of a cell start and end."""

from __future__ import annotations

import sys
from collections.abc import Callable

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node

from worldsample_core.config import ConfigError
from worldsample_core.node.cpu_account import START, cpu_piece, imports_done
from worldsample_core.node.exit_codes import BAD_CONFIGURATION, DONE
from worldsample_core.node.freed_memory import keep_freed_memory
from worldsample_core.node.quiet_imports import imports_are_done
from worldsample_core.node.shared_memory import use_shared_memory


def run_node(
    name: str,
    make: Callable[[], Node],
    args: list[str] | None,
    refusals: tuple[type[Exception], ...] = (ConfigError,),
) -> int:
    """Spin the node that ``make`` makes until it is asked to stop. Returns the process's exit code.

    Args:
        refusals: what ``make`` raises where the node cannot start like this; its words are for people.
    """
    imports_done()
    imports_are_done()
    keep_freed_memory()
    use_shared_memory()
    rclpy.init(args=args)
    try:
        with cpu_piece(START):
            node = make()
        try:
            rclpy.spin(node)
        finally:
            node.destroy_node()
    except refusals as problem:
        print(f"{name}: {problem}", file=sys.stderr)
        return BAD_CONFIGURATION
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except Exception:
        if rclpy.ok():  # otherwise a signal has closed ROS in the middle of something
            raise
    finally:
        rclpy.try_shutdown()
    return DONE

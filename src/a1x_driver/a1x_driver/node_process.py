"""How the nodes of the real cell start and end."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from a1x_driver.config import Topic
from worldsample_core.config import ConfigError
from worldsample_core.exit_codes import BAD_CONFIGURATION, DONE


def run_node(name: str, make: Callable[[], Node], args: list[str] | None) -> int:
    """Spin the node that ``make`` makes until it is asked to stop. Returns the process's exit code."""
    rclpy.init(args=args)
    try:
        node = make()
        try:
            rclpy.spin(node)
        finally:
            node.destroy_node()
    except ConfigError as problem:
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


def come_first() -> None:
    """Take precedence over what learns on this machine, where the system allows it."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, -15)


def config_path(node: Node) -> str:
    """The parameter ``config``. Raises :class:`ConfigError` where it is missing."""
    path = str(node.declare_parameter("config", "").value)
    if not path:
        raise ConfigError("the parameter `config` (path of the run's config.yaml) is missing")
    return path


def qos_of(topic: Topic) -> QoSProfile:
    """A topic's QoS profile."""
    return QoSProfile(
        depth=topic.depth,
        reliability=ReliabilityPolicy.RELIABLE
        if topic.reliability == "reliable"
        else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL
        if topic.durability == "transient_local"
        else DurabilityPolicy.VOLATILE,
    )

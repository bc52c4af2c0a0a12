"""What the nodes of the real cell have in common as they start."""

from __future__ import annotations

import contextlib
import os

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from a1x_driver.driver_config import Topic
from worldsample_core.config import ConfigError


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

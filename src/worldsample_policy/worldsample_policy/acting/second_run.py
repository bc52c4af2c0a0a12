"""A second run on the ROS domain is refused before it moves the arm."""

from __future__ import annotations

from rclpy.node import Node

from worldsample_core.node.exit_codes import BAD_CONFIGURATION
from worldsample_core.node.stopping import RunFailed


def second_run(reason: str) -> RunFailed:
    """The failure of a run that is not alone on its ROS domain."""
    return RunFailed(
        f"{reason}: this is a second run on the domain",
        "stop it, or give this run a domain of its own (export ROS_DOMAIN_ID=<1..101>)",
        BAD_CONFIGURATION,
    )


def require_alone(node: Node, command_topic: str) -> None:
    """Raises :class:`RunFailed` where another run than that of ``node`` is on the same ROS domain.

    Args:
        command_topic: resolved name of the topic on which ``node`` commands the arm.
    """
    name, namespace = node.get_name(), node.get_namespace()
    twins = node.get_node_names_and_namespaces().count((name, namespace))
    if twins > 1 or node.count_publishers(command_topic) > 1:
        who = f"another node {namespace.rstrip('/')}/{name}" if twins > 1 else "another node"
        raise second_run(f"{who} already commands the arm ({command_topic})")

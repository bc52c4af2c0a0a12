"""Looks at the other end of a topic: who hears what is sent there, and why nobody does."""

from __future__ import annotations

from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy

from a1x_driver.vendor_config import Topic


def full_name(info: Any) -> str:
    """Name of the node at an endpoint, with its namespace."""
    return f"{info.node_namespace.rstrip('/')}/{info.node_name}"


def mismatch(topic: Topic, reliable: bool, latched: bool, setting: str) -> str:
    """Names what a reader asks for that our publisher does not offer, and the remedy; "" for nothing.

    Args:
        topic: QoS of our publisher. reliable, latched: what the reader asks for. setting: of ``topic``.
    """
    if reliable and topic.reliability != "reliable":
        return f"asks for reliable messages: set {setting}.reliability=reliable"
    if latched and topic.durability != "transient_local":
        return f"asks for transient-local messages: set {setting}.durability=transient_local"
    return ""


def nobody_reads(node: Node, topic: Topic, setting: str, type_name: str = "") -> str:
    """Words for a topic of ours that nobody can hear; "" where somebody hears it.

    Args:
        setting: where the topic is configured. type_name: of our messages; "": not compared.
    """
    name = node.resolve_topic_name(topic.name)
    problems = []
    for info in node.get_subscriptions_info_by_topic(name):
        if info.node_name == node.get_name() and info.node_namespace == node.get_namespace():
            continue
        if type_name and info.topic_type != type_name:
            problems.append(f"{full_name(info)} expects {info.topic_type}, our side sends {type_name}")
            continue
        qos = info.qos_profile
        wrong = mismatch(
            topic,
            qos.reliability == ReliabilityPolicy.RELIABLE,
            qos.durability == DurabilityPolicy.TRANSIENT_LOCAL,
            setting,
        )
        if not wrong:
            return ""
        problems.append(f"{full_name(info)} {wrong}")
    if problems:
        return f"nobody can hear {name}: {'; '.join(problems)}"
    return f"nobody listens to {name}: is the vendor's driver running, and is {setting}.name right?"

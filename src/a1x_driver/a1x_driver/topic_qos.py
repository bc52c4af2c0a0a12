"""QoS profiles of the vendor's topics, as the configuration describes them."""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from a1x_driver.vendor_config import Topic


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

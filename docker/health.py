"""A container is healthy while its nodes speak: `health.py robot` or `health.py workstation`.

Exit code 0 where the part's status topic is heard within some seconds, 1 where it is not.
"""

from __future__ import annotations

import sys
import time

import rclpy

from worldsample_msgs.msg import LearnerStatus, RobotStatus

TOPICS = {"robot": ("a1x/status", RobotStatus), "workstation": ("learner/status", LearnerStatus)}


def main(part: str, seconds: float = 8.0) -> int:
    """Listen to the status topic of a part of the graph."""
    topic, kind = TOPICS[part]
    heard: list[object] = []
    rclpy.init(args=["--ros-args", "--enclave", f"/worldsample/{part}/health_{part}"])
    node = rclpy.create_node("health")
    node.create_subscription(kind, topic, heard.append, 1)
    end = time.monotonic() + seconds
    while not heard and time.monotonic() < end:
        rclpy.spin_once(node, timeout_sec=0.2)
    node.destroy_node()
    rclpy.shutdown()
    return 0 if heard else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

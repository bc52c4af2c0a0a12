"""Record frames of success and of failure for the reward model; ``--show-args`` tells all arguments.

ros2 launch worldsample_bringup label.launch.py sim:=false task:=pushing frames:=200
"""

from launch import LaunchDescription

from worldsample_bringup.graph.launching import describe


def generate_launch_description() -> LaunchDescription:
    """The nodes of ``worldsample_bringup.graph.graph``."""
    return describe("label")

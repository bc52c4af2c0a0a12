"""Record demonstrations; ``--show-args`` tells all arguments.

ros2 launch worldsample_bringup demos.launch.py task:=pushing episodes:=20 out:=demos
"""

from launch import LaunchDescription

from worldsample_bringup.graph.launching import describe


def generate_launch_description() -> LaunchDescription:
    """The nodes of ``worldsample_bringup.graph.graph``."""
    return describe("demos")

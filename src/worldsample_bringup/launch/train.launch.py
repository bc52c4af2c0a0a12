"""Train a policy; ``--show-args`` tells all arguments.

ros2 launch worldsample_bringup train.launch.py sim:=true task:=pushing
"""

from launch import LaunchDescription

from worldsample_bringup.graph.launching import describe


def generate_launch_description() -> LaunchDescription:
    """The nodes of ``worldsample_bringup.graph.graph``."""
    return describe("train")

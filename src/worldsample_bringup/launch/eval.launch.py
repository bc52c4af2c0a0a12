"""Evaluate a trained policy; ``--show-args`` tells all arguments.

ros2 launch worldsample_bringup eval.launch.py run_dir:=runs/pushing-hil_serl-seed0
"""

from launch import LaunchDescription

from worldsample_bringup.graph.launching import describe


def generate_launch_description() -> LaunchDescription:
    """The nodes of ``worldsample_bringup.graph.graph``."""
    return describe("eval")

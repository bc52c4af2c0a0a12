"""Parameters that a node reads once, when it starts: ``ros2 param set`` refuses to change them."""

from __future__ import annotations

from typing import TypeVar

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node

Value = TypeVar("Value", bool, int, float, str)


def fixed_parameter(node: Node, name: str, default: Value, description: str) -> Value:
    """Declare a read-only parameter and return its value.

    Args:
        node: it declares the parameter.
        name: of the parameter.
        default: where nobody gives one; its type is the parameter's.
        description: one sentence with the unit, for ``ros2 param describe``.
    """
    descriptor = ParameterDescriptor(description=description, read_only=True)
    return type(default)(node.declare_parameter(name, default, descriptor).value)

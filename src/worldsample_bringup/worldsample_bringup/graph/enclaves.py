"""Enclave of each node: under which keys it speaks where SROS 2 is on."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

WORKSTATION = re.compile(r"learner|worldmodel(_\d+)?|dashboard_workstation|health_workstation")
"""Nodes of the GPU workstation, where two computers share a graph; all others are the robot computer's."""


def enclave_of(node: str) -> str:
    """``/worldsample/robot/NODE`` or ``/worldsample/workstation/NODE``: each computer has its own keys."""
    part = "workstation" if WORKSTATION.fullmatch(node) else "robot"
    return f"/worldsample/{part}/{node}"


def is_closed(environment: Mapping[str, str] = os.environ) -> bool:
    """True where the nodes that start in this environment need keys. ROS 2 takes no other spelling."""
    return environment.get("ROS_SECURITY_ENABLE") == "true"


def enclave_arguments(node: str, environment: Mapping[str, str] = os.environ) -> list[str]:
    """``--enclave NAME`` for the command line of a node, where SROS 2 is on and no other enclave is set."""
    if not is_closed(environment) or environment.get("ROS_SECURITY_ENCLAVE_OVERRIDE"):
        return []
    return ["--enclave", enclave_of(node)]

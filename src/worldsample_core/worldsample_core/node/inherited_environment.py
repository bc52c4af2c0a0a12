"""Variables that another project, or an earlier day, has left in the shell, and that keep nodes apart."""

from __future__ import annotations

import os
from collections.abc import Mapping

from worldsample_core.node.shared_memory import PROFILE, VARIABLES

DISCOVERY = {
    "ROS_DISCOVERY_SERVER": "nodes are found only through that server: `unset ROS_DISCOVERY_SERVER`",
    "ROS_LOCALHOST_ONLY": "it overrules ROS_AUTOMATIC_DISCOVERY_RANGE: `unset ROS_LOCALHOST_ONLY`",
    **{name: f"Fast DDS takes all its settings from that file: `unset {name}`" for name in VARIABLES},
}
"""Variable by which nodes find each other: its effect, and the remedy."""


def left_over(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Sentences about the variables that decide whether nodes find each other, the user's own choices."""
    return [
        f"{name}={environment[name]} is set; {effect}"
        for name, effect in DISCOVERY.items()
        if environment.get(name) not in (None, "", "0", str(PROFILE))
    ]


def also(environment: Mapping[str, str] = os.environ) -> str:
    """The same as the end of a remedy; "" where there is none."""
    return "".join(f". {sentence}" for sentence in left_over(environment))

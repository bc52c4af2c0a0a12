"""One node of the graph as a description, and what its end means for the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""Environment of nodes whose arrays are small.

Threads would cost more than they bring, and take the learner's core.
"""


class OnExit(Enum):
    """Meaning of a node's end for the others."""

    ENDS_GRAPH = "ends the graph"
    """Needed all the time: any exit ends the graph; exit code 0 is a failure too: it came too early."""
    MAY_FINISH = "may finish"
    """Exit code 0: its work is done, the others go on. Anything else ends the graph."""
    COMPLETES_RUN = "completes the run"
    """Exit code 0: the run is complete, everything is stopped. Anything else ends the graph."""
    RESPAWN = "is started again"
    """Exit code 0 as with MAY_FINISH, but a crash starts the node again, with back-off and a limit."""
    LOOKS_ON = "looks on"
    """Any exit is told, and the others go on without it."""
    CAN_BE_SPARED = "can be spared"
    """The node is started again as with RESPAWN, but beyond the limit the others go on without it."""


@dataclass(frozen=True)
class NodeSpec:
    """One node of the graph.

    Attributes:
        package, executable: as in ``ros2 run``; the executable's module has the same name.
        name: of the node, also the prefix of its log lines.
        parameters: ROS parameters.
        remappings: (from, to) names.
        environment: variables for this process only.
        on_exit: what its end means for the others.
        nice: scheduling niceness, 0 .. 19: nodes that act come before nodes that learn.
        grace: seconds between being asked to stop (SIGINT) and SIGTERM; SIGKILL follows after twice as long.
        stop_last: asked to stop only when the others have ended, so that it sees all they have to say.
    """

    package: str
    executable: str
    name: str
    parameters: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    remappings: tuple[tuple[str, str], ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    on_exit: OnExit = OnExit.ENDS_GRAPH
    nice: int = 0
    grace: float = 5.0
    stop_last: bool = False

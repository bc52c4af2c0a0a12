"""The node graph, described once.

:mod:`worldsample_bringup.graph.launching` turns this description into ``launch_ros`` actions, and
:mod:`worldsample_bringup.graph.runner` into processes. A node that is missing here exists in neither.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

from worldsample_core.config import choose
from worldsample_core.settings import Settings
from worldsample_core.world_model_use import world_model_use


class OnExit(Enum):
    """What the end of a node means for the others."""

    ENDS_GRAPH = "ends the graph"
    """Needed all the time: any exit ends the graph; exit code 0 is a failure too: it came too early."""
    MAY_FINISH = "may finish"
    """Exit code 0: its work is done, the others go on. Anything else ends the graph."""
    COMPLETES_RUN = "completes the run"
    """Exit code 0: the run is complete, everything is stopped. Anything else ends the graph."""
    RESPAWN = "is started again"
    """As MAY_FINISH, but a crash starts the node again, with back-off and a limit."""
    CAN_BE_SPARED = "can be spared"
    """As RESPAWN, but beyond the limit the others go on without it."""


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


def build_graph(settings: Settings, config: Path) -> tuple[NodeSpec, ...]:
    """The nodes of a run, in the order in which they start.

    With two computers each starts its part: ``WORLDSAMPLE_PART`` is ``robot`` (the cell, the policy) on one,
    ``workstation`` (learner, world models) on the other; unset, all are here. Each part has a dashboard.

    Args:
        settings: of the run.
        config: absolute path of the ``config.yaml`` that holds them; every node reads it.

    Raises:
        ConfigError: no node of this version can play a part that the settings ask for.
    """
    parameters = {"config": str(config)}
    part = choose(os.environ.get("WORLDSAMPLE_PART") or "all", ("all", "robot", "workstation"), "part")
    acting: tuple[NodeSpec, ...] = ()
    learning: tuple[NodeSpec, ...] = ()
    if part != "workstation":
        acting = (*cell(settings, parameters), policy(parameters))
    if part != "robot" and settings.run.mode == "train":
        learning = (learner(settings, parameters), *world_models(settings, parameters))
    watching = dashboard(parameters)
    if part == "workstation":
        watching = replace(watching, name="dashboard_workstation")  # the robot's has the name already
    return (*acting, *learning, watching)


def cell(settings: Settings, parameters: Mapping[str, str]) -> tuple[NodeSpec, ...]:
    """The robot, its cameras and its operator. Simulated or real, they speak the same topics."""
    if not settings.run.sim:
        from worldsample_bringup.graph.real_cell import (
            real_cell,  # it describes itself in the words of this module
        )

        return real_cell(settings, parameters)
    return (
        NodeSpec("a1x_sim", "sim_node", "a1x", parameters, environment=ONE_THREAD),
        NodeSpec("a1x_sim", "operator_node", "operator", parameters, environment=ONE_THREAD),
    )


def policy(parameters: Mapping[str, str]) -> NodeSpec:
    """The node that acts, and keeps the record of what was done."""
    return NodeSpec(
        "worldsample_policy",
        "policy_node",
        "policy",
        parameters,
        environment=ONE_THREAD,
        on_exit=OnExit.MAY_FINISH,
        grace=10.0,
    )


def learner(settings: Settings, parameters: Mapping[str, str]) -> NodeSpec:
    """The node that learns. Its crash costs fresh weights, never a control tick: it is started again."""
    threads = max(1, (os.cpu_count() or 2) - 1)  # one core stays with the nodes that act
    return NodeSpec(
        "worldsample_policy",
        "learner_node",
        "learner",
        parameters,
        environment={"OMP_NUM_THREADS": str(threads)},
        on_exit=OnExit.RESPAWN,
        nice=0 if settings.run.lockstep else 10,
        grace=10.0,
    )


def world_models(settings: Settings, parameters: Mapping[str, str]) -> tuple[NodeSpec, ...]:
    """The nodes that imagine, where the method asks for them. A crash costs synthetic data only."""
    use = world_model_use(settings.worldmodel)
    return tuple(
        NodeSpec(
            "worldsample_worldmodel",
            "worldmodel_node",
            "worldmodel" if index == 0 else f"worldmodel_{index}",
            {**parameters, "index": index, "count": use.nodes},
            environment=ONE_THREAD,
            on_exit=OnExit.CAN_BE_SPARED,
            nice=0 if settings.run.lockstep else 10,
            grace=10.0,
        )
        for index in range(use.nodes if use.enabled else 0)
    )


def dashboard(parameters: Mapping[str, str]) -> NodeSpec:
    """The node that writes metrics, live line, summary and report; it ends when the run is done."""
    return NodeSpec(
        "worldsample_bringup",
        "dashboard_node",
        "dashboard",
        parameters,
        environment=ONE_THREAD,
        on_exit=OnExit.COMPLETES_RUN,
        grace=10.0,
        stop_last=True,
    )


ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""For nodes whose arrays are small: threads would cost more than they bring, and take the learner's core."""

"""The node graph, described once.

:mod:`worldsample_bringup.graph.launching` turns this description into ``launch_ros`` actions, and
:mod:`worldsample_bringup.graph.runner` into processes. A node that is missing here exists in neither.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from worldsample_bringup.graph.arm_description import with_description
from worldsample_bringup.graph.node_spec import ONE_THREAD, NodeSpec, OnExit
from worldsample_bringup.graph.real_cell import person, real_cell
from worldsample_core.config import choose
from worldsample_core.settings import Settings
from worldsample_core.world_model_use import world_model_use


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
        acting = (*cell(settings, parameters), policy(settings, parameters))
    if part != "robot" and settings.run.mode == "train":
        learning = (learner(settings, parameters), *world_models(settings, parameters))
    watching = dashboard(parameters)
    if part == "workstation":
        watching = replace(watching, name="dashboard_workstation")  # the robot's has the name already
    return (*acting, *learning, watching)


def cell(settings: Settings, parameters: Mapping[str, str]) -> tuple[NodeSpec, ...]:
    """The robot, its cameras and its operator. Simulated or real, they speak the same topics."""
    if not settings.run.sim:
        return real_cell(settings, parameters)
    arm = with_description(parameters)
    simulator = NodeSpec("a1x_sim", "sim_node", "a1x", arm, environment=ONE_THREAD)
    if settings.run.has_person:
        return (simulator, *person(settings, parameters))
    return (
        simulator,
        NodeSpec("a1x_sim", "operator_node", "operator", parameters, environment=ONE_THREAD),
    )


def policy(settings: Settings, parameters: Mapping[str, str]) -> NodeSpec:
    """The node that acts, and keeps the record of what was done.

    In simulation it has a process of its own for evaluations.
    """
    evaluator = (sys.executable, "-m", "worldsample_bringup.evaluator", "--config", parameters["config"])
    return NodeSpec(
        "worldsample_policy",
        "policy_node",
        "policy",
        {**parameters, "evaluator": shlex.join(evaluator)} if settings.run.sim else parameters,
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

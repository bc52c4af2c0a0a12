"""The graph as ``launch_ros`` actions: all that the launch files contain."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity  # type: ignore[attr-defined]
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
    TimerAction,
)
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.events.process import ProcessExited
from launch_ros.actions import Node

from worldsample_bringup.graph.announcement import opening
from worldsample_bringup.graph.closed_cell import require_keys
from worldsample_bringup.graph.domain import claim_domain
from worldsample_bringup.graph.enclaves import enclave_arguments
from worldsample_bringup.graph.graph import build_graph
from worldsample_bringup.graph.node_command import ProcessSpec
from worldsample_bringup.graph.node_spec import NodeSpec, OnExit
from worldsample_bringup.graph.viewer_process import viewer_process
from worldsample_bringup.run.options import Mode, Option, options_of, request_from
from worldsample_bringup.run.prepare import plan
from worldsample_bringup.run.required_packages import require_packages
from worldsample_bringup.viewer.watch_command import PORT, WATCH, WATCH_PORT, ready_to_watch
from worldsample_core.config import choose
from worldsample_core.node.exit_codes import BAD_CONFIGURATION

Entities = list[LaunchDescriptionEntity]

RESTARTS = 5
"""Restarts of a crashed node, at most: the first after 1 s, each later one after twice the time."""

_held: list[object] = []  # the ROS domain and the run folder, until the launch process ends


def describe(mode: Mode) -> LaunchDescription:
    """The launch description of one mode: its documented arguments, then the graph."""
    arguments = [
        DeclareLaunchArgument(option.name, default_value="", description=_described(option))
        for option in arguments_of(mode)
    ]
    overrides = DeclareLaunchArgument(
        "overrides", default_value="", description="settings as section.key=value, separated by spaces"
    )
    return LaunchDescription([*arguments, overrides, OpaqueFunction(function=partial(_start, mode))])


def arguments_of(mode: Mode) -> tuple[Option, ...]:
    """The launch arguments of a mode, in the order of ``--show-args``; ``overrides`` follows."""
    return (*options_of(mode), WATCH, WATCH_PORT)


def _described(option: Option) -> str:
    """Help of an option; ``--show-args`` prints the empty default itself, and this says what it means."""
    return f"{option.help}; empty: {option.default}" if option.default else option.help


def refuse_unknown_arguments(mode: Mode, given: Sequence[str], command_line: Sequence[str]) -> None:
    """Refuse a misspelt launch argument, which ``ros2 launch`` itself would pass over in silence.

    Args:
        mode: of the launch file.
        given: the arguments as ``name:=value``.
        command_line: of this process. Where it names another launch file, that one includes ours, and its
            arguments are not known here.

    Raises:
        ConfigError: an argument that this launch file does not have.
    """
    if f"{mode}.launch.py" not in {Path(word).name for word in command_line}:
        return
    known = [*(option.name for option in arguments_of(mode)), "overrides"]
    for text in given:
        name, separator, _ = text.partition(":=")
        if separator:
            choose(name, known, f"argument of {mode}.launch.py:")


def _start(mode: Mode, context: LaunchContext) -> Entities:
    """Prepare the run folder and return the nodes. An error here ends ``ros2 launch`` with its message."""
    refuse_unknown_arguments(mode, context.argv, sys.argv)
    said = context.launch_configurations
    values = {option.name: _value(option, said.get(option.name, "")) for option in arguments_of(mode)}
    request = request_from(mode, values, tuple(shlex.split(said.get("overrides", ""))))
    require_packages(simulated=request.real is not True)
    watch_port = ready_to_watch(bool(values[WATCH.name]), values[WATCH_PORT.name] or PORT)
    prepared = plan(request, Path("runs"))
    nodes = build_graph(prepared.settings, prepared.folder.config)
    require_keys(nodes, prepared.settings)
    claim = claim_domain(
        f"{mode} in {prepared.folder.path}", {"ROS_DOMAIN_ID": os.environ.get("ROS_DOMAIN_ID") or "0"}
    )
    _held.extend([claim, prepared.begin()])
    lines = [LogInfo(msg=line) for line in opening(prepared, claim.domain) if line]
    viewer = [] if watch_port is None else _supervised(viewer_process(prepared.folder, watch_port))
    return [*lines, SetEnvironmentVariable("PYTHONUNBUFFERED", "1"), *actions(nodes), *viewer]


def _value(option: Option, text: str) -> Any:
    """The value of a launch argument; None where it was left empty."""
    text = text.strip()
    if not text:
        return None
    if option.kind is bool:
        if text.lower() not in ("true", "false"):
            raise ValueError(f"{option.name}:={text}: expected true or false")
        return text.lower() == "true"
    if option.kind is int:
        try:
            return int(text)
        except ValueError:
            raise ValueError(f"{option.name}:={text}: expected a whole number") from None
    return text


def actions(nodes: tuple[NodeSpec, ...]) -> Entities:
    """Each node with a handler of its exit, in the order of starting."""
    result: Entities = []
    for node in nodes:
        result += _supervised(node)
    return result


@dataclass
class _Crashes:
    """Number of times that a node has crashed."""

    count: int = field(default=0)


def _supervised(node: NodeSpec | ProcessSpec, crashes: _Crashes | None = None) -> Entities:
    """A node, or the viewer, with the handler of its exit."""
    action = to_action(node) if isinstance(node, NodeSpec) else _to_process(node)
    handler: Callable[[ProcessExited, LaunchContext], Entities | None] = partial(
        _after_exit, node, crashes or _Crashes()
    )
    return [RegisterEventHandler(OnProcessExit(target_action=action, on_exit=handler)), action]


def _to_process(spec: ProcessSpec) -> ExecuteProcess:
    return ExecuteProcess(
        cmd=list(spec.command),
        name=spec.name,
        additional_env=dict(spec.environment),
        prefix=f"nice -n {spec.nice}" if spec.nice else None,
        output="screen",
        sigterm_timeout=str(spec.grace),
        sigkill_timeout=str(spec.grace),
    )


def to_action(node: NodeSpec) -> Node:
    """The ``launch_ros`` action of a node."""
    return Node(
        package=node.package,
        executable=node.executable,
        name=node.name,
        parameters=[dict(node.parameters)],
        remappings=list(node.remappings),
        ros_arguments=enclave_arguments(node.name),
        additional_env=dict(node.environment),
        prefix=f"nice -n {node.nice}" if node.nice else None,
        output="screen",
        sigterm_timeout=str(node.grace),
        sigkill_timeout=str(node.grace),
    )


def _after_exit(
    node: NodeSpec | ProcessSpec, crashes: _Crashes, event: ProcessExited, context: LaunchContext
) -> Entities | None:
    """Do what ``OnExit`` says. A failure is raised: ``ros2 launch`` then ends with exit code 1."""
    code = event.returncode
    if context.is_shutdown:
        return None
    if node.on_exit is OnExit.LOOKS_ON:
        return [LogInfo(msg=f"{node.name} ended with exit code {code}; the run goes on without it")]
    if code == 0 and node.on_exit is OnExit.COMPLETES_RUN:
        return [EmitEvent(event=Shutdown(reason="the run is complete"))]
    again = (OnExit.RESPAWN, OnExit.CAN_BE_SPARED)
    if code == 0 and node.on_exit in (OnExit.MAY_FINISH, *again):
        return None
    if node.on_exit in again and code != BAD_CONFIGURATION and crashes.count < RESTARTS:
        crashes.count += 1
        delay = 2.0 ** (crashes.count - 1)
        said = f"{node.name} ended with exit code {code}; it starts again in {delay:g} s"
        return [LogInfo(msg=said), TimerAction(period=delay, actions=_supervised(node, crashes))]
    if node.on_exit is OnExit.CAN_BE_SPARED and code != BAD_CONFIGURATION:
        return [LogInfo(msg=f"{node.name} ended with exit code {code} again; the run goes on without it")]
    raise RuntimeError(
        f"{node.name} failed with exit code {code}" if code else f"{node.name} ended too early"
    )

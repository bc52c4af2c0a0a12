"""The launch files: the same nodes as the graph, with the same meaning of their exits.

With stand-ins for ``launch`` they are looked at everywhere; where the real ``launch_ros`` is installed they
run, with small scripts as nodes.
"""

from __future__ import annotations

import importlib.util
import os
import runpy
import signal
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from worldsample_bringup.graph.graph import build_graph
from worldsample_bringup.graph.node_spec import NodeSpec
from worldsample_bringup.graph.viewer_process import viewer_process
from worldsample_bringup.run import required_packages
from worldsample_bringup.run.options import Mode, options_of
from worldsample_bringup.run.required_packages import PIP_LINE, require_packages
from worldsample_bringup.run.run_folder import RunFolder
from worldsample_bringup.viewer import web_viewer
from worldsample_core.config import ConfigError
from worldsample_core.settings import load_settings

LAUNCH_FILES = Path(__file__).parent.parent / "launch"
HAS_LAUNCH = importlib.util.find_spec("launch_ros") is not None
needs_launch = pytest.mark.skipif(not HAS_LAUNCH, reason="launch_ros is not installed")


class Entity:
    """Stands in for every class of launch: keeps what it was made with."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self.arguments = arguments
        self.__dict__.update(named)


def stand_ins() -> dict[str, ModuleType]:
    """Modules with the names that ``launching`` imports, each name a class of its own."""
    names = {
        "launch": ("LaunchContext", "LaunchDescription", "LaunchDescriptionEntity"),
        "launch.actions": (
            "DeclareLaunchArgument",
            "EmitEvent",
            "ExecuteProcess",
            "LogInfo",
            "OpaqueFunction",
            "RegisterEventHandler",
            "SetEnvironmentVariable",
            "TimerAction",
        ),
        "launch.event_handlers": ("OnProcessExit",),
        "launch.events": ("Shutdown",),
        "launch.events.process": ("ProcessExited",),
        "launch_ros": (),
        "launch_ros.actions": ("Node",),
    }
    modules = {}
    for module, classes in names.items():
        modules[module] = ModuleType(module)
        for name in classes:
            setattr(modules[module], name, type(name, (Entity,), {}))
    return modules


@pytest.fixture
def launching(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ros_domain: int) -> Iterator[Any]:
    """``worldsample_bringup.graph.launching`` on stand-ins, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROS_DOMAIN_ID", str(ros_domain))
    for name, module in stand_ins().items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "worldsample_bringup.graph.launching", raising=False)
    yield importlib.import_module("worldsample_bringup.graph.launching")
    release(sys.modules.pop("worldsample_bringup.graph.launching"))


def release(module: Any) -> None:
    """Give domain and run folder back, as the end of ``ros2 launch`` does."""
    for held in module._held:
        (held.release if hasattr(held, "release") else held.close)()
    module._held.clear()


def described(mode: Mode) -> list[Any]:
    description = runpy.run_path(str(LAUNCH_FILES / f"{mode}.launch.py"))["generate_launch_description"]()
    return list(description.arguments[0])


def started(mode: Mode, **said: str) -> list[Any]:
    """The entities that the launch file starts with these arguments."""
    opaque = described(mode)[-1]
    return list(opaque.function(SimpleNamespace(launch_configurations=said, argv=[])))


ACTIONS = ("Node", "ExecuteProcess")


def nodes_of(entities: list[Any]) -> list[Any]:
    return [entity for entity in entities if type(entity).__name__ == "Node"]


def test_missing_packages_are_named_once_before_anything_starts(
    launching: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """On a sourced ROS 2 without the pip line: one sentence, no run folder, no node."""
    absent = {"torch", "mujoco", "rosbags", "safetensors", "tensorboardX"}
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "worldsample_bringup.run.required_packages.find_spec",
        lambda name: None if name in absent else find(name),
    )
    with pytest.raises(ConfigError, match="torch, safetensors, rosbags, tensorboardX, mujoco") as said:
        started("train", machine="cpu", task="pushing", sim="true")
    assert PIP_LINE in str(said.value)
    assert not (tmp_path / "runs").exists()
    root = LAUNCH_FILES.parent.parent.parent
    for page in ("README.md", "docs/ros2.md"):
        assert PIP_LINE in (root / page).read_text(), f"{page} names another line"
    monkeypatch.setattr("worldsample_bringup.run.required_packages.find_spec", find)
    require_packages(simulated=True)


@pytest.mark.parametrize("mode", ["train", "demos", "label"])
def test_the_launch_file_starts_the_nodes_of_the_graph(launching: Any, mode: Mode, tmp_path: Path) -> None:
    nodes = nodes_of(started(mode, machine="cpu", seed="4", task="pushing", sim="true"))
    (config,) = (tmp_path / "runs").glob("*/config.yaml")
    settings = load_settings(config)
    assert settings.run.seed == 4
    graph = build_graph(settings, config)
    assert len(nodes) == len(graph) == {"train": 6, "demos": 4, "label": 4}[mode]
    for node, spec in zip(nodes, graph, strict=True):
        assert (node.package, node.executable, node.name) == (spec.package, spec.executable, spec.name)
        assert node.parameters == [dict(spec.parameters)] and node.remappings == list(spec.remappings)
        assert node.additional_env == dict(spec.environment)
        assert (node.prefix or "") == (f"nice -n {spec.nice}" if spec.nice else "")


@pytest.mark.parametrize("mode", ["train", "eval", "demos", "label"])
def test_every_option_is_a_documented_launch_argument(launching: Any, mode: Mode) -> None:
    *arguments, _ = described(mode)
    names = [argument.arguments[0] for argument in arguments]
    assert names == [*(option.name for option in options_of(mode)), "watch", "watch_port", "overrides"]
    assert all(len(argument.description) > 10 for argument in arguments)
    # `--show-args` prints "(default: '')" itself: a second default in the description would contradict it.
    assert not any("default" in argument.description for argument in arguments)


def test_a_misspelt_launch_argument_is_refused(launching: Any) -> None:
    command = ["/opt/ros/bin/ros2", "launch", "worldsample_bringup", "train.launch.py", "tsk:=pushing"]
    with pytest.raises(ConfigError, match="did you mean 'task'"):
        launching.refuse_unknown_arguments("train", ["tsk:=pushing"], command)
    with pytest.raises(ConfigError, match="did you mean 'watch'"):
        launching.refuse_unknown_arguments("train", ["wacth:=true"], command)
    known = ["task:=pushing", "watch:=true", "watch_port:=9190", "overrides:=a.b=1"]
    launching.refuse_unknown_arguments("train", known, command)
    including = ["ros2", "launch", "mine", "my_cell.launch.py", "tsk:=x"]
    launching.refuse_unknown_arguments("train", ["tsk:=x"], including)


def test_launch_arguments_become_settings(launching: Any, tmp_path: Path) -> None:
    said = {"machine": "cpu", "realtime": "true", "name": "mine", "overrides": "learner.lr=1e-4 run.demos=3"}
    nodes = nodes_of(started("train", **said))
    settings = load_settings(tmp_path / "runs" / "mine" / "config.yaml")
    assert not settings.run.lockstep and settings.learner["lr"] == 1e-4 and settings.run.demos == 3
    assert next(node for node in nodes if node.name == "learner").prefix == "nice -n 10"


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"seed": "one"}, "whole number"),
        ({"quick": "yes"}, "true or false"),
        ({"task": "nothing"}, "unknown task"),
        ({"overrides": "learner.lrr=1"}, "unknown setting"),
    ],
)
def test_wrong_launch_arguments_are_said(
    launching: Any, said: dict[str, str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        started("train", machine="cpu", **said)
    assert not (tmp_path / "runs").exists()


def test_a_second_launch_on_the_domain_is_refused(launching: Any, tmp_path: Path, ros_domain: int) -> None:
    started("train", machine="cpu")
    with pytest.raises(RuntimeError, match=f"ROS domain {ros_domain} is in use"):
        started("train", machine="cpu")
    assert len(list((tmp_path / "runs").iterdir())) == 1


def exit_of(entities: list[Any], name: str, code: int) -> Any:
    """The answer of the handler of a node's exit."""
    index = next(i for i, e in enumerate(entities) if type(e).__name__ in ACTIONS and e.name == name)
    handler = entities[index - 1].arguments[0]
    assert handler.target_action is entities[index]
    return handler.on_exit(SimpleNamespace(returncode=code), SimpleNamespace(is_shutdown=False))


def test_exits_mean_what_the_graph_says(launching: Any) -> None:
    entities = started("train", machine="cpu")
    (shutdown,) = exit_of(entities, "dashboard", 0)
    assert type(shutdown.event).__name__ == "Shutdown"
    assert exit_of(entities, "policy", 0) is None and exit_of(entities, "learner", 0) is None
    for name, code in (("dashboard", 1), ("policy", -9), ("a1x", 0), ("operator", 1), ("learner", 2)):
        with pytest.raises(RuntimeError, match=name):
            exit_of(entities, name, code)


def test_a_crashed_learner_is_launched_again_but_not_for_ever(launching: Any) -> None:
    entities, delays = started("train", machine="cpu"), []
    for _ in range(launching.RESTARTS):
        _, timer = exit_of(entities, "learner", -11)
        entities = timer.actions
        delays.append(timer.period)
    assert delays == sorted(delays) and delays[0] == 1.0
    with pytest.raises(RuntimeError, match="learner failed"):
        exit_of(entities, "learner", -11)


def test_a_world_model_that_crashes_again_and_again_is_spared(launching: Any) -> None:
    entities = started("train", machine="cpu", method="worldsample")
    for _ in range(launching.RESTARTS):
        _, timer = exit_of(entities, "worldmodel", -11)
        entities = timer.actions
    (said,) = exit_of(entities, "worldmodel", -11)
    assert type(said).__name__ == "LogInfo" and "without it" in said.msg
    with pytest.raises(RuntimeError, match="worldmodel failed"):
        exit_of(entities, "worldmodel", 2)


def test_a_launched_run_is_watched_where_it_is_asked_for(
    launching: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The viewer is the one of `train --watch`; its end is told, and ends nothing."""
    asked: list[int] = []
    monkeypatch.setattr(required_packages, "require_viewer", lambda: None)
    monkeypatch.setattr(web_viewer, "require_free_ports", asked.append)
    entities = started("train", machine="cpu", name="mine", watch="true", watch_port="9190")
    (viewer,) = (entity for entity in entities if type(entity).__name__ == "ExecuteProcess")
    spec = viewer_process(RunFolder(tmp_path / "runs" / "mine"), 9190)
    assert viewer.cmd == list(spec.command) and asked == [9190]
    assert viewer.prefix is None  # it would not be there in time on a busy computer; it gives way later
    (said,) = exit_of(entities, "watch", 1)
    assert type(said).__name__ == "LogInfo" and "goes on without it" in said.msg


def test_a_viewer_that_cannot_start_is_said_before_the_run(
    launching: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(required_packages, "require_viewer", lambda: None)
    with pytest.raises(ConfigError, match="1024"):
        started("train", machine="cpu", watch="true", watch_port="80")
    assert not (tmp_path / "runs").exists()


SLEEP = "time.sleep(60)"
SCRIPTS = {"sim_node": SLEEP, "operator_node": SLEEP, "policy_node": SLEEP, "learner_node": SLEEP}


@pytest.fixture
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ros_domain: int) -> Path:
    """An ament prefix in which scripts stand for the nodes of the packages."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROS_DOMAIN_ID", str(ros_domain))
    monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path / "log"))
    prefix = tmp_path / "prefix"
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"{prefix}{os.pathsep}{os.environ['AMENT_PREFIX_PATH']}")
    return prefix


def install(prefix: Path, nodes: tuple[NodeSpec, ...], **scripts: str) -> None:
    for node in nodes:
        marker = prefix / "share" / "ament_index" / "resource_index" / "packages" / node.package
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.touch()
        path = prefix / "lib" / node.package / node.executable
        path.parent.mkdir(parents=True, exist_ok=True)
        code = {**SCRIPTS, **scripts}[node.executable]
        path.write_text(f"#!{sys.executable} -SE\nimport os, sys, time\nprint('up', flush=True)\n{code}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)


def launch_for_real(prefix: Path, **scripts: str) -> int:
    """Run train.launch.py in a LaunchService. Returns its exit code."""
    from launch import LaunchDescription, LaunchService  # type: ignore[attr-defined]
    from launch.actions import IncludeLaunchDescription
    from launch.launch_description_sources import PythonLaunchDescriptionSource

    from worldsample_bringup.run import prepare
    from worldsample_bringup.run.options import Request

    plan = prepare.plan(Request("train", method="hil_serl", machine="cpu"), Path("nowhere"))
    install(prefix, build_graph(plan.settings, plan.folder.config), **scripts)
    service = LaunchService(argv=[], noninteractive=True)
    source = PythonLaunchDescriptionSource(str(LAUNCH_FILES / "train.launch.py"))
    description = IncludeLaunchDescription(
        source, launch_arguments={"method": "hil_serl", "machine": "cpu", "name": "mine"}.items()
    )
    service.include_launch_description(LaunchDescription([description]))
    before = signal.getsignal(signal.SIGINT)
    try:
        return int(service.run(shutdown_when_idle=True))
    finally:
        signal.signal(signal.SIGINT, before)
        release(sys.modules["worldsample_bringup.graph.launching"])


@needs_launch
def test_real_launch_ends_well_when_the_dashboard_is_done(prefix: Path, tmp_path: Path) -> None:
    assert launch_for_real(prefix, dashboard_node="time.sleep(1)") == 0
    assert (tmp_path / "runs" / "mine" / "config.yaml").exists()


@needs_launch
def test_real_launch_fails_with_a_needed_node(prefix: Path) -> None:
    assert launch_for_real(prefix, dashboard_node=SLEEP, policy_node="time.sleep(0.5); sys.exit(3)") == 1


@needs_launch
def test_real_launch_starts_a_crashed_learner_again(prefix: Path, tmp_path: Path) -> None:
    crash_once = (
        "first = not os.path.exists('crashed'); open('crashed', 'a').write('x')\n"
        "if first: os.abort()\n"
        "time.sleep(60)"
    )
    code = launch_for_real(prefix, dashboard_node="time.sleep(4)", learner_node=crash_once)
    assert code == 0 and (tmp_path / "crashed").read_text() == "xx"

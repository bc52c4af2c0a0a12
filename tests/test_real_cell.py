"""The real cell's graph: which nodes start, and what is asked for where the hardware is not described."""

from __future__ import annotations

from pathlib import Path

import pytest

from worldsample_bringup.graph import real_cell
from worldsample_bringup.graph.graph import build_graph
from worldsample_bringup.graph.node_command import process_for
from worldsample_bringup.graph.node_spec import NodeSpec
from worldsample_bringup.run import prepare
from worldsample_bringup.run.options import Request
from worldsample_core.config import ConfigError

pytestmark = pytest.mark.real_time

SERIALS = ("driver.cameras.side_serial='831612073525'", "driver.cameras.wrist_serial=_831612073526")


def graph(tmp_path: Path, *overrides: str, real: bool = True) -> dict[str, NodeSpec]:
    plan = prepare.plan(Request("train", machine="cpu", real=real, overrides=overrides), tmp_path)
    return {node.name: node for node in build_graph(plan.settings, plan.folder.config)}


def test_stand_ins_take_the_places_of_arm_cameras_and_person(tmp_path: Path) -> None:
    nodes = graph(tmp_path, "driver.standin=true")
    assert list(nodes) == [
        "standin_arm",
        "standin_cameras",
        "standin_person",
        "a1x",
        "operator",
        "policy",
        "learner",
        "worldmodel",
        "dashboard",
    ]
    assert nodes["a1x"].executable == "driver_node" and nodes["operator"].executable == "teleop_node"
    for node in nodes.values():
        assert process_for(node).command[1] == "-m", "each runs without an installation"
    assert "standin_person" not in graph(tmp_path, "driver.standin=true", "driver.standins.person=false")


def test_everything_but_the_cell_is_the_same_as_in_simulation(tmp_path: Path) -> None:
    real, sim = graph(tmp_path, "driver.standin=true"), graph(tmp_path, real=False)
    assert [n for n in sim if n not in ("a1x", "operator")] == [
        n for n in real if n not in ("a1x", "operator") and not n.startswith("standin")
    ]


def test_realsense_ros_3494_two_cameras_by_serial_number_colour_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two D435i with depth do not keep 30 fps on one bus."""
    monkeypatch.setattr(real_cell, "_is_installed", lambda package: package == "realsense2_camera")
    nodes = graph(tmp_path, *SERIALS)
    for view, serial in (("side", "_831612073525"), ("wrist", "_831612073526")):
        node = nodes[view]
        assert (node.package, node.executable) == ("realsense2_camera", "realsense2_camera_node")
        assert node.parameters["serial_no"] == serial
        assert node.parameters["enable_depth"] is False and node.parameters["enable_color"] is True
        assert node.parameters["rgb_camera.color_profile"] == "640x480x30"
    assert list(nodes)[2:4] == ["a1x", "operator"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ((), "driver.cameras.side_serial and driver.cameras.wrist_serial must be set"),
        (("driver.cameras.side_serial='1'", "driver.cameras.wrist_serial='1'"), "must differ"),
        (SERIALS, "realsense2_camera is not installed"),
        (("driver.standin=true", "run.lockstep=true"), "does not wait"),
    ],
)
def test_what_is_missing_is_said_with_the_remedy(
    tmp_path: Path, overrides: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(real_cell, "_is_installed", lambda package: False)
    with pytest.raises(ConfigError, match=message):
        graph(tmp_path, *overrides)


def test_cameras_and_keyboard_can_be_left_to_the_person(tmp_path: Path) -> None:
    nodes = graph(tmp_path, "driver.cameras.source=external", "teleop.device=keyboard")
    assert next(iter(nodes)) == "a1x" and "operator" not in nodes


def test_a_device_s_driver_starts_where_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(real_cell, "_is_installed", lambda package: True)
    nodes = graph(tmp_path, "driver.cameras.source=external", "teleop.device=spacemouse")
    assert (nodes["spacenav_node"].package, next(iter(nodes))) == ("spacenav", "a1x")


def test_real_and_sim_contradict_each_other(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="contradict"):
        prepare.plan(Request("train", machine="cpu", real=True, sim=True), tmp_path)


@pytest.mark.parametrize(
    "override",
    [
        "driver.limits.joint_velocity=[9,9,9,9,9,9]",
        "driver.watchdog.command=0",
        "driver.limitz=1",
        "teleop.rate=-1",
    ],
)
def test_a_wrong_driver_setting_ends_before_any_node_starts(tmp_path: Path, override: str) -> None:
    with pytest.raises(ConfigError):
        graph(tmp_path, override)

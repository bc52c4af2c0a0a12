"""The nodes of the real cell: arm driver, two cameras, the operator's devices; or stand-ins."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from a1x_driver.driver_config import CameraNodes, DriverConfig
from a1x_driver.teleop_config import TeleopConfig
from worldsample_bringup.graph.arm_description import with_description
from worldsample_bringup.graph.node_spec import ONE_THREAD, NodeSpec
from worldsample_core.config import ConfigError, from_mapping
from worldsample_core.observation import VIEWS
from worldsample_core.settings import Settings


def real_cell(settings: Settings, parameters: Mapping[str, str]) -> tuple[NodeSpec, ...]:
    """The nodes of the real cell, in the order in which they start.

    Raises:
        ConfigError: something about the hardware is missing in the settings, or is not installed.
    """
    if settings.run.lockstep:
        raise ConfigError("a real arm does not wait: run.lockstep must be false (as --real makes it)")
    config = from_mapping(DriverConfig, settings.driver, "driver")
    arm = with_description(parameters)
    driver = NodeSpec("a1x_driver", "driver_node", "a1x", arm, environment=ONE_THREAD)
    if config.standin:
        return (*_stand_ins(config, parameters), driver, _teleop(parameters))
    return (*cameras(config.cameras), driver, *person(settings, parameters))


def _stand_ins(config: DriverConfig, parameters: Mapping[str, str]) -> tuple[NodeSpec, ...]:
    names = [("standin_arm_node", "standin_arm"), ("standin_camera_node", "standin_cameras")]
    if config.standins.person:
        names.append(("standin_person_node", "standin_person"))
    return tuple(
        NodeSpec("a1x_driver", executable, name, parameters, environment=ONE_THREAD)
        for executable, name in names
    )


def cameras(config: CameraNodes) -> tuple[NodeSpec, ...]:
    """A ``realsense2_camera`` node for each view, colour only; none where somebody else publishes them.

    A node named ``side`` in the root namespace publishes ``/side/color/image_raw``: the graph's topic.

    Raises:
        ConfigError: a serial number is missing, or the package is not installed.
    """
    if config.source == "external":
        return ()
    serials = {"side": config.side_serial.lstrip("_"), "wrist": config.wrist_serial.lstrip("_")}
    missing = [f"driver.cameras.{view}_serial" for view in VIEWS if not serials[view]]
    if missing:
        raise ConfigError(
            f"{' and '.join(missing)} must be set (rs-enumerate-devices shows the numbers), or set "
            "driver.cameras.source=external where another node publishes the images"
        )
    if serials["side"] == serials["wrist"]:
        raise ConfigError(f"both cameras have the serial number {serials['side']}: they must differ")
    if not _is_installed("realsense2_camera"):
        raise ConfigError(
            "realsense2_camera is not installed: sudo apt install ros-$ROS_DISTRO-realsense2-camera, or "
            "start the cameras yourself and set driver.cameras.source=external"
        )
    return tuple(
        NodeSpec(
            "realsense2_camera",
            "realsense2_camera_node",
            view,
            {
                "serial_no": f"_{serials[view]}",  # the underscore keeps it a text
                "camera_name": view,
                "rgb_camera.color_profile": config.profile,
                "rgb_camera.color_format": "RGB8",
                "rgb_camera.enable_auto_exposure": config.auto_exposure,
                "enable_color": True,
                "enable_depth": False,
                "enable_infra1": False,
                "enable_infra2": False,
                "color_qos": "SENSOR_DATA",
                "diagnostics_period": 1.0,
            },
        )
        for view in VIEWS
    )


def _teleop(parameters: Mapping[str, str]) -> NodeSpec:
    return NodeSpec("a1x_driver", "teleop_node", "operator", parameters, environment=ONE_THREAD)


def person(settings: Settings, parameters: Mapping[str, str]) -> tuple[NodeSpec, ...]:
    """The node of a person as operator, and their device's driver where it is installed.

    A keyboard needs a terminal of its own: the person starts that node (``worldsample teleop``).
    """
    teleop = from_mapping(TeleopConfig, settings.teleop, "teleop")
    operator = _teleop(parameters)
    if teleop.device == "keyboard":
        return ()
    package, executable = {"joy": ("joy", "joy_node"), "spacemouse": ("spacenav", "spacenav_node")}[
        teleop.device
    ]
    if not _is_installed(package):
        return (operator,)
    return (NodeSpec(package, executable, executable), operator)


def _is_installed(package: str) -> bool:
    prefixes = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    index = "share/ament_index/resource_index/packages"
    return any(Path(prefix, index, package).exists() for prefix in prefixes if prefix)

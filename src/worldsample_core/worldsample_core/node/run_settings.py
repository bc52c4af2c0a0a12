"""The run's settings, as a node finds them by its parameter ``config``."""

from __future__ import annotations

from rclpy.node import Node

from worldsample_core.config import ConfigError
from worldsample_core.node.fixed_parameter import fixed_parameter
from worldsample_core.settings import Settings, load_settings


def run_settings(node: Node) -> Settings:
    """Declare the parameter ``config`` of ``node`` and read the ``config.yaml`` that it names.

    Raises:
        ConfigError: the parameter is missing, or the file is unusable.
    """
    path = fixed_parameter(node, "config", "", "Path of the run's config.yaml.")
    if not path:
        raise ConfigError("the parameter `config` (path of the run's config.yaml) is missing")
    return load_settings(path)


def require_image_size(settings: Settings, name: str, size: int) -> None:
    """Raises :class:`ConfigError` where the setting ``name`` is of another image size than the run's."""
    if size != settings.run.image_size:
        raise ConfigError(f"{name} is {size}, run.image_size {settings.run.image_size}: make them equal")

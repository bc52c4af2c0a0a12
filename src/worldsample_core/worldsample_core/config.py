"""Configuration: YAML layers into strict dataclasses.

A run is described by one resolved YAML (``config.yaml`` in its run folder). It is made of layers,
later ones winning::

    defaults <- config/machines/<machine>.yaml <- config/methods/<method>.yaml <- config/tasks/<task>.yaml
             <- section.key=value

An unknown key is an error that names the nearest ones: a typing mistake is seen before training starts.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from worldsample_core.command_name import command_name
from worldsample_core.strict_yaml import UnusableYaml, load_yaml
from worldsample_core.units import NEVER_NEGATIVE, ControlSteps, Metres, Radians, RealSteps, Seconds

T = TypeVar("T")


class ConfigError(ValueError):
    """A configuration that cannot be used; the message says where, why and what would work."""


FEW = 12
"""Up to so many known names are listed in an error; of more, only those nearest to the mistaken one."""


def _unknown(name: str, known: Iterable[str], what: str, listing: str = "") -> ConfigError:
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=3) or difflib.get_close_matches(name, names, 1, 0.4)
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else "."
    others = f" Known: {', '.join(names)}" if len(names) <= FEW or not listing else f" {listing}"
    return ConfigError(f"unknown {what} {name!r}{hint}{others}")


def choose(name: str, known: Iterable[str], what: str) -> str:
    """``name`` if it is known. Raises :class:`ConfigError` listing what is known otherwise."""
    names = list(known)
    if name not in names:
        raise _unknown(name, names, what)
    return name


def _convert(value: Any, kind: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if origin is typing.Annotated:
        converted = _convert(value, arguments[0], where)
        if arguments[1] in NEVER_NEGATIVE and not converted >= 0:
            raise ConfigError(f"{where}: {arguments[1]} cannot be negative, got {value!r}")
        return converted
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        inner = [argument for argument in arguments if argument is not type(None)]
        return _convert(value, inner[0], where)
    if origin is typing.Literal:
        if value not in arguments:
            raise ConfigError(f"{where}: {value!r} is not one of {', '.join(map(repr, arguments))}")
        return value
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where}: expected a section, got {value!r}")
        return from_mapping(typing.cast(type, kind), value, where)
    if origin in (tuple, list):
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise ConfigError(f"{where}: expected a list, got {value!r}")
        if origin is tuple and arguments and arguments[-1] is not Ellipsis:
            if len(value) != len(arguments):
                raise ConfigError(f"{where}: expected {len(arguments)} values, got {len(value)}")
            return tuple(
                _convert(v, a, f"{where}[{i}]") for i, (v, a) in enumerate(zip(value, arguments, strict=True))
            )
        inner_kind = arguments[0] if arguments else Any
        items = [_convert(v, inner_kind, f"{where}[{i}]") for i, v in enumerate(value)]
        return tuple(items) if origin is tuple else items
    if origin is dict:
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where}: expected a section, got {value!r}")
        return dict(value)
    if kind is float and isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            number = float(value)  # YAML reads 1e-4 as text
        except (ValueError, OverflowError):
            number = math.nan
        if not math.isnan(number):
            return number
        raise ConfigError(f"{where}: expected float, got {value!r}")
    if isinstance(kind, type) and isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
        return value
    raise ConfigError(f"{where}: expected {getattr(kind, '__name__', kind)}, got {value!r}")


def from_mapping(kind: type[T], values: Mapping[str, Any], where: str = "config") -> T:
    """Build dataclass ``kind`` from ``values``.

    Raises:
        ConfigError: an unknown key, a missing one, or a value of the wrong type.
    """
    hints = typing.get_type_hints(kind, include_extras=True)
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}  # type: ignore[arg-type]
    arguments: dict[str, Any] = {}
    for key, value in values.items():
        if key not in fields:
            listing = f"All of them: {command_name()} settings {where}"
            raise _unknown(str(key), fields, f"setting in {where!r}:", listing)
        arguments[key] = _convert(value, hints[key], f"{where}.{key}")
    missing = [
        name
        for name, field in fields.items()
        if name not in arguments
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ConfigError(f"{where}: missing {', '.join(missing)}")
    try:
        return kind(**arguments)
    except ConfigError:
        raise
    except (ValueError, OverflowError) as error:
        raise ConfigError(f"{where}: {error}") from error


def to_mapping(config: Any) -> Any:
    """The inverse of :func:`from_mapping`: plain dicts, lists and scalars, ready for YAML."""
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        return {field.name: to_mapping(getattr(config, field.name)) for field in dataclasses.fields(config)}
    if isinstance(config, Mapping):
        return {key: to_mapping(value) for key, value in config.items()}
    if isinstance(config, (list, tuple)):
        return [to_mapping(value) for value in config]
    return config


def merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Merge nested mappings; a later layer replaces the keys of an earlier one."""
    result: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            if isinstance(value, Mapping) and isinstance(result.get(key), Mapping):
                result[key] = merge(result[key], value)
            else:
                result[key] = merge(value) if isinstance(value, Mapping) else value
    return result


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file as a mapping. Raises :class:`ConfigError` where it is missing or is not one."""
    try:
        values = load_yaml(path.read_bytes())
    except FileNotFoundError:
        raise ConfigError(f"there is no configuration file {path}") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except UnusableYaml as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected sections, got {type(values).__name__}")
    return values


def parse_override(text: str) -> dict[str, Any]:
    """``section.key=value`` as a nested mapping; the value is read as YAML."""
    path, separator, value = text.partition("=")
    keys = path.strip().split(".")
    if not separator or not all(keys):
        raise ConfigError(f"an override looks like section.key=value, got {text!r}")
    try:
        result: Any = load_yaml(value)
    except UnusableYaml as error:
        raise ConfigError(f"the value of {text!r} is not valid YAML: {error}") from error
    for key in reversed(keys):
        result = {key: result}
    return typing.cast(dict[str, Any], result)


@dataclasses.dataclass(frozen=True)
class TaskConfig:
    """Limits of a task: how the arm may move, and for how long."""

    name: str
    """Name of the task."""
    horizon: ControlSteps
    """Control steps until an episode is truncated."""
    gamma: float
    """Discount per control step."""
    active: tuple[bool, bool, bool, bool, bool, bool, bool]
    """Which of the 7 action dimensions the task uses: x, y, z, roll, pitch, yaw, gripper."""
    action_scale: tuple[float, float, float, float, float, float, float]
    """Motion per control step at action 1: m (3), rad (3), 1 (gripper)."""
    box_low: tuple[Metres, Metres, Metres]
    """Lowest x, y, z of the end effector's workspace box, in base_link."""
    box_high: tuple[Metres, Metres, Metres]
    """Highest x, y, z of the end effector's workspace box, in base_link."""
    reset_joints: tuple[Radians, Radians, Radians, Radians, Radians, Radians]
    """Arm joints at the start of an episode."""
    reset_gripper: float
    """Opening of the gripper at the start of an episode, 0 closed .. 1 open."""
    max_real_steps: RealSteps
    """Budget of training."""
    control_period: Seconds = 0.1
    """Time of one control step."""

    def __post_init__(self) -> None:
        if self.horizon < 1 or self.max_real_steps < 1:
            raise ValueError("horizon and max_real_steps must be at least 1")
        if not 0.001 <= self.control_period <= 10.0:
            raise ValueError(f"control_period must be from 0.001 to 10 s, got {self.control_period}")
        if not 0.0 <= self.gamma < 1.0:
            raise ValueError(f"gamma must be in [0, 1), got {self.gamma}")
        if not any(self.active):
            raise ValueError("a task needs at least one active action dimension")
        if any(low >= high for low, high in zip(self.box_low, self.box_high, strict=True)):
            raise ValueError(f"the workspace box is empty: {self.box_low} .. {self.box_high}")
        if not 0.0 <= self.reset_gripper <= 1.0:
            raise ValueError("reset_gripper must be in [0, 1]")

    @property
    def active_mask(self) -> NDArray[np.bool_]:
        """The active dimensions of an action, ``(7,) bool``."""
        return np.asarray(self.active, dtype=np.bool_)

    @property
    def scale(self) -> NDArray[np.float32]:
        """The action scale, ``(7,) float32``: action * scale = physical motion per control step."""
        return np.asarray(self.action_scale, dtype=np.float32)

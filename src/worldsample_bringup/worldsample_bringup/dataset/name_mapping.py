"""The column of a foreign dataset for each camera, state and action of ours: found by name, and explained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from worldsample_bringup.dataset.lerobot_format import (
    ACTION,
    ACTION_NAMES,
    STATE,
    STATE_NAMES,
    DatasetInfo,
    element_names,
)
from worldsample_core.config import ConfigError, TaskConfig, choose
from worldsample_core.observation import VIEWS

NONE = "none"
"""Stands for a number that a dataset does not have: it is 0 then."""

VELOCITIES = STATE_NAMES[7:]
ALIASES = {
    **{f"d{axis}": (f"delta_{axis}", f"delta_{axis}_ee") for axis in ("x", "y", "z", "rx", "ry", "rz")},
    **{axis: (f"ee_{axis}", f"ee.{axis}") for axis in STATE_NAMES[:6]},
    "gripper": ("gripper_pos", "gripper.pos", "gripper_position", "gripper_delta"),
}
"""Other names under which a number is found by itself."""

Unit = Literal["normalised", "si"]


@dataclass(frozen=True)
class Element:
    """One number of a foreign vector, or a constant 0 where ``feature`` is ""."""

    feature: str = ""
    index: int = 0
    label: str = NONE


@dataclass(frozen=True)
class NameMapping:
    """Place of each of our cameras and numbers in a foreign dataset.

    Attributes:
        cameras: name of the feature of each view, in the order of VIEWS.
        state: the ten numbers of the proprioception; None: a velocity, computed from the positions.
        action: the seven numbers of the action.
    """

    cameras: tuple[str, ...]
    state: tuple[Element | None, ...]
    action: tuple[Element, ...]

    def explained(self) -> list[str]:
        """One line for each camera and for each vector."""
        lines = [f"  {view:<7} <- {name}" for view, name in zip(VIEWS, self.cameras, strict=True)]
        state = (
            f"{name} <- {'positions' if element is None else element.label}"
            for name, element in zip(STATE_NAMES, self.state, strict=True)
        )
        action = (
            f"{name} <- {element.label}" for name, element in zip(ACTION_NAMES, self.action, strict=True)
        )
        return [*lines, f"  state   {', '.join(state)}", f"  action  {', '.join(action)}"]


def parse_entries(texts: Sequence[str]) -> dict[str, str]:
    """``--map OURS=THEIRS`` texts as a mapping. Raises :class:`ConfigError` for an unknown OURS."""
    known = [*VIEWS, *(f"state.{name}" for name in STATE_NAMES), *(f"action.{name}" for name in ACTION_NAMES)]
    entries = {}
    for text in texts:
        ours, separator, theirs = text.partition("=")
        if not separator or not theirs:
            raise ConfigError(f"--map looks like OURS=THEIRS, got {text!r}")
        entries[choose(ours, known, "name of ours in --map:")] = theirs
    return entries


def find_mapping(info: DatasetInfo, entries: Mapping[str, str], task: TaskConfig) -> NameMapping:
    """The mapping that a person gave, completed by names.

    Raises:
        ConfigError: something is not found or not unique; the message lists what there is, and how to say it.
    """
    cameras = tuple(_camera(info, view, entries.get(view, "")) for view in VIEWS)
    if len(set(cameras)) < len(cameras):
        raise ConfigError(f"both views would be {cameras[0]!r}: say --map side=NAME --map wrist=NAME")
    state = tuple(_number(info, STATE, "state", name, entries, name in VELOCITIES) for name in STATE_NAMES)
    if None in state and None not in state[7:]:
        raise ConfigError("positions cannot be computed from velocities")
    action = []
    for name, active in zip(ACTION_NAMES, task.active, strict=True):
        found = _number(info, ACTION, "action", name, entries, not active)
        action.append(found or Element())
    return NameMapping(cameras, state, tuple(action))


def _camera(info: DatasetInfo, view: str, given: str) -> str:
    names = {camera: camera for camera in info.cameras}
    names |= {camera.removeprefix("observation.images."): camera for camera in info.cameras}
    if given:
        return names[choose(given, names, f"camera of the dataset for the view {view!r}:")]
    if view in names:
        return names[view]
    near = [camera for camera in info.cameras if view in camera]
    if len(near) == 1:
        return near[0]
    raise ConfigError(
        f"which camera is the view {view!r}? The dataset has {', '.join(info.cameras) or 'none'}.\n"
        f"  Say --map {view}=NAME"
    )


def _number(
    info: DatasetInfo, feature: str, kind: str, name: str, entries: Mapping[str, str], optional: bool
) -> Element | None:
    """One number of ours in the dataset; None where it is optional and not there."""
    given = entries.get(f"{kind}.{name}", "")
    if given == NONE:
        return Element()
    holder, _, element = given.rpartition(":")
    holder = holder or feature
    if holder not in info.features or len(info.features[holder]["shape"]) != 1:
        vectors = [key for key, value in info.features.items() if len(value["shape"]) == 1]
        raise ConfigError(
            f"the dataset has no vector {holder!r} for {kind}.{name}; it has {', '.join(vectors)}.\n"
            f"  Say --map {kind}.{name}=FEATURE:ELEMENT"
        )
    names = element_names(info.features[holder])
    if element:
        places = {**{str(index): index for index in range(len(names))}, **{n: i for i, n in enumerate(names)}}
        return Element(
            holder, places[choose(element, places, f"element of {holder}:")], f"{holder}:{element}"
        )
    for candidate in (name, *ALIASES.get(name, ())):
        if candidate in names:
            return Element(holder, names.index(candidate), candidate)
    if optional:
        return None
    raise ConfigError(
        f"where is {kind}.{name} ({_meaning(kind, name)})? {holder} has {', '.join(names)}.\n"
        f"  Say --map {kind}.{name}=ELEMENT, or --map {kind}.{name}={NONE} where it is always 0."
    )


def _meaning(kind: str, name: str) -> str:
    """Meaning of one of our numbers, for people."""
    if name == "gripper":
        return "0 closed .. 1 open" if kind == "state" else "-1 closes, 1 opens, 0 leaves it"
    if kind == "action":
        return "motion of the end effector in one control step"
    return "rotation vector of the end effector from the reset pose, rad" if "r" in name else "m in base_link"

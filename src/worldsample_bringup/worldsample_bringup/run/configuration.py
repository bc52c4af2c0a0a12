"""Layers of YAML into the settings of a run.

Later layers win: config/machines/<machine>.yaml, config/methods/<method>.yaml, config/tasks/<task>.yaml,
config/quick.yaml (with ``--quick``), ``section.key=value``. The rest keeps its dataclass's default.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from a1x_sim.simulated_cameras import calibrations
from a1x_sim.tasks import make_task
from worldsample_core.config import (
    ConfigError,
    TaskConfig,
    choose,
    from_mapping,
    merge,
    parse_override,
    read_yaml,
    to_mapping,
)
from worldsample_core.extension_path import METHOD_PATH, TASK_PATH, extension_files
from worldsample_core.messages.images import square_of
from worldsample_core.observation import VIEWS, InvalidObservation
from worldsample_core.settings import CamerasConfig, RunConfig, Settings

SECTION_CLASSES = {
    "learner": ("worldsample_policy.learner_config", "LearnerConfig"),
    "operator": ("a1x_sim.operator", "OperatorConfig"),
    "worldmodel": ("worldsample_worldmodel.worldmodel_config", "WorldModelNodeConfig"),
    "sim": ("a1x_sim.sim_config", "SimConfig"),
    "driver": ("a1x_driver.driver_config", "DriverConfig"),
    "teleop": ("a1x_driver.teleop_config", "TeleopConfig"),
}
"""The dataclass by which a package reads its section; checked before any node starts."""


FOLLOWS_RUN = (("learner",), ("worldmodel", "model"), ("worldmodel", "reward"))
"""Sections whose image size and seed are the run's: models that contradict it would train on nothing."""

OWNED = {
    ("run", "directory"): "--run-dir or --name",
    ("run", "name"): "--name",
    ("run", "mode"): "the command: train, eval, demos or label",
    ("run", "method"): "--method",
    ("run", "machine"): "--machine",
    ("run", "resume"): "--resume",
    ("run", "checkpoint"): "eval --checkpoint",
    ("run", "demos_from"): "--demos-from",
    ("run", "classifier_from"): "--classifier-from",
    ("task", "name"): "--task",
}
"""Settings that decide where a run lives and which layers it has: no override may contradict them."""


def config_directory() -> Path:
    """``config/`` of the checkout, or of the installed package.

    Raises:
        ConfigError: there is none: the workspace is not built and sourced.
    """
    beside = Path(__file__).resolve().parent.parent.parent / "config"
    prefixes = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    installed = [Path(prefix, "share", "worldsample_bringup", "config") for prefix in prefixes if prefix]
    for directory in (beside, *installed):
        if (directory / "tasks").is_dir():
            return directory
    raise ConfigError(
        "the configuration of worldsample_bringup is not installed: build the workspace and source it"
    )


def known(kind: str) -> list[str]:
    """Names of the layers of one kind: "machines", "methods" or "tasks"."""
    return sorted(layer_files(kind))


def layer_files(kind: str, own: bool = True) -> dict[str, Path]:
    """Files of one kind of layer by name, sorted.

    Args:
        kind: "machines", "methods" or "tasks".
        own: with a person's own tasks and methods, from the folders of ``WORLDSAMPLE_TASK_PATH`` and
            ``WORLDSAMPLE_METHOD_PATH``.
    """
    files = {path.stem: path for path in sorted((config_directory() / kind).glob("*.yaml"))}
    variable = {"tasks": TASK_PATH, "methods": METHOD_PATH}.get(kind)
    theirs = extension_files(variable, ".yaml") if own and variable else {}
    for name in files.keys() & theirs.keys():
        raise ConfigError(
            f"{theirs[name]}: the {kind[:-1]} {name!r} comes with WorldSample: give yours another name"
        )
    return files | theirs


def read_layer(kind: str, name: str) -> dict[str, Any]:
    """One layer by its name. Raises :class:`ConfigError` naming the known ones."""
    files = layer_files(kind)
    return read_yaml(files[choose(name, files, kind[:-1])])


def named_layers(machine: str, method: str, task: str, quick: bool) -> list[tuple[str, dict[str, Any]]]:
    """The layers below the command line with their names, e.g. ``methods/vlaw.yaml``; "" leaves one out.

    ``quick.yaml`` has a part ``methods``: its entry with the method's name counts with this method only.
    """
    asked = (("machines", machine), ("methods", method), ("tasks", task))
    named = [(f"{kind}/{name}.yaml", read_layer(kind, name)) for kind, name in asked if name]
    if not quick:
        return named
    tiny = read_yaml(config_directory() / "quick.yaml")
    of_methods = tiny.pop("methods")
    return [*named, ("quick.yaml", merge(tiny, of_methods.get(method, {})))]


def layers(machine: str, method: str, task: str, quick: bool) -> dict[str, Any]:
    """The merged layers below the command line."""
    return merge(*(layer for _, layer in named_layers(machine, method, task, quick)))


def read_overrides(overrides: Sequence[str]) -> dict[str, Any]:
    """``section.key=value`` texts as one mapping.

    Raises:
        ConfigError: not of that form, or a setting that only an option may set.
    """
    for text in overrides:
        if "." not in text.partition("=")[0]:
            raise ConfigError(f"a setting looks like section.key=value, got {text!r}")
    values = merge(*map(parse_override, overrides))
    for (section, key), option in OWNED.items():
        if key in values.get(section, {}):
            raise ConfigError(f"{section}.{key} is set by {option}")
    return values


def make_settings(values: Mapping[str, Any]) -> Settings:
    """Settings with every section checked and complete.

    Raises:
        ConfigError: an unknown key, a value of the wrong type, or sections that contradict each other.
    """
    values = merge(values)
    for path in FOLLOWS_RUN:
        if path[0] != "worldmodel" or values.get("worldmodel", {}).get("enabled"):
            _follow_run(values, path)
    for section, (module, name) in SECTION_CLASSES.items():
        values[section] = to_mapping(from_mapping(_class(module, name), values.get(section, {}), section))
    settings = from_mapping(Settings, values)
    return _see_simulated_cameras(settings) if settings.run.sim else settings


def _see_simulated_cameras(settings: Settings) -> Settings:
    """Settings with the calibration of the cameras in the task's scene."""
    run, cameras = settings.run, settings.cameras
    size = cameras.width or run.image_size, cameras.height or run.image_size
    known = calibrations(make_task(settings.task.name, settings.task), size)
    for view in VIEWS:
        crop = cameras.calibration(view).crop
        try:
            square_of(*size, run.image_size, crop)
        except InvalidObservation as problem:
            raise ConfigError(
                f"cameras.{view}: {problem}; cameras.width and height say their size"
            ) from problem
        known[view] = replace(known[view], crop=crop)
    return replace(settings, cameras=replace(cameras, side=known["side"], wrist=known["wrist"]))


def _follow_run(values: dict[str, Any], path: tuple[str, ...]) -> None:
    """Give a section the run's image size and seed. Raises :class:`ConfigError` where it says otherwise."""
    run, section = values["run"], values
    for key in path:
        section = section.setdefault(key, {})
    for key in ("image_size", "seed"):
        if key in run:
            if section.get(key, run[key]) != run[key]:
                name = ".".join((*path, key))
                raise ConfigError(
                    f"{name}={section[key]} contradicts run.{key}={run[key]}: set run.{key} only"
                )
            section[key] = run[key]


def section_classes() -> dict[str, type]:
    """The dataclass of each section, in the order of ``config.yaml``."""
    known: dict[str, type] = {"run": RunConfig, "task": TaskConfig, "cameras": CamerasConfig}
    return known | {section: _class(*where) for section, where in SECTION_CLASSES.items()}


def _class(module: str, name: str) -> type:
    return getattr(import_module(module), name)  # type: ignore[no-any-return]


def write_config(path: Path, settings: Settings) -> None:
    """Write ``config.yaml``; readers see the old file or the new one, never a part."""
    text = "# All settings of this run, resolved. Nodes read it through their parameter `config`.\n"
    text += yaml.safe_dump(to_mapping(settings), sort_keys=False, default_flow_style=None, width=110)
    partial = path.with_suffix(".partial")
    partial.write_text(text)
    partial.replace(path)


def detect_machine() -> str:
    """Name of the machine's layer: "gpu" where torch can use one, else "cpu"."""
    if not (Path("/dev/nvidiactl").exists() or shutil.which("nvidia-smi")):
        return "cpu"
    import torch  # only here: it takes seconds

    return "gpu" if torch.cuda.is_available() else "cpu"

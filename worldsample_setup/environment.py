"""The variables under which everything of WorldSample runs.

`child_environment` is all that another program needs to start Python, ros2 or a node in the set-up
environment; the command `./worldsample env` prints the same as shell exports.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path

from worldsample_setup.home import Home, find_home
from worldsample_setup.stamp import Stamp, read_stamp

# Variables of an earlier ROS or colcon shell that would lead away from the wheels.
FOREIGN_PREFIXES = (
    "AMENT_PREFIX_PATH",
    "CMAKE_PREFIX_PATH",
    "COLCON_PREFIX_PATH",
    "ROS_DISTRO",
    "ROS_VERSION",
)


def environment_for(root: Path, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a checkout that is set up.

    Args:
        root: the checkout.
        environ: the caller's variables; this process's own if None.

    Raises:
        FileNotFoundError: the checkout is not set up.
    """
    environ = os.environ if environ is None else environ
    home = find_home(root, environ)
    stamp = read_stamp(home.stamp)
    if stamp is None:
        raise FileNotFoundError(f"{root} is not set up: run ./worldsample setup")
    return child_environment(home, stamp, environ)


def base_environment(home: Home, environ: Mapping[str, str]) -> dict[str, str]:
    """Python and ROS without the workspace: what colcon builds in.

    Home "wheels": the virtual environment is the only ROS prefix. LD_LIBRARY_PATH holds what the wheels'
    bootstrapper would set; with its mark set as well it does not start Python a second time.
    """
    env = dict(environ)
    env.pop("PYTHONHOME", None)
    # Byte code is kept in a folder of ours, even where the caller's shell forbids it elsewhere.
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    env["PYTHONPYCACHEPREFIX"] = str(home.folder / "bytecode")
    env["VIRTUAL_ENV"] = str(home.folder)
    env["WORLDSAMPLE_ROOT"] = str(home.root)
    _prepend(env, "PATH", [str(home.folder / "bin")])
    if home.kind == "wheels":
        for name in FOREIGN_PREFIXES:
            env.pop(name, None)
        env["AMENT_PREFIX_PATH"] = env["CMAKE_PREFIX_PATH"] = str(home.folder)
        libraries = [home.folder / "lib", *sorted(home.site_packages().glob("ros_*.libs"))]
        _prepend(env, "LD_LIBRARY_PATH", map(str, libraries))
        env["_ROS_WHEELS_BOOTSTRAP_COMPLETE"] = "1"
        env["PYTHONNOUSERSITE"] = "1"
        env["RMW_IMPLEMENTATION"] = "rmw_fastrtps_cpp"  # the only one among the wheels
        kept = [
            entry
            for entry in env.get("PYTHONPATH", "").split(os.pathsep)
            if not (Path(entry) / "rclpy").is_dir()
        ]
        env["PYTHONPATH"] = os.pathsep.join(entry for entry in kept if entry)
    else:
        env.setdefault("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp")
    env.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    return env


def child_environment(home: Home, stamp: Stamp, environ: Mapping[str, str]) -> dict[str, str]:
    """The whole environment for a child process: Python, ROS, the built workspace, graphics.

    What the user has set is kept (ROS_DOMAIN_ID, ROS_AUTOMATIC_DISCOVERY_RANGE, MUJOCO_GL, …); without a word
    from the user, nodes are discovered on this machine only.
    """
    env = base_environment(home, environ)
    env["WORLDSAMPLE_LOCK"] = stamp.requirements
    for name, entries in stamp.workspace_paths.items():
        _prepend(env, name, entries)
    for name, value in stamp.graphics.items():
        if name == "LD_LIBRARY_PATH":
            _append(env, name, value.split(os.pathsep))
        else:
            env.setdefault(name, value)
    return {
        name: value for name, value in env.items() if value or name not in ("PYTHONPATH", "LD_LIBRARY_PATH")
    }


def shell_exports(env: Mapping[str, str], before: Mapping[str, str]) -> str:
    """Lines for `source`: what differs between two environments, in the syntax of sh, bash and zsh."""
    lines = [
        f"export {name}={shlex.quote(value)}"
        for name, value in sorted(env.items())
        if before.get(name) != value
    ]
    lines += [f"unset {name}" for name in sorted(before) if name not in env]
    return "\n".join(lines)


def _entries(env: Mapping[str, str], name: str) -> list[str]:
    return [entry for entry in env.get(name, "").split(os.pathsep) if entry]


def _prepend(env: dict[str, str], name: str, entries: Iterable[str]) -> None:
    env[name] = os.pathsep.join(dict.fromkeys([*entries, *_entries(env, name)]))


def _append(env: dict[str, str], name: str, entries: Iterable[str]) -> None:
    env[name] = os.pathsep.join(dict.fromkeys([*_entries(env, name), *entries]))

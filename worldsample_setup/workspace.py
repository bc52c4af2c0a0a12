"""Builds the ROS workspace `src/` with colcon and notes what its result adds to the environment."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping

from worldsample_setup import debian_python
from worldsample_setup.environment import base_environment
from worldsample_setup.home import Home
from worldsample_setup.problem import CommandFailed, SetupProblem
from worldsample_setup.progress import Progress

COMPILED = re.compile(r"\[(\d+)/(\d+)\] ")  # ninja: [done/all]


def colcon_command(home: Home, packages: list[str]) -> list[str]:
    """The command that builds the named packages; `console_direct+` brings compiler errors into the log."""
    command = [str(home.python), "-m", "colcon", "--log-base", str(home.log_base), "build"]
    command += ["--base-paths", *map(str, home.sources)]
    command += ["--build-base", str(home.build_base), "--install-base", str(home.install_base)]
    if home.kind == "wheels":
        command.append("--merge-install")
    command += ["--symlink-install", "--packages-select", *packages]
    command += ["--event-handlers", "console_direct+", "console_start_end+"]
    command += ["--cmake-args", "-DBUILD_TESTING=OFF", "-DCMAKE_BUILD_TYPE=Release"]
    command += [f"-DPython3_EXECUTABLE={home.python}"]
    if home.kind == "wheels":
        command.append("-GNinja")
    headers = debian_python.include_folder(home)
    if headers is not None:
        command.append(f"-DPython3_INCLUDE_DIR={headers}")
    return command


def build_environment(home: Home) -> dict[str, str]:
    """Variables for colcon: our own prefix only, and none of the user's colcon defaults."""
    env = base_environment(home, os.environ)
    env["COLCON_HOME"] = str(home.folder / "colcon")
    env.pop("COLCON_DEFAULTS_FILE", None)
    env.setdefault("MAKEFLAGS", f"-j{os.cpu_count() or 1}")  # without colcon's limit on the machine's load
    headers = debian_python.include_folder(home)
    if headers is not None:
        # Debian's pyconfig.h includes <x86_64-linux-gnu/python3.x/pyconfig.h>.
        env["CPATH"] = os.pathsep.join(filter(None, (str(headers.parent), env.get("CPATH"))))
    return env


def describe_colcon(line: str) -> str | None:
    """A line of colcon's output as a few words."""
    match = re.match(r"Starting >>> (\S+)", line)
    if match:
        return match.group(1)
    match = re.match(COMPILED, line)
    return f"compiling, {match.group(1)} of {match.group(2)}" if match else None


def build(
    home: Home, packages: list[str], clean: bool, progress: Progress, finished: Callable[[str], None]
) -> None:
    """Builds the packages; a build that fails on the remains of an older one is repeated once from nothing.

    Args:
        home: where to build.
        packages: what to build.
        clean: remove the results of all packages first.
        progress: shows the live line and takes the output.
        finished: called with the name of each package as soon as it is built.

    Raises:
        SetupProblem: the sources do not build.
    """
    if clean:
        remove_results(home)
    remains = {name for name in packages if (home.build_base / name).exists()}
    left = list(packages)

    def follow(line: str) -> str | None:
        done = re.match(r"Finished <<< (\S+)", line)
        if done and done.group(1) in left:
            left.remove(done.group(1))
            finished(done.group(1))
        compiled = re.match(COMPILED, line)
        if compiled:
            progress.fraction = int(compiled.group(1)) / max(int(compiled.group(2)), 1)
        return describe_colcon(line)

    try:
        progress.run(colcon_command(home, left), build_environment(home), home.root, follow)
    except CommandFailed as failure:
        if not remains.intersection(left):
            raise _explain(failure, home) from None
        progress.note("        the build failed on what an earlier one left; once more from nothing")
        remove_results(home, left)
        try:
            progress.run(colcon_command(home, left), build_environment(home), home.root, follow)
        except CommandFailed as again:
            raise _explain(again, home) from None


def remove_results(home: Home, packages: list[str] | None = None) -> None:
    """Removes what colcon made: everything, or the build folders (and own prefixes) of some packages."""
    if packages is None:
        for folder in (home.build_base, home.install_base, home.log_base):
            shutil.rmtree(folder, ignore_errors=True)
        return
    for name in packages:
        shutil.rmtree(home.build_base / name, ignore_errors=True)
        if home.kind == "ros":
            shutil.rmtree(home.install_base / name, ignore_errors=True)


def added_paths(home: Home) -> dict[str, list[str]]:
    """Folders that the built workspace adds to the path-like variables, as its own `local_setup.sh` says.

    Returns:
        For each variable its folders, best first, e.g. {"PYTHONPATH": ["…/build/worldsample_core"]}.
    """
    before = {
        "PATH": "/usr/bin:/bin",
        "HOME": os.environ.get("HOME", "/"),
        "_ROS_WHEELS_BOOTSTRAP_COMPLETE": "1",
    }
    if home.kind == "wheels":
        before["LD_LIBRARY_PATH"] = base_environment(home, {})["LD_LIBRARY_PATH"]
    script = f". '{home.install_base}/local_setup.sh' >&2; env -0"
    answer = subprocess.run(["/bin/sh", "-c", script], env=before, capture_output=True, text=True, check=True)
    after = dict(line.split("=", 1) for line in answer.stdout.split("\0") if "=" in line)
    return paths_below(after, (str(home.install_base), str(home.build_base)))


def paths_below(variables: Mapping[str, str], bases: tuple[str, ...]) -> dict[str, list[str]]:
    """The entries of path-like variables that lie in one of the folders."""
    result: dict[str, list[str]] = {}
    for name, value in sorted(variables.items()):
        if name in ("PWD", "OLDPWD", "_", "COLCON_CURRENT_PREFIX"):
            continue
        entries = [entry for entry in value.split(os.pathsep) if _is_below(entry, bases)]
        if entries:
            result[name] = list(dict.fromkeys(entries))
    return result


def _is_below(entry: str, bases: tuple[str, ...]) -> bool:
    return any(entry == base or entry.startswith(base + os.sep) for base in bases)


def _explain(failure: CommandFailed, home: Home) -> SetupProblem:
    text = "\n".join(failure.tail[-12:])
    if "No space left on device" in text:
        return SetupProblem(
            "The disk became full while building the workspace.", "Free some space and start again."
        )
    if "Killed signal terminated program" in text or "out of memory" in text.lower():
        return SetupProblem(
            "The compiler ran out of memory.",
            "Start again with less at once: MAKEFLAGS=-j1 ./worldsample …",
        )
    return SetupProblem("The workspace did not build.", f"The whole output: {home.log}", failure.tail[-12:])

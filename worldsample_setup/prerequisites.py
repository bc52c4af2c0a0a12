"""Requirements that the machine must meet beforehand: a fitting Python, a C++ compiler, room on the disk.

Each check names everything that is missing at once, with the one command that installs it.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from worldsample_setup.home import TRIED_DISTROS, Home
from worldsample_setup.problem import SetupProblem

OLDEST_PYTHON, NEWEST_PYTHON = (3, 10), (3, 13)
OLDEST_GLIBC = (2, 28)
GIB = 1024**3
NEEDED_GIB = {"cpu": 4.0, "cuda": 12.0}

# Package names by package manager, for the remedy.
PACKAGES = {
    "apt": {
        "compiler": "g++",
        "headers": "python3-dev",
        "venv": "python3-venv",
        "make": "make",
        "python": "python3",
        "graphics": "libegl1 libegl-mesa0 libgl1 libgl1-mesa-dri",
    },
    "dnf": {
        "compiler": "gcc-c++",
        "headers": "python3-devel",
        "venv": "python3-pip",
        "make": "make",
        "python": "python3.12",
        "graphics": "mesa-libEGL mesa-libGL mesa-dri-drivers",
    },
    "pacman": {
        "compiler": "gcc",
        "headers": "python",
        "venv": "python",
        "make": "make",
        "python": "python",
        "graphics": "mesa libglvnd",
    },
    "zypper": {
        "compiler": "gcc-c++",
        "headers": "python3-devel",
        "venv": "python3",
        "make": "make",
        "python": "python312",
        "graphics": "Mesa-libEGL1 Mesa-libGL1 Mesa-dri",
    },
}
INSTALL = {"apt": "apt install", "dnf": "dnf install", "pacman": "pacman -S", "zypper": "zypper install"}

PYTHON_PROBE = """
import importlib.util, json, os, sys, sysconfig
print(json.dumps({
    "version": list(sys.version_info[:3]),
    "executable": getattr(sys, "_base_executable", "") or sys.executable,
    "headers": os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")),
    "venv": all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")),
    "threads": not sysconfig.get_config_var("Py_GIL_DISABLED"),
}))
"""


@dataclass(frozen=True)
class Interpreter:
    """One Python on the machine."""

    executable: str
    version: tuple[int, int, int]
    headers: bool
    venv: bool

    @property
    def name(self) -> str:
        return "Python " + ".".join(map(str, self.version))

    @property
    def fits(self) -> bool:
        return OLDEST_PYTHON <= self.version[:2] <= NEWEST_PYTHON


def install_command(needs: Iterable[str], which: object = shutil.which, root: bool | None = None) -> str:
    """The command that installs what is needed on this machine.

    Args:
        needs: keys of `PACKAGES`, e.g. ["compiler", "headers"].
        which: finds a program on PATH.
        root: whether this process is root (then no sudo); asked from the system if None.
    """
    assert callable(which)
    sudo = "" if (os.geteuid() == 0 if root is None else root) else "sudo "
    manager = next((name for name, tool in _MANAGER_TOOLS if which(tool)), "")
    if not manager:
        names = " ".join(dict.fromkeys(PACKAGES["apt"][need] for need in needs))
        return f"Install the counterparts of these Debian packages: {names}"
    names = " ".join(dict.fromkeys(PACKAGES[manager][need] for need in needs))
    return f"{sudo}{INSTALL[manager]} {names}"


_MANAGER_TOOLS = (("apt", "apt-get"), ("dnf", "dnf"), ("zypper", "zypper"), ("pacman", "pacman"))


def probe_interpreter(program: str) -> Interpreter | None:
    """Asks a Python what it is; None if it does not answer."""
    try:
        answer = subprocess.run(
            [program, "-I", "-c", PYTHON_PROBE], capture_output=True, text=True, timeout=20, check=True
        )
        facts = json.loads(answer.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    if not facts["threads"]:  # a free-threaded build: no wheels for it
        return None
    version = (int(facts["version"][0]), int(facts["version"][1]), int(facts["version"][2]))
    return Interpreter(facts["executable"], version, facts["headers"], facts["venv"])


def candidate_programs(ros_python: str = "") -> list[str]:
    """Programs to ask, best first: the one that runs this, then the common names; ROS 2 wants its own."""
    if ros_python:
        names = [f"/usr/bin/python{ros_python}", f"python{ros_python}", sys.executable]
    else:
        numbers = ("12", "11", "13", "10")
        names = [sys.executable, "python3", "/usr/bin/python3", *(f"python3.{number}" for number in numbers)]
    found = (shutil.which(name) for name in names)
    return list(dict.fromkeys(path for path in found if path))


def choose_interpreter(interpreters: Iterable[Interpreter], ros_python: str = "") -> Interpreter:
    """The first that lacks nothing, else the first of a fitting version.

    Raises:
        SetupProblem: none has a fitting version.
    """
    seen: list[Interpreter] = []
    for interpreter in interpreters:
        seen.append(interpreter)
        wanted = not ros_python or ".".join(map(str, interpreter.version[:2])) == ros_python
        if interpreter.fits and wanted and interpreter.headers and interpreter.venv:
            return interpreter
    for interpreter in seen:
        wanted = not ros_python or ".".join(map(str, interpreter.version[:2])) == ros_python
        if interpreter.fits and wanted:
            return interpreter
    found = ", ".join(sorted({one.name for one in seen})) or "none"
    if ros_python:
        raise SetupProblem(
            f"ROS 2 here was built for Python {ros_python}, which is not on PATH (found: {found}).",
            install_command(["python", "venv", "headers"]),
        )
    raise SetupProblem(
        f"Python 3.10 to 3.13 is needed; found: {found}.", install_command(["python", "venv", "headers"])
    )


def find_interpreter(home: Home) -> Interpreter:
    """The Python from which the virtual environment is made.

    Raises:
        SetupProblem: none on this machine fits.
    """
    probed = (probe_interpreter(program) for program in candidate_programs(home.ros_python))
    return choose_interpreter((one for one in probed if one is not None), home.ros_python)


def find_compiler() -> str | None:
    """A C++ compiler, as CMake would look for it."""
    chosen = os.environ.get("CXX", "").split()
    for name in [*chosen[:1], "c++", "g++", "clang++"]:
        path = shutil.which(name)
        if path:
            return path
    return None


def check_machine(home: Home) -> None:
    """Raises SetupProblem where the wheels cannot run at all, or the ROS distribution is too old."""
    if home.kind == "ros":
        if home.distro not in TRIED_DISTROS:
            print(
                f"worldsample: ROS 2 {home.distro} is sourced; tried are {', '.join(TRIED_DISTROS)}",
                file=sys.stderr,
            )
        return
    remedy = "Install and source ROS 2 Jazzy, then start ./worldsample again: it builds the workspace there."
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise SetupProblem(
            "The ROS 2 wheels exist for Linux on x86-64 only; "
            f"this is {platform.system()} on {platform.machine()}.",
            remedy,
        )
    name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "other libc 0.0").rpartition(" ")
    if name != "glibc" or tuple(int(part) for part in version.split(".")[:2]) < OLDEST_GLIBC:
        raise SetupProblem(f"The ROS 2 wheels need glibc 2.28 or newer; here is {name} {version}.", remedy)


def missing_tools(interpreter: Interpreter, compiler: str | None) -> dict[str, str]:
    """The missing tools, as keys of `PACKAGES` with a description for people."""
    missing = {}
    if compiler is None:
        missing["compiler"] = "a C++ compiler"
    if not interpreter.venv:
        missing["venv"] = f"the venv module of {interpreter.executable}"
    if not interpreter.headers:
        missing["headers"] = f"the headers of {interpreter.executable} (Python.h)"
    return missing


def refuse_missing(missing: dict[str, str], not_fetched: str = "") -> None:
    """Raises SetupProblem that names every missing tool and the one command that installs them all.

    Args:
        missing: from `missing_tools`.
        not_fetched: why fetching them for this folder alone failed, if that was tried.
    """
    if missing:
        remedy = install_command(missing)
        if not_fetched:
            remedy = f"Fetching a copy into this folder failed: {not_fetched}\n{remedy}"
        raise SetupProblem("Missing here: " + "; ".join(missing.values()) + ".", remedy)


def check_disk(folder: Path, torch: str, installed: bool, free: int | None = None) -> None:
    """Raises SetupProblem if the disk has too little room for what is still to install.

    Args:
        folder: where the virtual environment goes; need not exist.
        torch: "cpu" or "cuda".
        installed: whether most packages are there already, so that little is added.
        free: free bytes; asked from the system if None.
    """
    place = folder
    while not place.exists():
        place = place.parent
    if free is None:
        free = shutil.disk_usage(place).free
    needed = 1.0 if installed else NEEDED_GIB[torch]
    if free < needed * GIB:
        raise SetupProblem(
            f"Too little room on the disk of {place}: the set-up needs {needed:.0f} GiB, "
            f"{free / GIB:.1f} GiB are free.",
            "Free some space, or name a folder on a larger disk:\n"
            "WORLDSAMPLE_VENV=/path/to/folder ./worldsample …",
        )


def has_gpu() -> bool:
    """True if an NVIDIA GPU answers."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return False
    try:
        answer = subprocess.run([tool, "-L"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.SubprocessError):
        return False
    return answer.returncode == 0 and "GPU " in answer.stdout

"""Completes the python3 of Debian and Ubuntu for those who cannot or do not want to install packages.

python3-dev (the headers) and python3-venv (pip for virtual environments) are separate packages there. Both
are only files, so they work just as well unpacked in a folder of ours.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from worldsample_setup import debian_packages
from worldsample_setup.home import Home
from worldsample_setup.prerequisites import Interpreter
from worldsample_setup.progress import Progress


def can_complete(interpreter: Interpreter) -> bool:
    """True if this is the system's own Python of a Debian or Ubuntu."""
    name = f"/usr/bin/python{interpreter.version[0]}.{interpreter.version[1]}"
    return debian_packages.is_debian() and os.path.realpath(interpreter.executable) == os.path.realpath(name)


def fetch(home: Home, interpreter: Interpreter, progress: Progress) -> None:
    """Unpacks the headers and pip.

    Raises:
        CommandFailed: apt failed, e.g. without a network.
    """
    version = f"{interpreter.version[0]}.{interpreter.version[1]}"
    packages = [f"libpython{version}-dev", "python3-pip-whl"]
    debian_packages.unpack(packages, home.python_folder, home.folder / "apt", progress)


def pip_wheel(home: Home) -> Path | None:
    """The wheel of pip among the unpacked files."""
    wheels = sorted(home.python_folder.glob("usr/share/python-wheels/pip-*.whl"))
    return wheels[-1] if wheels else None


def include_folder(home: Home) -> Path | None:
    """The folder with the unpacked Python.h."""
    headers = sorted(home.python_folder.glob("usr/include/python3.*/Python.h"))
    return headers[-1].parent if headers else None


def without_ensurepip(home: Home, interpreter: Interpreter, progress: Progress) -> None:
    """Makes the virtual environment with the unpacked pip.

    Raises:
        CommandFailed: the venv module or pip failed.
    """
    wheel = pip_wheel(home)
    assert wheel is not None
    env = {**os.environ, "PYTHONPATH": str(wheel), "PIP_USER": "0"}
    shutil.rmtree(home.folder / "lib", ignore_errors=True)
    options = ["--system-site-packages"] if home.kind == "ros" else []
    progress.run([interpreter.executable, "-m", "venv", "--without-pip", *options, str(home.folder)])
    install = ["-m", "pip", "install", "--no-index", "--disable-pip-version-check", "--ignore-installed"]
    progress.run([str(home.python), *install, str(wheel)], env)

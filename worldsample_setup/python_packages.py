"""The virtual environment and the Python packages in it."""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from worldsample_setup import debian_python
from worldsample_setup.home import Home
from worldsample_setup.prerequisites import Interpreter, has_gpu
from worldsample_setup.problem import CommandFailed, SetupProblem
from worldsample_setup.progress import Progress

# Where PyTorch's own builds for the CPU are. The general package index has only the CUDA build for Linux,
# which brings several GB of libraries; a folder of wheels that pip knows of (find-links) serves as well.
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"

# How pip and what is below it say that nothing answered.
NO_NETWORK = re.compile(
    "Temporary failure in name resolution|Name or service not known|Failed to establish a new connection|"
    "Network is unreachable|Max retries exceeded|ConnectTimeout|ReadTimeout|ProxyError|SSLError|"
    "Cannot connect to proxy|Connection (refused|reset)"
)

# pip settings of the user that make no sense inside a virtual environment.
FOREIGN_PIP_SETTINGS = (
    "PIP_USER",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_ROOT",
    "PIP_REQUIRE_HASHES",
    "PIP_DRY_RUN",
)


def create_environment(home: Home, interpreter: Interpreter, progress: Progress) -> None:
    """Makes the virtual environment, or completes a half-made one.

    Raises:
        SetupProblem: the venv module failed.
    """
    options = ["--system-site-packages"] if home.kind == "ros" else []
    try:
        if not interpreter.venv:
            debian_python.without_ensurepip(home, interpreter, progress)
            return
        progress.run(
            [interpreter.executable, "-m", "venv", *options, str(home.folder)], env=clean_environment()
        )
    except CommandFailed as failure:
        raise SetupProblem(
            f"The virtual environment {home.folder} could not be made with {interpreter.executable}.",
            f"Log: {home.log}",
            failure.tail[-8:],
        ) from None


def clean_environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The caller's variables without those that lead Python or pip elsewhere."""
    env = dict(os.environ if environ is None else environ)
    for name in ("PYTHONHOME", "__PYVENV_LAUNCHER__", *FOREIGN_PIP_SETTINGS):
        env.pop(name, None)
    env["PIP_USER"] = "0"
    return env


def wanted_torch(environ: Mapping[str, str]) -> str:
    """ "cuda" where a GPU answers, else "cpu"; the variable WORLDSAMPLE_TORCH decides otherwise."""
    chosen = environ.get("WORLDSAMPLE_TORCH", "")
    if chosen not in ("", "cpu", "cuda"):
        raise SetupProblem(f"WORLDSAMPLE_TORCH is '{chosen}'; it can be cpu or cuda, or unset.")
    return chosen or ("cuda" if has_gpu() else "cpu")


def pinned_torch(requirements: str) -> str:
    """The version in the line `torch==…` of the requirements."""
    match = re.search(r"^torch==([0-9.]+)", requirements, re.MULTILINE)
    if match is None:
        raise SetupProblem("requirements.txt has no line torch==<version>.")
    return match.group(1)


def torch_arguments(version: str, kind: str) -> list[str]:
    """What pip is asked for. `+cpu` can only be the CPU build, so that nothing else is taken by accident.

    Args:
        version: e.g. "2.13.0".
        kind: "cpu" or "cuda".
    """
    if kind == "cpu":
        # Short patience with the index: where it cannot be reached, a folder of wheels may have it.
        # Only torch itself is looked for there; what it depends on comes with the other packages.
        patience = ["--timeout", "15", "--retries", "2"]
        return [*patience, "--extra-index-url", TORCH_CPU_INDEX, "--no-deps", f"torch=={version}+cpu"]
    return [f"torch=={version},!={version}+cpu"]


def pip_environment(home: Home) -> dict[str, str]:
    """Variables for pip: temporary files inside the folder, since /tmp is often small and torch is not."""
    env = clean_environment()
    temporary = home.folder / "tmp"
    temporary.mkdir(exist_ok=True)
    env["TMPDIR"] = str(temporary)
    env["_ROS_WHEELS_BOOTSTRAP_COMPLETE"] = "1"
    if home.kind == "wheels":
        env.pop("PYTHONPATH", None)
    return env


def describe_pip(line: str) -> str | None:
    """A line of pip's output as a few words."""
    match = re.match(r"\s*(Collecting|Downloading|Using cached|Processing|Building wheel for) (\S+)", line)
    if match:
        name = re.sub(r"[<>=!~;\[(].*", "", match.group(2).rstrip("/").split("/")[-1])
        name = re.sub(r"-(cp\d|py\d|\d).*", "", name)
        return f"{match.group(1).lower()} {name}"
    if line.startswith("Installing collected packages"):
        return f"unpacking {line.count(',') + 1} packages"
    return None


def install_torch(home: Home, kind: str, progress: Progress) -> None:
    """Installs the pinned torch.

    Raises:
        SetupProblem: no network, no room, or no such build.
    """
    version = pinned_torch((home.root / "requirements.txt").read_text(encoding="utf-8"))
    _pip(home, [*torch_arguments(version, kind), *_constraints(home)], progress, f"torch {version} ({kind})")


def install_packages(home: Home, progress: Progress) -> None:
    """Installs all requirements of this home.

    Raises:
        SetupProblem: no network, no room, or no fitting package.
    """
    names = ["requirements.txt", "requirements-test.txt"]
    arguments: list[str] = []
    if home.kind == "wheels":
        names.append("requirements-ros.txt")
    elif not _imports(home, "colcon_core"):
        arguments = ["colcon-common-extensions>=0.3,<0.4"]
    for name in names:
        arguments += ["-r", str(home.root / name)]
    _pip(home, [*arguments, *_constraints(home)], progress, "the Python packages")


def remove_damaged(home: Home, progress: Progress) -> list[str]:
    """Forgets every package that is not whole, so that pip installs it again.

    Returns:
        Names of the packages that were damaged.
    """
    site_packages = home.site_packages()
    damaged = damaged_distributions(site_packages)
    for info in damaged:
        shutil.rmtree(info, ignore_errors=True)
    for leftover in site_packages.glob("~*"):  # what an interrupted upgrade by pip leaves
        shutil.rmtree(leftover, ignore_errors=True)
    names = [info.name.split("-")[0] for info in damaged]
    if names:
        progress.write_log("not whole, to be installed again: " + ", ".join(names))
    return names


def damaged_distributions(site_packages: Path) -> list[Path]:
    """The `*.dist-info` folders of packages that were not installed to the end, or that lost files since.

    pip writes INSTALLER and then RECORD (path, hash, size of every file) when everything else is in place.
    CMake files are compared by presence only, since the set-up itself repairs them; byte code not at all.
    """
    damaged = []
    for info in sorted(site_packages.glob("*.dist-info")):
        record = info / "RECORD"
        if not (record.is_file() and (info / "INSTALLER").is_file() and (info / "METADATA").is_file()):
            damaged.append(info)
            continue
        with open(record, newline="", encoding="utf-8", errors="replace") as lines:
            for row in csv.reader(lines):
                if len(row) != 3 or row[0].endswith(".pyc"):
                    continue
                size = _size(os.path.join(site_packages, row[0]))
                if size is None or (row[2] and int(row[2]) != size and not row[0].endswith(".cmake")):
                    damaged.append(info)
                    break
    return damaged


def _size(path: str) -> int | None:
    try:
        return os.stat(path).st_size
    except OSError:
        return None


def _constraints(home: Home) -> list[str]:
    """Beside a sourced ROS 2, numpy stays the one that its message packages were compiled with."""
    if home.kind != "ros":
        return []
    answer = subprocess.run(
        [str(home.python), "-c", "import numpy; print(numpy.__version__)"],
        capture_output=True,
        text=True,
        check=False,
    )
    path = home.folder / "constraints.txt"
    if not path.exists() and answer.returncode == 0:
        path.write_text(f"numpy=={answer.stdout.strip()}\n", encoding="utf-8")
    return ["-c", str(path)] if path.exists() else []


def _imports(home: Home, module: str) -> bool:
    command = [str(home.python), "-c", f"import {module}"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _pip(home: Home, arguments: list[str], progress: Progress, what: str) -> None:
    command = [str(home.python), "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
    # Byte code is written at the first import, of those few modules that are ever imported.
    command += ["--progress-bar", "off", "--no-compile", *arguments]
    try:
        progress.run(command, env=pip_environment(home), cwd=home.root, describe=describe_pip)
    except CommandFailed as failure:
        raise explain_pip_failure(failure.tail, what, home.log) from None
    finally:
        shutil.rmtree(home.folder / "tmp", ignore_errors=True)


def explain_pip_failure(tail: list[str], what: str, log: Path) -> SetupProblem:
    """Turns the last lines of pip into a message with a remedy."""
    text = "\n".join(tail)
    errors = [line for line in tail if line.startswith("ERROR")] or tail[-6:]
    if "No space left on device" in text or "Errno 28" in text:
        return SetupProblem(
            f"The disk became full while installing {what}.",
            "Free some space and start again: what is installed is kept.",
            errors[-3:],
        )
    if NO_NETWORK.search(text):
        return SetupProblem(
            f"No connection to the package index while installing {what}.",
            "Check the network (behind a proxy: set https_proxy) and start again: what is there is kept.\n"
            "Without a network: put the wheels in a folder and set PIP_FIND_LINKS=/path PIP_NO_INDEX=1.",
            errors[-3:],
        )
    if "No matching distribution" in text or "Could not find a version" in text:
        remedy = f"Log: {log}"
        if what.startswith("torch") and "(cpu)" in what:
            remedy = (
                "It comes from PyTorch's own index, or from a folder of wheels: PIP_FIND_LINKS=/path.\n"
                "WORLDSAMPLE_TORCH=cuda takes the much larger CUDA build, which runs on a CPU as well.\n"
                + remedy
            )
        return SetupProblem(f"No fitting build of {what} was found for this machine.", remedy, errors[-3:])
    return SetupProblem(f"Installing {what} failed.", f"Log: {log}", errors[-8:])

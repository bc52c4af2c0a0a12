"""The virtual environment and the Python packages in it.

pip installs uv, and uv everything else: exactly the versions and hashes of `lock/`. Only PyTorch's build for
the CPU is not among the hashes, because the package index does not have it.
"""

from __future__ import annotations

import ast
import os
import re
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

# How uv, pip and what is below them say that nothing answered.
NO_NETWORK = re.compile(
    "Temporary failure in name resolution|Name or service not known|Failed to establish a new connection|"
    "Network is unreachable|Max retries exceeded|ConnectTimeout|ReadTimeout|ProxyError|SSLError|"
    "Cannot connect to proxy|Connection (refused|reset)|dns error|tcp connect error|"
    "client error \\(Connect\\)|operation timed out|invalid peer certificate"
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

# pip's settings, with the variable of uv that means the same and what separates several values in it.
PIP_SETTINGS_FOR_UV = {
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "cert": ("SSL_CERT_FILE", " "),
    "proxy": ("ALL_PROXY", " "),
    "timeout": ("UV_HTTP_TIMEOUT", " "),
    "default-timeout": ("UV_HTTP_TIMEOUT", " "),
}


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
    """Build of torch: cuda where a GPU answers, else cpu; WORLDSAMPLE_TORCH decides otherwise."""
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


def torch_arguments(version: str, kind: str) -> list[list[str]]:
    """Arguments for uv, in turn until one succeeds; `+cpu` can only be the CPU build.

    The CPU build is looked for where the user's pip looks before PyTorch's own index is asked: uv gives up
    where an index does not answer.

    Args:
        version: e.g. "2.13.0".
        kind: "cpu" or "cuda".
    """
    if kind == "cpu":
        wanted = ["--no-deps", f"torch=={version}+cpu"]
        return [wanted, ["--index", TORCH_CPU_INDEX, *wanted]]
    return [["--no-deps", "--require-hashes", "-r", "lock/torch-cuda.txt"]]


def uv_environment(home: Home) -> dict[str, str]:
    """Variables for uv: it asks the indexes that the user's pip is configured with."""
    env = clean_environment()
    answer = subprocess.run(
        [str(home.python), "-m", "pip", "config", "list"],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    for name, value in uv_settings(answer.stdout).items():
        env.setdefault(name, value)
    # What the hashes do not admit is not installed, whichever index offers it.
    env.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
    cache = Path(env.get("UV_CACHE_DIR") or Path(env.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "uv")
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError:
        env["UV_NO_CACHE"] = "1"
    env.update(UV_NO_PROGRESS="1", UV_PYTHON_DOWNLOADS="never", NO_COLOR="1")
    env["_ROS_WHEELS_BOOTSTRAP_COMPLETE"] = "1"
    return env


def uv_settings(pip_config: str) -> dict[str, str]:
    """Variables of uv that say what `pip config list` says; a user's variable counts more than a file.

    Args:
        pip_config: lines such as `global.index-url='https://…'` and `:env:.find-links='/wheels'`.
    """
    rank = {"global": 0, "install": 1, ":env:": 2}
    settings: dict[str, tuple[int, str]] = {}
    for line in pip_config.splitlines():
        key, _, value = line.partition("=")
        section, _, name = key.rpartition(".")
        if section not in rank or name not in PIP_SETTINGS_FOR_UV:
            continue
        variable, separator = PIP_SETTINGS_FOR_UV[name]
        text = separator.join(str(ast.literal_eval(value)).split())
        if rank[section] >= settings.get(variable, (-1, ""))[0]:
            settings[variable] = (rank[section], text)
    return {variable: text for variable, (_, text) in settings.items() if text}


def describe_uv(line: str) -> str | None:
    """A line of uv's output as a few words."""
    match = re.match(r"\s*(Downloading|Downloaded|Building|Built|Prepared|Installed) (\S+)", line)
    if not match:
        return None
    what = f"{match.group(2)} packages" if match.group(2).isdigit() else match.group(2)
    return f"{match.group(1).lower()} {what}"


def install_torch(home: Home, kind: str, again: bool, progress: Progress) -> None:
    """Installs uv and the pinned torch.

    Args:
        home: where.
        kind: "cpu" or "cuda".
        again: over what is there, which may not be whole.
        progress: shows the live line and takes the output.

    Raises:
        SetupProblem: no network, no room, or no such build.
    """
    version = pinned_torch((home.root / "requirements.txt").read_text(encoding="utf-8"))
    _install_uv(home, progress)
    ways = torch_arguments(version, kind)
    for way in ways:
        try:
            _uv(home, way, again, progress, f"torch {version} ({kind})")
            return
        except SetupProblem:
            if way is ways[-1]:
                raise


def install_packages(home: Home, again: bool, progress: Progress) -> None:
    """Installs everything else that is locked for this home; beside a sourced ROS 2 its own numpy stays.

    Raises:
        SetupProblem: no network, no room, or no fitting package.
    """
    names = ["run.txt", "optional.txt", "test.txt", *(["ros.txt"] if home.kind == "wheels" else [])]
    locked = [part for name in names for part in ("-r", f"lock/{name}")]
    _uv(home, ["--no-deps", "--require-hashes", *locked], again, progress, "the Python packages")
    if home.kind == "ros" and not _imports(home, "colcon_core"):
        _uv(home, ["-c", "lock/ros.txt", "colcon-common-extensions"], again, progress, "colcon")


def _imports(home: Home, module: str) -> bool:
    command = [str(home.python), "-c", f"import {module}"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _install_uv(home: Home, progress: Progress) -> None:
    command = [
        str(home.python),
        "-m",
        "pip",
        "install",
        "--no-input",
        "--disable-pip-version-check",
        "--no-compile",
    ]
    command += ["--progress-bar", "off", "--no-deps", "--require-hashes", "-r", "lock/uv.txt"]
    env = {**clean_environment(), "_ROS_WHEELS_BOOTSTRAP_COMPLETE": "1"}
    try:
        progress.run(command, env, home.root)
    except CommandFailed as failure:
        raise explain_failure(failure.tail, "uv", home.log) from None


def _uv(home: Home, arguments: list[str], again: bool, progress: Progress, what: str) -> None:
    command = [str(home.folder / "bin" / "uv"), "pip", "install", "--python", str(home.python)]
    command += [*(["--reinstall"] if again else []), *arguments]
    env = uv_environment(home)
    if env.get("PIP_NO_INDEX", "").lower() not in ("", "0", "false", "no", "off"):
        command.append("--no-index")
    try:
        progress.run(command, env, home.root, describe_uv)
    except CommandFailed as failure:
        raise explain_failure(failure.tail, what, home.log) from None


def explain_failure(tail: list[str], what: str, log: Path) -> SetupProblem:
    """Turns the last lines of pip or uv into a message with a remedy."""
    text = "\n".join(tail)
    errors = [line for line in tail if line.lower().startswith("error")] or tail[-6:]
    if "No space left on device" in text or "Errno 28" in text:
        return SetupProblem(
            f"The disk became full while installing {what}.",
            "Free some space and start again: what is installed is kept.",
            errors[-3:],
        )
    if NO_NETWORK.search(text):
        return SetupProblem(
            f"No connection to the package index while installing {what}.",
            "Check the network (behind a proxy: set https_proxy; own certificates: SSL_CERT_FILE) and start "
            "again: what is there is kept.\n"
            "Without a network: put the wheels in a folder and set PIP_FIND_LINKS=/path PIP_NO_INDEX=1.",
            errors[-3:],
        )
    if re.search("No matching distribution|Could not find a version|No solution found|has no wheels", text):
        remedy = f"Log: {log}"
        if what.startswith("torch") and "(cpu)" in what:
            remedy = (
                "It comes from PyTorch's own index, or from a folder of wheels: PIP_FIND_LINKS=/path.\n"
                "WORLDSAMPLE_TORCH=cuda takes the much larger CUDA build, which runs on a CPU as well.\n"
                + remedy
            )
        return SetupProblem(f"No fitting build of {what} was found for this machine.", remedy, errors[-3:])
    return SetupProblem(f"Installing {what} failed.", f"Log: {log}", errors[-8:])

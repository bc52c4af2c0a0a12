"""Debian and Ubuntu packages, unpacked into a folder of ours: no root needed, the system stays untouched.

apt itself resolves, fetches and verifies them, with its lists and downloads kept in private folders; what the
system has installed already is not fetched again.
"""

from __future__ import annotations

import getpass
import os
import shutil
from pathlib import Path

from worldsample_setup.problem import CommandFailed
from worldsample_setup.progress import Progress

# Never beside the system's own: a second C library breaks every program that meets it.
SYSTEM_ONLY = ("libc6", "libc-bin", "libgcc-s1", "libstdc++6", "locales", "base-files", "dpkg", "perl-base")


def is_debian() -> bool:
    """True if apt and dpkg-deb are here."""
    return (
        all(shutil.which(tool) for tool in ("apt-get", "dpkg-deb")) and Path("/var/lib/dpkg/status").is_file()
    )


def apt_options(state: Path) -> list[str]:
    """Options that keep apt inside one folder, whoever calls it.

    Args:
        state: a folder of ours, for lists, downloads and caches.
    """
    options = {
        "Dir::State": state / "state",
        "Dir::State::status": "/var/lib/dpkg/status",
        "Dir::Cache": state / "cache",
        "Dir::Log": state / "log",
        "APT::Sandbox::User": _user_name(),
        "Debug::NoLocking": "true",
        "Acquire::Languages": "none",
        "Acquire::Retries": "2",
        "Acquire::http::Timeout": "20",
        "Acquire::https::Timeout": "20",
        "APT::Get::AllowUnauthenticated": "false",
        "APT::Update::Post-Invoke": "",
        "APT::Update::Post-Invoke-Success": "",
    }
    return [part for name, value in options.items() for part in ("-o", f"{name}={value}")]


def unpack(packages: list[str], folder: Path, state: Path, progress: Progress) -> list[str]:
    """Fetches packages with what they depend on and unpacks them, as far as the system lacks them.

    Args:
        packages: names.
        folder: becomes the root of the unpacked files; made in one move at the end.
        state: a folder of ours for apt; removed at the end.
        progress: shows the live line and takes the output.

    Returns:
        File names of the packages that were unpacked.

    Raises:
        CommandFailed: apt or dpkg-deb failed, e.g. without a network.
    """
    for part in ("state/lists/partial", "cache/archives/partial", "log"):
        (state / part).mkdir(parents=True, exist_ok=True)
    options = apt_options(state)
    install = [
        "apt-get",
        *options,
        "--yes",
        "--no-install-recommends",
        "--download-only",
        "install",
        *packages,
    ]
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    env.pop("LD_LIBRARY_PATH", None)
    unpacked = folder.with_name(folder.name + ".part")
    shutil.rmtree(unpacked, ignore_errors=True)
    unpacked.mkdir(parents=True)
    try:
        progress.detail = "reading the package lists"
        updated = progress.run(["apt-get", *options, "update"], env)
        try:
            progress.run(install, env, describe=_describe)
        except CommandFailed as failure:  # apt-get update itself ends well even if it could fetch nothing
            failure.tail[:0] = [line for line in updated if line.startswith("W: Failed to fetch")]
            raise
        archives = sorted((state / "cache" / "archives").glob("*.deb"))
        archives = [path for path in archives if path.name.split("_")[0] not in SYSTEM_ONLY]
        for path in archives:
            progress.detail = f"unpacking {path.name.split('_')[0]}"
            progress.run(["dpkg-deb", "-x", str(path), str(unpacked)], env)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(unpacked, folder)
    finally:
        shutil.rmtree(state, ignore_errors=True)
        shutil.rmtree(unpacked, ignore_errors=True)
    return [path.name for path in archives]


def explain(failure: CommandFailed) -> str:
    """Why apt failed, in its own words."""
    errors = [line for line in failure.tail if line.startswith(("E:", "W: Failed to fetch"))]
    return (errors or failure.tail[-1:] or [str(failure)])[0]


def _describe(line: str) -> str | None:
    words = line.split()
    return f"fetching {words[4]}" if line.startswith("Get:") and len(words) > 4 else None


def _user_name() -> str:
    try:
        return getpass.getuser() if os.geteuid() else "root"
    except (KeyError, OSError):  # a user id without a name, as in containers
        return str(os.geteuid())

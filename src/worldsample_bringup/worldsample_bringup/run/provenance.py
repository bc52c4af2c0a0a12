"""Provenance of a result: the code's revision and the versions of what it computes with."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from worldsample_core.settings import VersionsConfig

UNKNOWN = "unknown"


def git_revision() -> str:
    """Revision of the checkout that this file belongs to; "unknown" outside git.

    "+changes" follows where the checkout is not clean; results that a benchmark wrote do not count.
    """
    root = str(_root())

    def git(*arguments: str) -> str:
        result = subprocess.run(
            ["git", "-C", root, *arguments], capture_output=True, text=True, timeout=10, check=True
        )
        return result.stdout.strip()

    try:
        changes = git("status", "--porcelain", "-uno", "--", ":/", ":(top,exclude)benchmarks/results")
        return git("rev-parse", "HEAD")[:12] + ("+changes" if changes else "")
    except (OSError, subprocess.SubprocessError):
        return UNKNOWN


def installed_versions() -> VersionsConfig:
    """Versions of Python and of the packages that decide a run's numbers; nothing is imported for it."""
    return VersionsConfig(
        python=platform.python_version(),
        torch=version_of("torch"),
        mujoco=version_of("mujoco"),
        numpy=version_of("numpy"),
        lock=lock_digest(_root() / "lock"),
    )


def version_of(package: str) -> str:
    """Version of an installed package, "not installed" of another one."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def lock_digest(folder: Path) -> str:
    """SHA-256 of the lock files of the set-up, its first 12 digits; "none" where there are none."""
    files = sorted(path for path in folder.glob("*") if path.is_file())
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name}\0{file.stat().st_size}\0".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12] if files else "none"


def _root() -> Path:
    """The checkout; the folder of this file where none is named."""
    return Path(os.environ.get("WORLDSAMPLE_ROOT") or Path(__file__).resolve().parent)

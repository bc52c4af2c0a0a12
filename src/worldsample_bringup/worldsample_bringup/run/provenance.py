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
        lock=os.environ.get("WORLDSAMPLE_LOCK") or lock_digest(_root() / "lock"),
    )


def version_of(package: str) -> str:
    """Version of an installed package, "not installed" of another one."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def lock_digest(folder: Path) -> str:
    """Digest of the lock files, `cat lock/*.txt | sha256sum | cut -c 1-16`; "none" where there are none."""
    files = sorted(folder.glob("*.txt"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]
    return digest if files else "none"


def _root() -> Path:
    """The checkout; the folder of this file where none is named."""
    return Path(os.environ.get("WORLDSAMPLE_ROOT") or Path(__file__).resolve().parent)

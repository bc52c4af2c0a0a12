"""Writes `lock/`: the version and the hashes of every Python package, for all Pythons and machines at once.

    .venv/bin/python -m worldsample_setup.lock_files             keeps the versions that still fit
    .venv/bin/python -m worldsample_setup.lock_files --upgrade   takes the newest that fit

| lock file | from | installed |
|---|---|---|
| `uv.txt` | `requirements-setup.txt` | by pip, always |
| `run.txt` | `requirements.txt` without numpy and torch | always |
| `optional.txt` | `requirements-optional.txt` without numpy | always |
| `test.txt` | `requirements-test.txt` | always |
| `ros.txt` | `requirements-ros.txt`, with numpy | where no ROS 2 is sourced |
| `torch-cuda.txt` | torch, with NVIDIA's libraries | where a GPU answers |

PyTorch's build for the CPU is not on the package index, so its hashes are not here; its version is pinned.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from worldsample_setup.home import find_home
from worldsample_setup.python_packages import uv_environment

ROOT = Path(__file__).resolve().parent.parent
OLDEST_PYTHON = "3.10"
SOURCES = {
    "uv": ["requirements-setup.txt"],
    "run": ["requirements.txt"],
    "optional": ["requirements-optional.txt"],
    "test": ["requirements-test.txt"],
    "ros": ["requirements-ros.txt"],
    "torch-cuda": ["requirements.txt"],
}
GPU_ONLY = re.compile(r"(torch|triton|nvidia|cuda)(-|==)")
"""Entries of PyTorch's build for NVIDIA GPUs."""


def entries(lock: str) -> dict[str, str]:
    """The entries of a lock file, each with its hashes, by their first line."""
    found = re.findall(r"^\S.*?(?=^\S|\Z)", lock, re.MULTILINE | re.DOTALL)
    return {entry.split(" \\\n")[0]: entry for entry in found}


def name_of(entry: str) -> str:
    """The distribution that an entry pins."""
    return entry.split("==")[0]


def belongs(lock: str, entry: str) -> bool:
    """True for an entry that stands in this lock file, of those that its requirements lead to."""
    if lock == "torch-cuda":
        return bool(GPU_ONLY.match(entry))
    if GPU_ONLY.match(entry):
        return False
    # Beside a sourced ROS 2 numpy and setuptools are those that its packages were built with.
    return lock not in ("run", "optional") or name_of(entry) not in ("numpy", "setuptools")


def resolve(sources: list[str], constraints: Path | None, output: Path, options: list[str]) -> None:
    """Lets uv resolve requirement files together, whatever machine this is."""
    home = find_home(ROOT, {})
    env = {
        name: value
        for name, value in uv_environment(home).items()
        if name not in ("UV_FIND_LINKS", "UV_INDEX")
    }
    command = [
        str(home.folder / "bin" / "uv"),
        "pip",
        "compile",
        "--quiet",
        "--universal",
        "--generate-hashes",
    ]
    command += ["--python-version", OLDEST_PYTHON, "--no-header", "--no-annotate", "--no-emit-index-url"]
    command += ["--output-file", str(output), *options, *sources]
    command += ["--constraints", str(constraints)] if constraints else []
    subprocess.run(command, cwd=ROOT, env=env, check=True)


def main(options: list[str]) -> None:
    """Resolves everything together, then each lock file within that."""
    folder = ROOT / "lock"
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        together = Path(temporary) / "all.txt"
        together.write_text(
            "".join(path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.txt")))
        )
        resolve([name for names in SOURCES.values() for name in names], None, together, options)
        for lock, sources in SOURCES.items():
            part = Path(temporary) / f"{lock}.txt"
            resolve(sources, together, part, [])
            kept = [
                text
                for entry, text in entries(part.read_text(encoding="utf-8")).items()
                if belongs(lock, entry)
            ]
            (folder / f"{lock}.txt").write_text("".join(kept), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])

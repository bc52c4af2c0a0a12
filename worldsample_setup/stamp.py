"""Record of what has been set up already, from which follows what is still to do.

The stamp is one JSON file in the virtual environment's folder. Each part is written into it when its step has
ended well and taken out before the step starts again, so that an interrupted step leaves its part missing,
never wrong.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from worldsample_setup.home import Home

FORMAT = 1
REQUIREMENT_FILES = (
    "requirements.txt",
    "requirements-optional.txt",
    "requirements-ros.txt",
    "requirements-test.txt",
    "requirements-setup.txt",
)
GPU_DEVICES = ("/dev/nvidiactl", "/dev/dxg")
# Files whose content matters to an installed package; of all other files only the names do, since Python
# files, configuration and launch files are links into the checkout.
BUILT_NAMES = ("package.xml", "setup.py", "setup.cfg", "CMakeLists.txt")
BUILT_SUFFIXES = (".msg", ".srv", ".action", ".cpp", ".hpp", ".cmake", ".in")
NOT_INSTALLED = ("test", "__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis")


@dataclass
class Stamp:
    """The parts that are done; an empty value means not done."""

    format: int = FORMAT
    root: str = ""  # the checkout for which all of this was made
    base_python: str = ""  # the interpreter that made the virtual environment
    requirements: str = ""  # digest of the lock files that are installed
    torch: str = ""  # "cpu" or "cuda"
    torch_chosen: bool = False  # by WORLDSAMPLE_TORCH, not by what the machine has
    gpu_device: bool = False  # whether the machine had a GPU's device file then
    top_level: list[str] = field(default_factory=list)  # what lay in site-packages then
    cmake_paths: str = ""  # the paths that were written into the wheels' CMake files
    packages: dict[str, str] = field(default_factory=dict)  # built workspace packages and their hashes
    workspace_paths: dict[str, list[str]] = field(default_factory=dict)  # what install/local_setup.sh adds
    graphics: dict[str, str] = field(default_factory=dict)  # the variables with which rendering works
    graphics_from: str = ""  # "system", "private" or "skipped"
    checked: bool = False  # everything was imported and used together once


def read_stamp(path: Path) -> Stamp | None:
    """The stamp, or None if there is none that this code can use."""
    try:
        raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        stamp = Stamp(**raw)
    except (OSError, ValueError, TypeError):
        return None
    return stamp if stamp.format == FORMAT else None


def write_stamp(path: Path, stamp: Stamp) -> None:
    """Replaces the stamp in one move, so that it is never seen half-written."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps(asdict(stamp), indent=1), encoding="utf-8")
    os.replace(new, path)


def lock_digest(root: Path) -> str:
    """Digest of the lock files, the same as `cat lock/*.txt | sha256sum | cut -c 1-16`."""
    digest = hashlib.sha256()
    for path in sorted((root / "lock").glob("*.txt")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def has_gpu_device() -> bool:
    """True where there is an NVIDIA GPU's device file; told at once, where nvidia-smi takes a second."""
    return any(os.path.exists(path) for path in GPU_DEVICES)


def source_packages(home: Home) -> dict[str, Path]:
    """The packages to build by name: every `src/*/` that holds a package.xml, and what the wheels lack."""
    source, *others = home.sources
    own = [path.parent for path in sorted(source.glob("*/package.xml"))]
    return {path.name: path for path in (*others, *own)}


def package_hash(package: Path) -> str:
    """Hash of everything whose change means that the package has to be built again."""
    digest = hashlib.sha256()
    for folder, folders, files in os.walk(package):
        folders[:] = sorted(
            name for name in folders if name not in NOT_INSTALLED and not name.endswith(".egg-info")
        )
        for name in sorted(files):
            path = Path(folder) / name
            built = name in BUILT_NAMES or name.endswith(BUILT_SUFFIXES)
            if not built and name.endswith((".py", ".pyc")) and not _is_data(path.relative_to(package)):
                continue
            digest.update(str(path.relative_to(package)).encode() + b"\0")
            if built:
                digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()


def _is_data(relative: Path) -> bool:
    """Python files that are installed by name, one link each: the launch files."""
    return relative.parts[0] == "launch"


@dataclass
class Work:
    """Work of a set-up; `reasons` says why, for the log and the terminal."""

    fresh: bool = False  # remove the folder and begin anew
    environment: bool = False
    python_packages: bool = False
    again: bool = False  # the packages over what is there, which may not be whole
    cmake_paths: bool = False
    build: list[str] = field(default_factory=list)
    clean_build: bool = False
    graphics: bool = False
    check: bool = False
    reasons: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(
            self.fresh
            or self.environment
            or self.python_packages
            or self.cmake_paths
            or self.build
            or self.clean_build
            or self.graphics
            or self.check
        )


def work_to_do(home: Home, stamp: Stamp | None) -> Work:
    """Compares the stamp with the checkout and with what is on disk. Reads only, within milliseconds."""
    packages = source_packages(home)
    everything = Work(
        environment=True,
        python_packages=True,
        cmake_paths=home.kind == "wheels",
        build=list(packages),
        graphics=True,
        check=True,
    )
    if stamp is None or not stamp.root:
        everything.reasons = ["nothing is set up yet"]
        return everything
    if stamp.root != str(home.root):
        everything.fresh = everything.clean_build = True
        everything.reasons = [f"the checkout was moved or copied (it was set up at {stamp.root})"]
        return everything
    if not environment_works(home, stamp):
        everything.fresh = bool(stamp.base_python)
        everything.clean_build = everything.fresh
        everything.reasons = ["the virtual environment is incomplete or its Python is gone"]
        return everything

    work = Work()
    chosen = os.environ.get("WORLDSAMPLE_TORCH", "")
    if not stamp.requirements:
        work.python_packages = work.again = True
        work.reasons.append("the Python packages were not installed to the end")
    elif stamp.requirements != lock_digest(home.root):
        work.python_packages = True
        work.reasons.append("the requirements changed")
    elif gone := sorted(set(stamp.top_level) - set(os.listdir(home.site_packages()))):
        work.python_packages = work.again = True
        work.reasons.append(f"{', '.join(gone[:3])} went missing from the virtual environment")
    elif chosen and chosen != stamp.torch:
        work.python_packages = work.again = True
        work.reasons.append(f"WORLDSAMPLE_TORCH={chosen}")
    elif not chosen and not stamp.torch_chosen and has_gpu_device() != stamp.gpu_device:
        work.python_packages = work.again = True
        work.reasons.append(f"the GPU {'is gone' if stamp.gpu_device else 'is new'}")
    if home.kind == "wheels":
        work.cmake_paths = work.python_packages or not stamp.cmake_paths

    hashes = {name: package_hash(path) for name, path in packages.items()}
    removed = sorted(set(stamp.packages) - set(hashes))
    if removed:
        work.clean_build = True
        work.build = list(hashes)
        work.reasons.append(f"{', '.join(removed)} left the workspace")
    else:
        work.build = [
            name
            for name, digest in hashes.items()
            if stamp.packages.get(name) != digest or not package_is_installed(home, name)
        ]
        if not work.build and hashes and not stamp.workspace_paths:
            work.build = list(hashes)
        if work.build:
            work.reasons.append(f"to build: {', '.join(work.build)}")
    if not stamp.graphics_from or (stamp.graphics_from == "private" and not home.graphics_folder.is_dir()):
        work.graphics = True
        work.reasons.append("rendering was not tried yet")
    work.check = not stamp.checked or work.python_packages or work.graphics
    if not stamp.checked and not work.reasons:
        work.reasons.append("the parts were not tried together yet")
    return work


def environment_works(home: Home, stamp: Stamp) -> bool:
    """True if the virtual environment is whole enough to hold packages."""
    try:
        return (
            bool(stamp.base_python)
            and Path(stamp.base_python).exists()
            and home.python.exists()
            and (home.site_packages() / "pip").is_dir()
            and (home.folder / "pyvenv.cfg").is_file()
        )
    except FileNotFoundError:
        return False


def package_is_installed(home: Home, name: str) -> bool:
    """True if colcon's result for a package is still there."""
    return (home.installed_share(name) / "package.xml").exists() and (home.build_base / name).is_dir()

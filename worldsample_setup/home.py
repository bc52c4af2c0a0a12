"""The two homes of the workspace: a sourced ROS 2, or the ROS wheels in a virtual environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

TRIED_DISTROS = ("jazzy", "kilted")


@dataclass(frozen=True)
class Home:
    """The folders of everything that the set-up makes.

    With the wheels all of it lies in one folder (`.venv`), so that removing that folder removes the set-up.
    Where ROS 2 is sourced, `build`, `install` and `log` lie where `colcon build` puts them, so that
    `source install/setup.bash` and `ros2 launch` work as in any workspace; the folder (`.venv-<distro>`)
    holds the Python packages that the distribution lacks.
    """

    kind: str  # "wheels" or "ros"
    root: Path  # the checkout
    folder: Path  # the virtual environment
    distro: str = ""  # ROS_DISTRO; "ros" only
    ros_python: str = ""  # "3.12": the Python that rclpy was built for; "ros" only

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def log(self) -> Path:
        return self.folder / "setup.log"

    @property
    def stamp(self) -> Path:
        return self.folder / "worldsample-setup.json"

    @property
    def lock(self) -> Path:
        return self.folder.with_name(self.folder.name + ".lock")

    @property
    def source(self) -> Path:
        return self.root / "src"

    @property
    def sources(self) -> tuple[Path, ...]:
        """Folders that colcon searches: `src`, and what the wheels lack of ROS 2's own packages."""
        lacking = self.root / "worldsample_setup" / "ros_packages"
        packages = sorted(path.parent for path in lacking.glob("*/package.xml"))
        return (self.source, *packages) if self.kind == "wheels" else (self.source,)

    @property
    def workspace(self) -> Path:
        return self.folder / "workspace" if self.kind == "wheels" else self.root

    @property
    def build_base(self) -> Path:
        return self.workspace / "build"

    @property
    def install_base(self) -> Path:
        return self.workspace / "install"

    @property
    def log_base(self) -> Path:
        return self.workspace / "log"

    @property
    def graphics_folder(self) -> Path:
        return self.folder / "gl"

    @property
    def python_folder(self) -> Path:
        """Folder in which Python's headers and pip are unpacked on a Debian that lacks them."""
        return self.folder / "python"

    def site_packages(self) -> Path:
        """The virtual environment's own site-packages.

        Raises:
            FileNotFoundError: there is no virtual environment yet.
        """
        for candidate in sorted((self.folder / "lib").glob("python3.*/site-packages")):
            return candidate
        raise FileNotFoundError(f"no site-packages in {self.folder}")

    def installed_share(self, package: str) -> Path:
        """The folder `share/<package>` in which colcon has installed a package."""
        prefix = self.install_base if self.kind == "wheels" else self.install_base / package
        return prefix / "share" / package


def find_home(root: Path, environ: Mapping[str, str]) -> Home:
    """The home for this shell: "ros" where ROS 2 is sourced and rclpy is importable, else "wheels".

    `WORLDSAMPLE_ROS=wheels` takes the wheels even where ROS 2 is sourced; `WORLDSAMPLE_VENV` moves the
    folder.
    """
    moved = environ.get("WORLDSAMPLE_VENV")
    distro = environ.get("ROS_DISTRO", "")
    if distro and environ.get("WORLDSAMPLE_ROS") != "wheels":
        rclpy = sourced_rclpy(environ)
        if rclpy is not None:
            folder = Path(moved).absolute() if moved else root / f".venv-{distro}"
            return Home("ros", root, folder, distro, rclpy.parent.parent.name.removeprefix("python"))
    return Home("wheels", root, Path(moved).absolute() if moved else root / ".venv")


def sourced_rclpy(environ: Mapping[str, str]) -> Path | None:
    """The rclpy that PYTHONPATH leads to, e.g. /opt/ros/jazzy/lib/python3.12/site-packages/rclpy."""
    for entry in environ.get("PYTHONPATH", "").split(os.pathsep):
        folder = Path(entry) / "rclpy"
        if entry and folder.is_dir() and folder.parent.parent.name.startswith("python3."):
            return folder
    return None

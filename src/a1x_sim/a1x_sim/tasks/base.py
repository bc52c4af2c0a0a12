"""The base class of all tasks: objects, randomisation, success condition and expert."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from worldsample_core.config import TaskConfig

if TYPE_CHECKING:
    import mujoco  # loads OpenGL, which watching and driving do not need

Array = NDArray[np.float64]
State = dict[str, float]
"""Privileged truth, SI units. The cell fills in ``ee_x, ee_y, ee_z`` (m, base_link), ``gripper`` (0 closed ..
1 open), ``time`` (s since reset) and ``success`` (0 or 1)."""


@dataclass(frozen=True)
class SideCamera:
    """The fixed camera: position and target in base_link, m; vertical field of view, degrees."""

    position: tuple[float, float, float]
    target: tuple[float, float, float]
    fovy: float

    @property
    def pos(self) -> str:
        """MJCF ``pos``."""
        return " ".join(f"{value:g}" for value in self.position)

    @property
    def xyaxes(self) -> str:
        """MJCF ``xyaxes`` of a level camera that looks at the target."""
        forward = np.subtract(self.target, self.position)
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, (0.0, 0.0, 1.0))
        right /= np.linalg.norm(right)
        return " ".join(f"{value:.6f}" for value in (*right, *np.cross(right, forward)))


@dataclass(frozen=True)
class SceneFragment:
    """MJCF of a task's objects (geoms of ``class="object"`` collide), to be put into the cell."""

    bodies: str
    side_camera: SideCamera
    assets: str = ""
    extra: str = ""
    held: str = ""
    """Put into gripper_link: what the gripper holds from the start and never lets go."""


class Task(ABC):
    """One task of the cell. A new task is one file with a subclass, see docs/adding-a-task.md."""

    name: ClassVar[str]
    config: TaskConfig
    """Limits and horizon: the task's defaults in the class, a run's own in the instance."""
    hold_steps: ClassVar[int] = 2
    """Control steps for which :meth:`solved` must hold to count as success."""
    rotation_limit: ClassVar[float] = 0.6
    """Largest angle of the commanded orientation from the reset orientation, rad."""

    def __init__(self, config: TaskConfig | None = None) -> None:
        if config is not None:
            self.config = config

    @abstractmethod
    def scene(self) -> SceneFragment:
        """The task's objects."""

    def bind(self, model: mujoco.MjModel) -> None:  # noqa: B027
        """Look up ids in the compiled model, once."""

    @abstractmethod
    def randomise(self, model: mujoco.MjModel, data: mujoco.MjData, rng: np.random.Generator) -> None:
        """Draw object poses, and colours where they matter, into ``model`` and ``data`` (freshly reset)."""

    def start_offset(self, rng: np.random.Generator) -> Array:
        """Start of the end effector relative to its pose at ``reset_joints``: (3,) m."""
        return np.zeros(3)

    def before_physics(self, model: mujoco.MjModel, data: mujoco.MjData) -> None:  # noqa: B027
        """Called every 10 ms of simulated time: friction laws that MJCF cannot express."""

    @abstractmethod
    def state(self, model: mujoco.MjModel, data: mujoco.MjData) -> State:
        """Privileged truth of the task's objects."""

    @abstractmethod
    def solved(self, state: State) -> bool:
        """True if the goal condition holds at this moment."""

    def failed(self, state: State) -> bool:
        """True if the episode cannot be solved any more."""
        return False

    @abstractmethod
    def potential(self, state: State) -> float:
        """Progress in [0, 1]; what a watching person sees."""

    @abstractmethod
    def expert(self, state: State) -> Array:
        """A good action (7,) in [-1, 1]."""

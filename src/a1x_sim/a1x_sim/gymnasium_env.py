"""The simulated cell as a ``gymnasium.Env``, so that any learner runs on the tasks, without ROS nodes.

Importing this module registers ``A1X/Pushing-v0``, ``A1X/Insertion-v0``, ``A1X/Sorting-v0``,
``A1X/PickPlace-v0`` and ``A1X/Assembly-v0``; gymnasium imports it by itself in
``gymnasium.make("a1x_sim.gymnasium_env:A1X/Pushing-v0")``. A task of your own (docs/adding-a-task.md):
``CellEnv(task="touch")``.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from a1x_sim.graphics import load_mujoco
from a1x_sim.tasks import TASKS
from a1x_sim.tasks.base import Task
from worldsample_core.config import TaskConfig
from worldsample_core.observation import ACTION_DIM, VIEWS, Observation

CellObservation = dict[str, NDArray[Any]]
"""Observation: ``side`` and ``wrist``, each ``(H, W, 3) uint8`` rgb, and ``proprio``, ``(10,) float32``."""

ARM_REACH = 1.0
"""Upper bound of the distance of ``gripper_link`` from ``base_link``, m; the A1X's links add up to less."""

RENDER_SIZE = 256
"""Side of each view in :meth:`CellEnv.render`, pixels."""


class CellEnv(gymnasium.Env[CellObservation, NDArray[np.float32]]):
    """One task of the simulated cell.

    The action is the policy's: ``(7,) float32`` in [-1, 1], times ``task.action_scale`` a motion of the end
    effector in one control step of 0.1 s, and the gripper (-1 closes, 1 opens, 0 leaves it). Dimensions that
    the task does not use do nothing.

    The observation has the keys of :data:`CellObservation`; ``proprio`` is described in
    :class:`worldsample_core.observation.Observation`.

    The reward is 1 in the step in which the task succeeds, else 0. An episode terminates with success, and
    when it cannot be solved any more; it is truncated after ``task.horizon`` steps. These are the rules of a
    run's rollouts.

    Equal seeds and actions give equal observations. The cell belongs to the thread that made it.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012  # as gymnasium declares it

    def __init__(
        self,
        task: str | Task = "pushing",
        image_size: int | tuple[int, int] = 64,
        render_mode: str | None = None,
        config: TaskConfig | None = None,
        images: bool = True,
    ) -> None:
        """Build the cell.

        Args:
            task: name of a task, or the task.
            image_size: side, or (height, width), of the images in observations, pixels.
            render_mode: "rgb_array", or None.
            config: limits of the task, e.g. a run's own; None: the task's.
            images: draw what the cameras see. False: ``side`` and ``wrist`` are black, and a step takes a
                fraction of the time.

        Raises:
            ConfigError: unknown task. NoRenderer: OpenGL is missing. ValueError: unknown render mode.
        """
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"render_mode {render_mode!r} is not one of None, 'rgb_array'")
        load_mujoco()
        from a1x_sim.cameras import Cameras
        from a1x_sim.cell import Cell

        self.render_mode = render_mode
        self.cell = Cell(task, image_size, config=config, render=images)
        self._views = Cameras(self.cell.model, RENDER_SIZE, RENDER_SIZE) if render_mode else None
        height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
        self.action_space = spaces.Box(-1.0, 1.0, (ACTION_DIM,), np.float32)
        low, high = proprio_bounds(self.cell.config.control_period)
        image = spaces.Box(0, 255, (height, width, 3), np.uint8)
        proprio = spaces.Box(low, high, dtype=np.float32)
        self.observation_space = spaces.Dict(  # type: ignore[assignment]  # it wants a dict of Any
            {**{view: image for view in VIEWS}, "proprio": proprio}
        )
        self._scene = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[CellObservation, dict[str, Any]]:
        """Start an episode in a random scene.

        Args:
            seed: of the random numbers from which this and the following scenes are drawn.
            options: ``{"scene": number}`` chooses the scene itself, as the seed of ``Cell.reset``.
        """
        super().reset(seed=seed)
        drawn = int(self.np_random.integers(1 << 31))
        self._scene = int((options or {}).get("scene", drawn))
        observation = self.cell.reset(self._scene)
        return self._observation(observation), self._info()

    def step(self, action: NDArray[np.float32]) -> tuple[CellObservation, float, bool, bool, dict[str, Any]]:
        """Advance one control step. Raises ``InvalidObservation`` where the action is not (7,) and finite."""
        observation = self.cell.step(action)
        succeeded = self.cell.success
        terminated = succeeded or self.cell.task.failed(self.cell.state())
        truncated = not terminated and self.cell.steps >= self.cell.config.horizon
        return self._observation(observation), float(succeeded), terminated, truncated, self._info()

    def render(self) -> NDArray[np.uint8] | None:  # type: ignore[override]
        """Side and wrist view beside each other, ``(256, 512, 3) uint8``; None without a render mode."""
        return None if self._views is None else np.concatenate(list(self._views.render(self.cell.data)), 1)

    def close(self) -> None:
        """Free the OpenGL contexts."""
        if self._views is not None:
            self._views.close()
            self._views = None
        self.cell.close()

    def _observation(self, observation: Observation) -> CellObservation:
        return {**dict(zip(VIEWS, observation.images, strict=True)), "proprio": observation.proprio}

    def _info(self) -> dict[str, Any]:
        return {"is_success": self.cell.success, "scene": self._scene}


def proprio_bounds(control_period: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Lowest and highest proprioception, each ``(10,) float32``: reach, half a turn, opening, velocity."""
    velocity = 2 * ARM_REACH / control_period
    high = np.array([ARM_REACH] * 3 + [np.pi] * 3 + [1.0] + [velocity] * 3, np.float32)
    low = -high
    low[6] = 0.0
    return low, high


def environment_id(task: str) -> str:
    """Name of a task's environment: ``A1X/PickPlace-v0`` of ``pick_place``."""
    return f"A1X/{''.join(word.capitalize() for word in task.split('_'))}-v0"


for _task in TASKS:
    if environment_id(_task) not in gymnasium.registry:
        gymnasium.register(environment_id(_task), f"{__name__}:CellEnv", kwargs={"task": _task})

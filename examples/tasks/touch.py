"""Touch: bring the closed gripper to a green disk that lies anywhere on the table."""

from __future__ import annotations

import numpy as np
from mujoco import MjData, MjModel

from a1x_sim.arm_dimensions import FINGERTIP
from a1x_sim.tasks.base import Array, SceneFragment, SideCamera, State, Task
from worldsample_core.config import TaskConfig

NEAR = 0.015  # m: distance from the fingertips to the disk that counts as a touch


class Touch(Task):
    """The arm moves in x, y, z; the limits also stand in touch.yaml, which a run reads."""

    name = "touch"
    config = TaskConfig(
        name="touch", horizon=40, gamma=0.97, active=(True, True, True, False, False, False, False),
        action_scale=(0.02, 0.02, 0.02, 0.1, 0.1, 0.1, 1.0), box_low=(0.20, -0.12, 0.10),
        box_high=(0.36, 0.12, 0.20), reset_joints=(0.0, 1.8761, -1.1347, 0.8295, 0.0, 0.0),
        reset_gripper=0.0, max_real_steps=3000,
    )  # fmt: skip

    def scene(self) -> SceneFragment:
        """A disk that the arm can pass through."""
        disk = '<geom type="cylinder" size="0.02 0.003" rgba="0.1 0.7 0.2 1" contype="0" conaffinity="0"/>'
        camera = SideCamera((0.80, -0.42, 0.44), (0.27, 0.0, 0.04), 26.0)
        return SceneFragment(f'<body name="disk">{disk}</body>', camera)

    def bind(self, model: MjModel) -> None:
        self._disk = model.body("disk").id

    def randomise(self, model: MjModel, data: MjData, rng: np.random.Generator) -> None:
        model.body_pos[self._disk] = (*rng.uniform((0.23, -0.09), (0.33, 0.09)), 0.015)

    def state(self, model: MjModel, data: MjData) -> State:
        x, y, z = model.body_pos[self._disk]
        return {"disk_x": float(x), "disk_y": float(y), "disk_z": float(z)}

    def solved(self, state: State) -> bool:
        return float(np.linalg.norm(self._offset(state))) < NEAR

    def potential(self, state: State) -> float:
        return 1.0 - min(float(np.linalg.norm(self._offset(state))), 0.15) / 0.15

    def expert(self, state: State) -> Array:
        return np.concatenate([np.clip(0.6 * self._offset(state) / 0.02, -1.0, 1.0), np.zeros(4)])

    def _offset(self, state: State) -> Array:
        """Vector from the fingertips to the disk, (3,) m."""
        tips = np.array([state["ee_x"], state["ee_y"], state["ee_z"] - FINGERTIP])
        return np.array([state["disk_x"], state["disk_y"], state["disk_z"]]) - tips

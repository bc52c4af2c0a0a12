"""Pick and place: grasp a block that lies anywhere and put it into a tray that stands anywhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from a1x_sim.appearance import Tint
from a1x_sim.shapes import box, square_ring, text
from a1x_sim.tasks.base import Array, SceneFragment, SideCamera, State
from a1x_sim.tasks.picking import Picking
from worldsample_core.config import TaskConfig

if TYPE_CHECKING:
    import mujoco  # loads OpenGL, which watching and driving do not need

TRAY_HALF, RIM, FLOOR = 0.046, 0.020, 0.004  # m: inner half width, height of the rim, thickness of the floor
APART = (0.085, 0.135)  # m, least distance of block and tray along x or along y: the open fingers need room


class PickPlace(Picking):
    """The arm moves in x, y, z and uses the gripper; block and tray have random poses."""

    name = "pick_place"
    config = TaskConfig(
        name="pick_place",
        horizon=80,
        gamma=0.98,
        active=(True, True, True, False, False, False, True),
        action_scale=(0.02, 0.02, 0.02, 0.1, 0.1, 0.1, 1.0),
        box_low=(0.19, -0.15, 0.094),
        box_high=(0.36, 0.15, 0.20),
        reset_joints=(0.0, 1.8761, -1.1347, 0.8295, 0.0, 0.0),
        reset_gripper=1.0,
        max_real_steps=20000,
    )
    centre = (0.275, 0.0)
    """Average position of block and tray, m."""

    def scene(self) -> SceneFragment:
        a, f = TRAY_HALF, FLOOR / 2
        tray = box((0, 0, f), (a, a, f), "tray_floor", "object")
        tray += square_ring(a, 0.006, 0.0, RIM, "tray", "object")
        h = self.part_half
        bodies = f"""
    <body name="tray">{tray}</body>
    <body name="part" pos="0.3 0 {text([h])}">
      <freejoint name="part"/>
      {box((0, 0, 0), (h, h, h), "block", "object", mass="0.05")}
    </body>"""
        assets = """
    <material name="tray" rgba="0.95 0.95 0.92 1" specular="0.1"/>
    <material name="tray_floor" rgba="0.25 0.62 0.30 1" specular="0.05"/>
    <material name="block" rgba="0.95 0.50 0.08 1" specular="0.1"/>"""
        return SceneFragment(bodies, SideCamera((0.80, -0.42, 0.44), (0.265, 0.0, 0.035), 26.0), assets)

    def bind(self, model: mujoco.MjModel) -> None:
        super().bind(model)
        self._tray = model.body("tray").id
        self._tint = Tint(model, ("tray", "tray_floor", "block"))

    def randomise(self, model: mujoco.MjModel, data: mujoco.MjData, rng: np.random.Generator) -> None:
        while True:
            block = np.add(self.centre, rng.uniform((-0.06, -0.12), (0.06, 0.12)))
            tray = np.add(self.centre, rng.uniform((-0.04, -0.10), (0.04, 0.10)))
            if np.any(np.abs(block - tray) > APART):
                break
        self.put(data, float(block[0]), float(block[1]), rng.uniform(-0.4, 0.4))
        yaw = rng.uniform(-0.3, 0.3)
        model.body_pos[self._tray] = (*tray, 0.0)
        model.body_quat[self._tray] = (np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2))
        self._tint.draw(model, rng)

    def start_offset(self, rng: np.random.Generator) -> Array:
        return rng.uniform((-0.03, -0.05, -0.015), (0.03, 0.05, 0.015))

    def state(self, model: mujoco.MjModel, data: mujoco.MjData) -> State:
        x, y, _ = (float(value) for value in model.body_pos[self._tray])
        quaternion = model.body_quat[self._tray]
        yaw = float(2.0 * np.arctan2(quaternion[3], quaternion[0]))
        return {**super().state(model, data), "tray_x": x, "tray_y": y, "tray_yaw": yaw}

    def goal(self, state: State) -> tuple[float, float, float]:
        return state["tray_x"], state["tray_y"], FLOOR + self.part_half + 0.002

    def placed(self, state: State) -> bool:
        x, y = state["part_x"] - state["tray_x"], state["part_y"] - state["tray_y"]
        cosine, sine = np.cos(state["tray_yaw"]), np.sin(state["tray_yaw"])
        inside = max(abs(cosine * x + sine * y), abs(cosine * y - sine * x)) < TRAY_HALF - 0.012
        return bool(inside and state["part_z"] < FLOOR + self.part_half + 0.004)

"""Sorting: cubes go into the red bin on the left, cylinders into the yellow bin on the right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from a1x_sim.appearance import Tint
from a1x_sim.shapes import box, cylinder, square_ring, text
from a1x_sim.tasks.base import Array, SceneFragment, SideCamera, State
from a1x_sim.tasks.picking import Picking
from worldsample_core.config import TaskConfig

if TYPE_CHECKING:
    import mujoco  # loads OpenGL, which watching and driving do not need

KINDS = ("cube", "cylinder")
BIN_HALF, RIM, FLOOR = 0.042, 0.022, 0.004  # m: inner half width, height of the rim, thickness of the floor
HIDDEN_GROUP = 3  # geoms that no camera shows


class Sorting(Picking):
    """The part's kind is drawn per episode and shows in the images only: a red cube or a yellow cylinder.

    A part that has come to rest in the wrong bin ends the episode.
    """

    name = "sorting"
    config = TaskConfig(
        name="sorting",
        horizon=80,
        gamma=0.98,
        active=(True, True, True, False, False, False, True),
        action_scale=(0.02, 0.02, 0.02, 0.1, 0.1, 0.1, 1.0),
        box_low=(0.20, -0.16, 0.094),
        box_high=(0.34, 0.16, 0.19),
        reset_joints=(0.0, 1.8761, -1.1347, 0.8295, 0.0, 0.0),
        reset_gripper=1.0,
        max_real_steps=20000,
    )
    place_tolerance = 0.016
    centre = (0.265, 0.0)
    """Average position of the part, m."""
    bins = ((0.265, 0.153), (0.265, -0.153))
    """Average positions of the bins of both kinds, m."""

    def scene(self) -> SceneFragment:
        a, h = BIN_HALF, self.part_half
        bins = "".join(
            f'<body name="bin_{kind}">'
            + square_ring(a, 0.005, 0.0, RIM, f"bin_{kind}", "object")
            + box((0, 0, FLOOR / 2), (a, a, FLOOR / 2), f"bin_{kind}", "object")
            + "</body>"
            for kind in KINDS
        )
        bodies = f"""
    {bins}
    <body name="part" pos="0.265 0 {text([h])}">
      <freejoint name="part"/>
      <inertial pos="0 0 0" mass="0.05" diaginertia="1e-5 1e-5 1e-5"/>
      {box((0, 0, 0), (h, h, h), "cube", "object", name="cube")}
      {cylinder((0, 0, -h), (0, 0, h), h, "cylinder", "object", name="cylinder")}
    </body>"""
        assets = """
    <material name="cube" rgba="0.88 0.08 0.10 1" specular="0.1"/>
    <material name="cylinder" rgba="0.98 0.82 0.08 1" specular="0.1"/>
    <material name="bin_cube" rgba="0.62 0.10 0.12 1" specular="0.1"/>
    <material name="bin_cylinder" rgba="0.78 0.62 0.10 1" specular="0.1"/>"""
        return SceneFragment(bodies, SideCamera((0.84, 0.0, 0.44), (0.27, 0.0, 0.04), 34.0), assets)

    def bind(self, model: mujoco.MjModel) -> None:
        super().bind(model)
        self._bins = [model.body(f"bin_{kind}").id for kind in KINDS]
        self._shapes = [model.geom(kind).id for kind in KINDS]
        self._collides = model.geom_contype[self._shapes[0]], model.geom_conaffinity[self._shapes[0]]
        self._tint = Tint(model, (*KINDS, *(f"bin_{kind}" for kind in KINDS)))
        self._kind = 0

    def randomise(self, model: mujoco.MjModel, data: mujoco.MjData, rng: np.random.Generator) -> None:
        self._kind = int(rng.integers(2))
        for kind, geom in enumerate(self._shapes):
            there = kind == self._kind
            model.geom_group[geom] = 0 if there else HIDDEN_GROUP
            model.geom_contype[geom], model.geom_conaffinity[geom] = self._collides if there else (0, 0)
        x, y = np.add(self.centre, rng.uniform((-0.045, -0.035), (0.045, 0.035)))
        self.put(data, float(x), float(y), rng.uniform(-0.4, 0.4))
        for body, centre in zip(self._bins, self.bins, strict=True):
            model.body_pos[body, :2] = np.add(centre, rng.uniform((-0.025, -0.006), (0.025, 0.006)))
        self._tint.draw(model, rng)

    def start_offset(self, rng: np.random.Generator) -> Array:
        return rng.uniform((-0.03, -0.04, -0.015), (0.03, 0.04, 0.015))

    def state(self, model: mujoco.MjModel, data: mujoco.MjData) -> State:
        state = {**super().state(model, data), "kind": float(self._kind)}
        for kind, body in zip(KINDS, self._bins, strict=True):
            state[f"{kind}_bin_x"], state[f"{kind}_bin_y"] = (
                float(value) for value in model.body_pos[body, :2]
            )
        return state

    def goal(self, state: State) -> tuple[float, float, float]:
        """Over the bin of the part's kind, just higher than the rim."""
        kind = KINDS[int(state["kind"])]
        return state[f"{kind}_bin_x"], state[f"{kind}_bin_y"], RIM + self.part_half + 0.004

    def placed(self, state: State) -> bool:
        return self._lies_in(KINDS[int(state["kind"])], state)

    def failed(self, state: State) -> bool:
        other = KINDS[1 - int(state["kind"])]
        wrong = self._lies_in(other, state) and state["fingers"] == 0 and state["part_speed"] < 0.02
        return wrong or super().failed(state)

    def _lies_in(self, kind: str, state: State) -> bool:
        x, y = state["part_x"] - state[f"{kind}_bin_x"], state["part_y"] - state[f"{kind}_bin_y"]
        return max(abs(x), abs(y)) < BIN_HALF and state["part_z"] < RIM + self.part_half

"""Assembly: pick up a cap, put it over a post, let go, and press it home from above."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from a1x_sim.appearance import Tint
from a1x_sim.arm_dimensions import FINGERTIP
from a1x_sim.shapes import box, capsule, text
from a1x_sim.tasks.base import Array, SceneFragment, SideCamera, State
from a1x_sim.tasks.picking import Picking
from worldsample_core.config import TaskConfig

if TYPE_CHECKING:
    import mujoco  # loads OpenGL, which watching and driving do not need

CAVITY_HALF, LID = 0.010, 0.008  # m: half width of the cap's cavity, thickness of its lid
POST_RADIUS, POST_TOP = 0.007, 0.038  # m; 3 mm of room on each side of the post
SEAT_UP, TRAVEL, GOAL_DEPTH = 0.026, 0.012, 0.010  # m: height of the seat under the cap, its way down
SEAT_FRICTION = 6.0  # N: a tight fit, which a cap that is put down or falls does not move
RETURN_FORCE = 10.0  # N: lifts a seat that was pressed down without a cap
SHOULDER = 0.024  # m, height of the blocks on which fingers that hold the cap come to lie


class Assembly(Picking):
    """Assembly in three stages: put the cap over the post, let go, press it home.

    Fingers that hold the cap low meet the shoulders of the fixture before the cap is home. Therefore the cap
    is let go and then pressed.
    """

    name = "assembly"
    config = TaskConfig(
        name="assembly",
        horizon=100,
        gamma=0.985,
        active=(True, True, True, False, False, False, True),
        action_scale=(0.014, 0.014, 0.02, 0.1, 0.1, 0.1, 1.0),
        box_low=(0.20, -0.14, 0.094),
        box_high=(0.35, 0.14, 0.20),
        reset_joints=(0.0, 1.8761, -1.1347, 0.8295, 0.0, 0.0),
        reset_gripper=1.0,
        max_real_steps=40000,
    )
    place_tolerance = 0.005
    lift_slope = 6.0
    place_gain = 1.3
    cap_centre, fixture_centre = (0.275, 0.075), (0.275, -0.09)
    """Average position of cap and fixture, m."""

    def scene(self) -> SceneFragment:
        h, c = self.part_half, CAVITY_HALF
        wall, low, tall = (h - c) / 2, -LID / 2, h - LID / 2
        contact = {"condim": "4", "friction": "1.2 0.01 0.001", "priority": "1"}
        cap = box((0, 0, h - LID / 2), (h, h, LID / 2), "cap", "object", mass="0.02", **contact) + "".join(
            box((x, y, low + gap), (*size, tall - gap), "cap", "object", mass="0.01", **contact)
            for x, y, size, gap in (  # it stands on two of its walls: fewer contacts
                (c + wall, 0, (wall, h), 0.0),
                (-c - wall, 0, (wall, h), 0.0),
                (0, c + wall, (c, wall), 0.0003),
                (0, -c - wall, (c, wall), 0.0003),
            )
        )
        smooth = {"condim": "3", "friction": "0.1", "priority": "2"}
        shoulders = "".join(
            box((0, y, SHOULDER / 2), (0.012, 0.013, SHOULDER / 2), "shoulder", "object", **smooth)
            for y in (0.034, -0.034)
        )
        fixture = (
            box((0, 0, 0.004), (0.034, 0.047, 0.004), "fixture", "object")
            + shoulders
            + capsule((0, 0, 0.008), (0, 0, POST_TOP - POST_RADIUS), POST_RADIUS, "post", "object")
        )
        bodies = f"""
    <body name="fixture" pos="{text((*self.fixture_centre, 0.0))}">
      {fixture}
      <body name="seat" pos="0 0 {SEAT_UP - 0.003}" gravcomp="1">
        <inertial pos="0 0 0" mass="0.05" diaginertia="1e-5 1e-5 1e-5"/>
        <joint name="seat" type="slide" axis="0 0 -1" range="0 {TRAVEL}" damping="10" armature="0.1"
               frictionloss="{SEAT_FRICTION}" solreffriction="0.004 1" solimpfriction="0.98 0.999 0.001"
               solreflimit="0.004 1" solimplimit="0.98 0.999 0.001"/>
        {box((0, 0, 0), (0.016, 0.016, 0.003), "seat", "object")}
      </body>
    </body>
    <body name="part" pos="0.275 0.075 {text([h])}">
      <freejoint name="part"/>
      {cap}
    </body>"""
        assets = """
    <material name="cap" rgba="0.93 0.30 0.55 1" specular="0.1"/>
    <material name="fixture" rgba="0.90 0.90 0.86 1" specular="0.1"/>
    <material name="shoulder" rgba="0.24 0.30 0.62 1" specular="0.1"/>
    <material name="seat" rgba="0.12 0.13 0.15 1" specular="0.1"/>
    <material name="post" rgba="0.98 0.84 0.12 1" specular="0.2"/>"""
        extra = '<contact><exclude body1="fixture" body2="seat"/></contact>'
        return SceneFragment(bodies, SideCamera((0.80, -0.42, 0.44), (0.265, 0.0, 0.03), 24.0), assets, extra)

    def bind(self, model: mujoco.MjModel) -> None:
        super().bind(model)
        self._fixture, self._seat = model.body("fixture").id, int(model.joint("seat").qposadr[0])
        self._seat_dof = int(model.joint("seat").dofadr[0])
        self._tint = Tint(model, ("cap", "fixture", "shoulder", "post"))

    def randomise(self, model: mujoco.MjModel, data: mujoco.MjData, rng: np.random.Generator) -> None:
        x, y = np.add(self.cap_centre, rng.uniform((-0.045, -0.035), (0.045, 0.035)))
        self.put(data, float(x), float(y), rng.uniform(-0.12, 0.12))
        at = np.add(self.fixture_centre, rng.uniform((-0.04, -0.02), (0.04, 0.02)))
        model.body_pos[self._fixture, :2] = at
        self._tint.draw(model, rng)

    def start_offset(self, rng: np.random.Generator) -> Array:
        return rng.uniform((-0.03, -0.05, -0.015), (0.03, 0.05, 0.015))

    def before_physics(self, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        """Without a cap over the post, the seat comes up again: nobody can press first and place later."""
        offset = data.qpos[self._at : self._at + 2] - model.body_pos[self._fixture, :2]
        data.qfrc_applied[self._seat_dof] = 0.0 if np.abs(offset).max() < 0.015 else -RETURN_FORCE

    def state(self, model: mujoco.MjModel, data: mujoco.MjData) -> State:
        x, y, _ = (float(value) for value in model.body_pos[self._fixture])
        depth = float(data.qpos[self._seat])
        i, j = data.qpos[self._at + 4 : self._at + 6]
        upright = float(1.0 - 2.0 * (i * i + j * j))  # cosine of the cap's tilt
        common = super().state(model, data)
        return {**common, "fixture_x": x, "fixture_y": y, "seat_depth": depth, "part_upright": upright}

    def goal(self, state: State) -> tuple[float, float, float]:
        """On the seat, over the post."""
        return state["fixture_x"], state["fixture_y"], SEAT_UP - state["seat_depth"] + self.part_half + 0.001

    def placed(self, state: State) -> bool:
        """The cap sits on the seat, over the post."""
        x, y, z = np.subtract(self.goal(state), (state["part_x"], state["part_y"], state["part_z"]))
        return bool(max(abs(x), abs(y)) < 0.005 and abs(z) < 0.004 and state["part_upright"] > 0.98)

    def solved(self, state: State) -> bool:
        home = self.placed(state) and state["seat_depth"] >= GOAL_DEPTH
        return home and not self.held(state) and state["part_speed"] < 0.02

    def failed(self, state: State) -> bool:
        """The cap is out of reach, or lies on its side."""
        lies = state["part_upright"] < 0.5 and state["fingers"] == 0 and state["part_speed"] < 0.02
        return lies or super().failed(state)

    def potential(self, state: State) -> float:
        if not self.placed(state):
            return 0.75 * super().potential(state)
        if self.held(state):
            return 0.65
        _, _, height = self._press_errors(state)
        down = min(state["seat_depth"] / GOAL_DEPTH, 1.0)
        closed = 1.0 - min(state["gripper"], 1.0)
        return 0.7 + 0.08 * closed + 0.04 * (height > -0.002) + 0.18 * down

    def expert(self, state: State) -> Array:
        if self.held(state):
            return self.carry(state)
        return self.press(state) if self.placed(state) else self.pick(state)

    def carry(self, state: State) -> Array:
        """As in other tasks; once the post is in the cavity, down and open."""
        offset = np.subtract(self.goal(state), (state["part_x"], state["part_y"], state["part_z"]))
        captured = offset[2] > SEAT_UP - POST_TOP + 0.004
        tilted = offset[2] > SEAT_UP - POST_TOP - 0.008 and state["part_upright"] < 0.97
        if np.abs(offset[:2]).max() < 0.006 and (captured or tilted):
            action = np.zeros(7)
            action[2], action[6] = 0.0, 1.0
            return action
        return super().carry(state)

    def press(self, state: State) -> Array:
        """Up with open fingers, close them, and press on the middle of the lid."""
        x, y, height = self._press_errors(state)
        action = self.towards(np.array([x, y]))
        if state["gripper"] > 0.1 and height < 0.003:
            action[:2], action[2], action[6] = 0.0, 1.0, 1.0
            return action
        action[6] = -1.0
        if state["gripper"] > 0.1 or max(abs(x), abs(y)) > 0.007:
            action[2] = self._vertical(0.010 - height)
        else:
            action[2] = -0.8
        return action

    def _press_errors(self, state: State) -> tuple[float, float, float]:
        """From the fingertips to the middle of the lid along x and y, and their height above the lid; m."""
        x, y = state["part_x"] - state["ee_x"], state["part_y"] - state["ee_y"]
        return x, y, state["ee_z"] - FINGERTIP - state["part_z"] - self.part_half

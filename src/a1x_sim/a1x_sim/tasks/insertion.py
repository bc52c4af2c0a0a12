"""Insertion: a plug in the gripper goes into a socket that is 3 mm wider."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from a1x_sim.appearance import Tint
from a1x_sim.arm_dimensions import FINGERTIP
from a1x_sim.shapes import box, square_ring, text
from a1x_sim.tasks.base import Array, SceneFragment, SideCamera, State, Task
from worldsample_core.config import TaskConfig

if TYPE_CHECKING:
    import mujoco  # loads OpenGL, which watching and driving do not need

PLUG_HALF, PLUG_LENGTH = 0.009, 0.050  # m
CLEARANCE = 0.0015  # m, on each side of the plug in the socket
SOCKET_HALF, SOCKET_HEIGHT = 0.032, 0.045  # m: half width of the block, and its height
GOAL_DEPTH = 0.025  # m, of the plug's end below the socket's upper face
PLUG_END = FINGERTIP + 0.028  # m, gripper_link to the plug's end, along the gripper
GRIP_STIFFNESS = 300.0  # N/m: the plug gives way sideways between the pads


class Insertion(Task):
    """The arm moves in x, y, z; the gripper holds the plug for good.

    An error of more than 1.5 mm puts the plug onto the socket's face, where pressing does not help. The plug
    gives way a little between the pads, as rubber does.
    """

    name = "insertion"
    config = TaskConfig(
        name="insertion",
        horizon=60,
        gamma=0.97,
        active=(True, True, True, False, False, False, False),
        action_scale=(0.008, 0.008, 0.010, 0.1, 0.1, 0.1, 1.0),
        box_low=(0.21, -0.11, 0.134),
        box_high=(0.36, 0.11, 0.225),
        reset_joints=(0.0, 1.8211, -1.1917, 0.9414, 0.0, 0.0),
        reset_gripper=0.18,
        max_real_steps=10000,
    )
    centre = (0.285, 0.0)
    """Average position of the socket, m."""

    def scene(self) -> SceneFragment:
        hole, top = PLUG_HALF + CLEARANCE, SOCKET_HEIGHT
        socket = (
            square_ring(hole, SOCKET_HALF - hole, 0.0, top, "socket", "object")
            + square_ring(hole, 0.005, top - 0.0004, top + 0.0004, "frame")  # painted around the hole
            + box((0, 0, 0.002), (hole, hole, 0.002), "dark_hole")
        )
        middle, length = PLUG_END - PLUG_LENGTH / 2, PLUG_LENGTH / 2
        joints = "".join(
            f'<joint name="plug_{name}" type="slide" axis="{axis}" range="-0.003 0.003" '
            f'stiffness="{GRIP_STIFFNESS}" damping="6" armature="0.02"/>'
            for name, axis in (("y", "0 1 0"), ("z", "0 0 1"))
        )
        slippery = {"friction": "0.3 0.005 0.0005", "priority": "1"}
        plug = box((0, 0, 0), (length, PLUG_HALF, PLUG_HALF), "plug", "object", name="plug", **slippery)
        held = f"""
        <body name="plug" pos="{text([middle])} 0 0" gravcomp="1">
          <inertial pos="0 0 0" mass="0.04" diaginertia="1e-5 1e-5 1e-5"/>
          {joints}
          {plug}
        </body>"""
        bodies = f'<body name="socket" pos="{text((*self.centre, 0.0))}">{socket}</body>'
        assets = """
    <material name="socket" rgba="0.20 0.22 0.26 1" specular="0.2"/>
    <material name="frame" rgba="0.96 0.96 0.92 1" specular="0.1"/>
    <material name="dark_hole" rgba="0.03 0.03 0.03 1" specular="0"/>
    <material name="plug" rgba="0.96 0.72 0.10 1" specular="0.2"/>"""
        camera = SideCamera((0.66, -0.38, 0.34), (0.285, 0.0, 0.055), 22.0)
        return SceneFragment(bodies, camera, assets, held=held)

    def bind(self, model: mujoco.MjModel) -> None:
        self._socket, self._plug = model.body("socket").id, model.geom("plug").id
        self._tint = Tint(model, ("socket", "frame", "plug"))

    def randomise(self, model: mujoco.MjModel, data: mujoco.MjData, rng: np.random.Generator) -> None:
        model.body_pos[self._socket, :2] = np.add(self.centre, rng.uniform((-0.04, -0.06), (0.04, 0.06)))
        self._tint.draw(model, rng)

    def start_offset(self, rng: np.random.Generator) -> Array:
        return rng.uniform((-0.02, -0.05, -0.01), (0.04, 0.05, 0.02))

    def state(self, model: mujoco.MjModel, data: mujoco.MjData) -> State:
        """``plug_*``: the middle of the plug's end; ``socket_*``: of the socket's upper face; m."""
        axis = data.geom_xmat[self._plug].reshape(3, 3)[:, 0]
        end = data.geom_xpos[self._plug] + axis * (PLUG_LENGTH / 2)
        x, y = (float(value) for value in model.body_pos[self._socket, :2])
        return {
            "plug_x": float(end[0]),
            "plug_y": float(end[1]),
            "plug_z": float(end[2]),
            "plug_tilt": float(np.hypot(axis[0], axis[1])),
            "socket_x": x,
            "socket_y": y,
        }

    def solved(self, state: State) -> bool:
        offset, depth = _errors(state)
        return depth >= GOAL_DEPTH and float(np.abs(offset).max()) < 2 * CLEARANCE

    def potential(self, state: State) -> float:
        offset, depth = _errors(state)
        distance = float(np.linalg.norm(offset))
        reach = 1.0 - min(distance, 0.12) / 0.12
        fine = 1.0 - min(distance, 0.01) / 0.01
        inside = min(max(depth, 0.0) / GOAL_DEPTH, 1.0) if distance < 3 * CLEARANCE else 0.0
        lower = 1.0 - min(max(-depth, 0.0), 0.05) / 0.05 if distance < 0.01 else 0.0
        return 0.3 * reach + 0.1 * fine + 0.15 * lower + 0.45 * inside

    def expert(self, state: State) -> Array:
        """Over the hole, down to just above it, then in; from the socket's face, up a little and again."""
        offset, depth = _errors(state)
        scale = np.asarray(self.config.action_scale[:3])
        action = np.zeros(7)
        action[:2] = 1.2 * offset / scale[:2]
        action[:2] /= max(1.0, float(np.abs(action[:2]).max()))
        error = float(np.abs(offset).max())
        if depth > 0.002:
            action[2] = -1.0
        else:
            wanted = 0.004 + min(1.5 * max(error - 0.002, 0.0), 0.04) if error > 0.8 * CLEARANCE else -0.01
            action[2] = np.clip(0.6 * (wanted + depth) / scale[2], -1.0, 1.0)
        return action


def _errors(state: State) -> tuple[Array, float]:
    """From the plug's end to the hole's middle (2,), and the depth of the end below the socket's face; m."""
    offset = np.array([state["socket_x"] - state["plug_x"], state["socket_y"] - state["plug_y"]])
    return offset, SOCKET_HEIGHT - state["plug_z"]

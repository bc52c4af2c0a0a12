"""Pushing: press a slice of bread down into a toaster, against its spring."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from a1x_sim.arm_dimensions import FINGERTIP
from a1x_sim.shapes import box, cylinder, text
from a1x_sim.tasks.base import Array, SceneFragment, SideCamera, State, Task

if TYPE_CHECKING:
    import mujoco  # loads OpenGL, which watching and driving do not need
from worldsample_core.config import TaskConfig

BREAD_WIDTH, BREAD_THICKNESS, BREAD_HEIGHT = 0.090, 0.016, 0.090  # m
TOASTER_HEIGHT = 0.072  # m
REST_HEIGHT = 0.034  # m, of the bread's lower edge above the table when the carriage is up
TRAVEL = 0.034  # m, until the carriage hits the bottom
GOAL_DEPTH = 0.030  # m
SPRING = 120.0  # N/m
FRICTION = 2.0  # N, of the carriage with straight bread
# A tilted slice jams: friction grows with the tilt, which grows with the force and its lever arm d (as in a
# drawer, which locks once 2 mu d / L > 1). With d > TILT_STIFFNESS / JAM the slice locks at any force.
# First a press off centre along the width (roll), then across the thickness (pitch).
TILT_STIFFNESS = (10.0, 5.5)  # N m/rad
JAM = (500.0, 750.0)  # N/rad


class Pushing(Task):
    """The gripper stays closed; the arm moves over the bread and keeps pressing until it is 3 cm down."""

    name = "pushing"
    config = TaskConfig(
        name="pushing",
        horizon=60,
        gamma=0.97,
        active=(True, True, True, False, False, False, False),
        action_scale=(0.012, 0.012, 0.012, 0.1, 0.1, 0.1, 1.0),
        box_low=(0.19, -0.15, 0.165),
        box_high=(0.41, 0.15, 0.28),
        reset_joints=(0.0, 1.7326, -1.4204, 1.2586, 0.0, 0.0),
        reset_gripper=0.0,
        max_real_steps=6000,
    )
    centre = (0.345, 0.0)  # m, of the toaster, on average

    def scene(self) -> SceneFragment:
        w, t, h = BREAD_WIDTH / 2, BREAD_THICKNESS / 2, BREAD_HEIGHT / 2
        length, depth, top = 0.072, 0.050, TOASTER_HEIGHT  # half sizes along y and x, and the height
        slot_w, slot_t = w + 0.005, t + 0.004
        wall, end = (depth - slot_t) / 2, (length - slot_w) / 2
        middle, half = top / 2 + 0.004, top / 2 - 0.004
        shell = "".join(
            box((x, y, middle), (*size, half), "toaster", "object")
            for x, y, size in (
                (slot_t + wall, 0, (wall, length)),
                (-slot_t - wall, 0, (wall, length)),
                (0, slot_w + end, (slot_t, end)),
                (0, -slot_w - end, (slot_t, end)),
            )
        )
        trim = (
            box((0, 0, 0.006), (depth - 0.004, length - 0.004, 0.006), "rubber")
            + box((0, 0, top), (slot_t + 0.004, slot_w + 0.004, 0.0006), "rubber")
            + box((depth, -0.045, 0.036), (0.001, 0.004, 0.022), "rubber")
            + cylinder((depth, 0.045, 0.03), (depth + 0.010, 0.045, 0.03), 0.011, "chrome")
        )
        bread = (  # frictionless: where it is pressed decides, not how the finger drags
            box(
                (0, 0, h),
                (t, w, h),
                "crust",
                "object",
                name="bread",
                contype="4",
                conaffinity="2",
                condim="1",
                mass="0",
                priority="1",
                solref="0.006 1",
            )
            + box((0, 0, h), (t + 0.00005, w - 0.007, h - 0.007), "crumb")
            + box((0, -length + 0.002, 0.022), (0.010, 0.012, 0.004), "rubber")  # the lever moves along
        )
        bodies = f"""
    <body name="toaster" pos="{text((*self.centre, 0.0))}">
      {shell}{trim}
      <body name="bread" pos="0 0 {REST_HEIGHT}">
        <inertial pos="0 0 {h}" mass="0.12" diaginertia="0.0002 0.0002 0.0002"/>
        <joint name="bread_slide" type="slide" axis="0 0 -1" range="0 {TRAVEL}" stiffness="{SPRING}"
               springref="-0.03" damping="12" armature="0.2" frictionloss="{FRICTION}"/>
        <joint name="bread_roll" axis="1 0 0" pos="0 0 0.085" range="-0.2 0.2" damping="0.04"
               stiffness="{TILT_STIFFNESS[0]}" armature="0.0005"/>
        <joint name="bread_pitch" axis="0 1 0" pos="0 0 0.085" range="-0.15 0.15" damping="0.02"
               stiffness="{TILT_STIFFNESS[1]}" armature="0.0005"/>
        {bread}
      </body>
    </body>"""
        assets = """
    <material name="toaster" rgba="0.72 0.13 0.13 1" specular="0.5" shininess="0.6"/>
    <material name="chrome" rgba="0.82 0.83 0.85 1" specular="0.7" shininess="0.8"/>
    <material name="rubber" rgba="0.10 0.10 0.11 1" specular="0.1"/>
    <material name="crust" rgba="0.62 0.38 0.16 1" specular="0.05"/>
    <material name="crumb" rgba="0.98 0.86 0.58 1" specular="0.05"/>"""
        return SceneFragment(bodies, SideCamera((0.84, -0.44, 0.44), (0.315, 0.0, 0.125), 28.0), assets)

    def bind(self, model: mujoco.MjModel) -> None:
        self._toaster = model.body("toaster").id
        self._joints = [model.joint(f"bread_{kind}") for kind in ("slide", "roll", "pitch")]
        self._materials = [model.material(name).id for name in ("toaster", "crust", "crumb")]
        self._colours = model.mat_rgba[self._materials].copy()

    def randomise(self, model: mujoco.MjModel, data: mujoco.MjData, rng: np.random.Generator) -> None:
        x, y = np.asarray(self.centre) + rng.uniform((-0.045, -0.08), (0.045, 0.08))
        yaw = rng.uniform(-0.4, 0.4)
        model.body_pos[self._toaster] = (x, y, 0.0)
        model.body_quat[self._toaster] = (np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2))
        tint = rng.uniform(0.9, 1.1, (3, 1)) * rng.uniform(0.95, 1.05, (3, 3))
        model.mat_rgba[self._materials, :3] = np.clip(self._colours[:, :3] * tint, 0.0, 1.0)
        model.dof_frictionloss[self._joints[0].dofadr[0]] = FRICTION

    def start_offset(self, rng: np.random.Generator) -> Array:
        return rng.uniform((-0.03, -0.08, -0.02), (0.03, 0.08, 0.04))

    def before_physics(self, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        _, roll, pitch = (joint.qposadr[0] for joint in self._joints)
        tilt = JAM[0] * abs(data.qpos[roll]) + JAM[1] * abs(data.qpos[pitch])
        model.dof_frictionloss[self._joints[0].dofadr[0]] = FRICTION + tilt

    def state(self, model: mujoco.MjModel, data: mujoco.MjData) -> State:
        x, y, _ = model.body_pos[self._toaster]
        quaternion = model.body_quat[self._toaster]
        slide, roll, pitch = (float(data.qpos[joint.qposadr[0]]) for joint in self._joints)
        return {
            "bread_x": float(x),
            "bread_y": float(y),
            "bread_top": REST_HEIGHT + BREAD_HEIGHT - slide,
            "bread_yaw": float(2.0 * np.arctan2(quaternion[3], quaternion[0])),
            "bread_depth": slide,
            "bread_roll": roll,
            "bread_pitch": pitch,
        }

    def solved(self, state: State) -> bool:
        return state["bread_depth"] >= GOAL_DEPTH

    def _errors(self, state: State) -> tuple[Array, Array, float]:
        """Errors of the fingertips relative to the bread, m.

        Returns:
            The vector to the bread's centre in base_link (2,), the same along its thickness and width (2,),
            and the height of the fingertips above the bread.
        """
        offset = np.array([state["bread_x"] - state["ee_x"], state["bread_y"] - state["ee_y"]])
        sine, cosine = np.sin(state["bread_yaw"]), np.cos(state["bread_yaw"])
        across = np.array([cosine * offset[0] + sine * offset[1], -sine * offset[0] + cosine * offset[1]])
        return offset, across, state["ee_z"] - FINGERTIP - state["bread_top"]

    def potential(self, state: State) -> float:
        offset, across, height = self._errors(state)
        above = abs(across[0]) < 0.010 and abs(across[1]) < 0.020
        reach = 1.0 - min(float(np.linalg.norm(offset)), 0.15) / 0.15
        lower = 1.0 - min(max(height, 0.0), 0.08) / 0.08 if above else 0.0
        depth = min(max(state["bread_depth"], 0.0) / GOAL_DEPTH, 1.0)
        return float(0.4 * reach + 0.15 * lower + 0.45 * depth)

    def expert(self, state: State) -> Array:
        offset, across, height = self._errors(state)
        scale = np.asarray(self.config.action_scale[:3])
        action = np.zeros(7)
        action[:2] = 0.6 * offset / scale[:2]
        action[:2] /= max(1.0, np.abs(action[:2]).max())
        beside = max(abs(across[0]) - 0.005, 0.4 * (abs(across[1]) - 0.012), 0.0)
        jammed = state["bread_depth"] < GOAL_DEPTH and (
            abs(state["bread_pitch"]) > 0.05 or abs(state["bread_roll"]) > 0.08
        )
        if beside == 0.0 and not jammed:
            action[2] = -0.8
        else:  # come down a funnel around the bread's top edge, and come up first where too low
            wanted = 0.010 + min(0.5 * beside, 0.02)
            if height < 0.004:
                action[:2] *= 0.3
            action[2] = np.clip(0.6 * (wanted - height) / scale[2], -1.0, 1.0)
        return action

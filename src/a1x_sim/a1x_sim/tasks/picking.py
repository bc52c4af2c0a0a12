"""The common part of the tasks that begin with picking a part up from the table.

The grasp is friction alone: nothing is welded to the fingers, and a part that is held badly falls. The pads
are boxes, the fingers are tied to each other, contacts are stiff and cleaned of slip (``scene.py``).
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from a1x_sim.arm_dimensions import FINGERTIP
from a1x_sim.tasks.base import Array, State, Task

if TYPE_CHECKING:
    import mujoco  # loads OpenGL, which watching and driving do not need

FINGERS = (("pad1", "tip1"), ("pad2", "tip2"))
GRASP_HEIGHT = 0.007  # m, of the fingertips above the table when they close on a part
HELD_OPENING = 0.15  # of the gripper: closed further, it holds nothing


class FingerContacts:
    """Which fingers touch a part, from the simulator's contacts."""

    def __init__(self, model: mujoco.MjModel, body: str) -> None:
        """``body``: the part's name; all its geoms count."""
        self._finger = np.zeros(model.ngeom, np.int64)
        for bit, geoms in enumerate(FINGERS):
            for name in geoms:
                self._finger[model.geom(name).id] = 1 << bit
        self._part = np.asarray(model.geom_bodyid) == model.body(body).id

    def count(self, data: mujoco.MjData) -> int:
        """0, 1 or 2 fingers."""
        first, second = data.contact.geom.reshape(-1, 2).T
        touching = self._finger[first] * self._part[second] | self._finger[second] * self._part[first]
        return int(np.bitwise_or.reduce(touching, initial=0)).bit_count()


class Picking(Task):
    """A task with a body ``part`` on a free joint ``part``, which the gripper picks up and brings somewhere.

    The subclass says where (:meth:`goal`) and when it has arrived (:meth:`placed`). The state has
    ``part_x, part_y, part_z`` (m, of its centre), ``part_speed`` (m/s) and ``fingers`` (how many touch it).
    """

    part_half: ClassVar[float] = 0.017
    """Half the part's width and height, m."""
    place_tolerance: ClassVar[float] = 0.012
    """Horizontal error with which the part may be put down, m."""
    lift: ClassVar[float] = 0.03
    """Height above the place where it is put down at which the part travels, m."""
    lift_slope: ClassVar[float] = 2.0
    """Slope of the descent: height above the goal per horizontal distance from it."""
    place_gain: ClassVar[float] = 0.6
    """Share of the horizontal error that a step takes away while the part is carried."""

    def bind(self, model: mujoco.MjModel) -> None:
        joint = model.joint("part")
        self._at, self._moves = int(joint.qposadr[0]), int(joint.dofadr[0])
        self._contacts = FingerContacts(model, "part")

    def put(self, data: mujoco.MjData, x: float, y: float, yaw: float) -> None:
        """Stand the part on the table; m, rad."""
        pose = (x, y, self.part_half, np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2))
        data.qpos[self._at : self._at + 7] = pose

    def state(self, model: mujoco.MjModel, data: mujoco.MjData) -> State:
        x, y, z = (float(value) for value in data.qpos[self._at : self._at + 3])
        velocity = data.qvel[self._moves : self._moves + 3]
        return {
            "part_x": x,
            "part_y": y,
            "part_z": z,
            "part_speed": float(np.sqrt(velocity @ velocity)),
            "fingers": float(self._contacts.count(data)),
        }

    @abstractmethod
    def goal(self, state: State) -> tuple[float, float, float]:
        """The position where the part's centre must be put down: x, y, z, m."""

    @abstractmethod
    def placed(self, state: State) -> bool:
        """True if the part is at its goal, held or not."""

    def solved(self, state: State) -> bool:
        return self.placed(state) and state["fingers"] == 0 and state["part_speed"] < 0.02

    def failed(self, state: State) -> bool:
        """The part lies where the gripper cannot get at it."""
        low, high = self.config.box_low, self.config.box_high
        inside = low[0] - 0.02 < state["part_x"] < high[0] + 0.02
        inside = inside and low[1] - 0.02 < state["part_y"] < high[1] + 0.02
        return not inside or state["part_z"] < 0.0

    # -- what a person sees and does --

    def held(self, state: State) -> bool:
        """True if both fingers hold the part between them."""
        return state["fingers"] == 2 and state["gripper"] > HELD_OPENING

    def potential(self, state: State) -> float:
        if self.placed(state):
            return 0.9 if state["fingers"] else 1.0
        if self.held(state):
            return 0.4 + 0.45 * _near(np.subtract(self.goal(state), _part(state)), 0.25)
        return 0.25 * _near(_part(state) - _grip(state), 0.2)

    def expert(self, state: State) -> Array:
        if self.placed(state):
            return self.let_go(state)
        return self.carry(state) if self.held(state) else self.pick(state)

    def let_go(self, state: State) -> Array:
        """Open; go up once the part is free."""
        action = np.zeros(7)
        action[2] = 0.0 if state["fingers"] else 0.5
        action[6] = 1.0
        return action

    def pick(self, state: State) -> Array:
        """Come down over the part with open fingers, then close them."""
        offset = _part(state) - _grip(state)
        tip, top = state["ee_z"] - FINGERTIP, state["part_z"] + self.part_half
        floor = state["part_z"] - self.part_half + GRASP_HEIGHT
        closing = state["gripper"] < 0.9
        slack = 1.5 if closing else 1.0
        beside = abs(offset[0]) > 0.007 * slack or abs(offset[1]) > 0.010 * slack
        action = self.towards(offset)
        if not beside and tip < floor + 0.006 * slack:
            action[:2] *= 0.7
            action[6] = -1.0
            return action
        distance = max(float(np.hypot(*offset[:2])) - 0.010, 0.0)
        wanted = floor + min(1.5 * distance, top + 0.012 - floor)
        if state["gripper"] < 0.75 and distance < 0.05:
            wanted = tip if state["fingers"] else top + 0.012  # the fingers are not open yet
        action[2] = self._vertical(wanted - tip)
        action[6] = 1.0
        return action

    def carry(self, state: State) -> Array:
        """Bring the held part over its goal and down, and open the fingers there."""
        offset = np.subtract(self.goal(state), _part(state))
        distance = float(np.hypot(*offset[:2]))
        action = self.towards(offset, self.place_gain)
        action[6] = -1.0
        if distance < self.place_tolerance and offset[2] > -0.006:
            action[:3] = 0.0
            action[6] = 1.0
            return action
        wanted = min(self.lift_slope * max(distance - 0.7 * self.place_tolerance, 0.0), self.lift)
        rise = wanted + offset[2]
        if rise > 0.008:  # up before along
            action[:2] *= 0.2
        action[2] = self._vertical(rise)
        return action

    def towards(self, offset: Array, gain: float = 0.6) -> Array:
        """An action (7,) along the horizontal part of ``offset`` (m), at most 1 in each direction."""
        action = np.zeros(7)
        action[:2] = gain * offset[:2] / np.asarray(self.config.action_scale[:2])
        action[:2] /= max(1.0, float(np.abs(action[:2]).max()))
        return action

    def _vertical(self, rise: float) -> float:
        return float(np.clip(0.7 * rise / self.config.action_scale[2], -1.0, 1.0))


def _near(offset: Array, far: float) -> float:
    return 1.0 - min(float(np.linalg.norm(offset)), far) / far


def _part(state: State) -> Array:
    return np.array([state["part_x"], state["part_y"], state["part_z"]])


def _grip(state: State) -> Array:
    """The middle between the fingertips."""
    return np.array([state["ee_x"], state["ee_y"], state["ee_z"] - FINGERTIP + 0.008])

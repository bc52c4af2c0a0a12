"""The way to the reset pose: straight up, over, and down, checked before anything moves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worldsample_core.arm.a1x_inverse_kinematics import solve_pose
from worldsample_core.arm.a1x_kinematics import JOINT_HIGH, JOINT_LOW, Array, forward_kinematics

NEAR = 0.05
"""rad; from so near the arm goes straight to the reset pose."""
REACH = 0.002
FINGERTIP = 0.09
"""m, gripper_link -> fingertips along x; our estimate."""


class NoSafePath(ValueError):
    """There is no way to the reset pose that stays clear; the message says what to do."""


@dataclass(frozen=True)
class Leg:
    """One leg of the way: a pose to go to in a straight line, or joint angles (6,) to go to."""

    what: str
    joints: Array
    position: Array | None = None
    rotation: Array | None = None


def plan_reset(start: Array, goal: Array, lift: float, floor: float, table: float) -> tuple[Leg, ...]:
    """Legs from joint angles ``start`` (6,) to ``goal`` (6,).

    Args:
        lift: m above the goal pose to cross at, as far as it can be reached.
        floor: m, gripper_link must not go below it (nor below where it starts or ends).
        table: m, the fingertips must not go below it (nor below where they start).

    Raises:
        NoSafePath: a leg would lead below the floor.
    """
    start_inside = np.clip(start, JOINT_LOW, JOINT_HIGH)
    home = Leg("to the reset pose", goal)
    at, turned = forward_kinematics(start_inside)
    end, end_turned = forward_kinematics(goal)
    floor = min(floor, float(at[2]) - 0.002, float(end[2]) - 0.002)
    table = min(
        table, float(_fingertip(at, turned)[2]) - 0.002, float(_fingertip(end, end_turned)[2]) - 0.002
    )
    if float(np.abs(start_inside - goal).max()) < NEAR:
        return (home,)
    legs: list[Leg] = []
    crossing = start_inside
    up = _highest(at, turned, float(end[2]) + lift, start_inside)
    if up is not None:
        position, crossing = up
        legs.append(Leg("up", crossing, position, turned))
    above = _highest(end, end_turned, max(float(end[2]) + lift, float(at[2])), goal)
    if above is not None:
        legs.append(Leg("over the reset pose", above[1]))
    legs.append(home)
    before = crossing
    for leg in legs:
        if leg.position is None:
            _check_clear(before, leg, floor, table)
        before = leg.joints
    return tuple(legs)


def _highest(at: Array, rotation: Array, height: float, guess: Array) -> tuple[Array, Array] | None:
    """The highest pose straight above ``at``, up to ``height``, that inverse kinematics reaches continuously.

    None if already the first centimetre is out of reach.
    """
    found, joints = None, guess
    steps = int(np.ceil((height - float(at[2])) / 0.01 - 1e-6))
    for step in range(1, steps + 1):
        position = np.array([at[0], at[1], min(float(at[2]) + 0.01 * step, height)])
        joints, error = solve_pose(position, rotation, joints)
        if error > REACH:
            break
        found = (position, joints)
    return found


def _fingertip(position: Array, rotation: Array) -> Array:
    tip: Array = position + rotation[:, 0] * FINGERTIP
    return tip


def _check_clear(start: Array, leg: Leg, floor: float, table: float) -> None:
    for share in np.linspace(0.0, 1.0, 25):
        at, turned = forward_kinematics(start + (leg.joints - start) * share)
        for what, height, lowest in (
            ("the gripper", float(at[2]), floor),
            ("the fingertips", float(_fingertip(at, turned)[2]), table),
        ):
            if height < lowest:
                raise NoSafePath(
                    f"the way {leg.what} would lead {what} down to {height:.3f} m (lowest allowed: "
                    f"{lowest:.3f} m): drive the arm to a place above the workspace with the vendor's tool, "
                    "then reset again"
                )

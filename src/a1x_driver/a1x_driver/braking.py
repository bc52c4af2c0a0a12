"""Motion towards a goal with bounded velocity and acceleration that never overshoots.

A step keeps the invariant  v dt + v^2 / (2 a) <= distance to the goal,  so that braking with ``a`` from the
next step on always stops in time, whatever the next step's dt. Solved for the velocity:

    v <= a (sqrt(dt^2 + 2 d / a) - dt)

If the goal jumps back, the motion brakes with ``a``, which keeps the same invariant towards every bound that
held before: a goal that stays inside a box never lets the motion leave it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def braking_velocity(distance: Array, acceleration: Array, dt: float) -> Array:
    """The fastest velocities (N,) from which ``distance (N,) >= 0`` suffices to stop."""
    room = np.maximum(distance, 0.0)
    fastest: Array = acceleration * (np.sqrt(dt * dt + 2.0 * room / acceleration) - dt)
    return fastest


def approach(
    position: Array, velocity: Array, goal: Array, fastest: Array, acceleration: Array, dt: float
) -> tuple[Array, Array]:
    """One step of each coordinate towards its goal.

    Args:
        position, velocity, goal: (N,). fastest, acceleration: (N,), positive. dt: s, positive.

    Returns:
        Position and velocity (N,) after ``dt``.
    """
    ahead = goal - position
    wanted = np.sign(ahead) * np.minimum(fastest, braking_velocity(np.abs(ahead), acceleration, dt))
    change = acceleration * dt
    velocity = np.minimum(np.maximum(wanted, velocity - change), velocity + change)
    arrived = (np.abs(ahead) < 1e-7) & (np.abs(velocity) < change)
    return np.where(arrived, goal, position + velocity * dt), np.where(arrived, 0.0, velocity)

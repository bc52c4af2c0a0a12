"""Motion that never overshoots: a goal inside the box means a motion inside the box."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from a1x_driver.braking import approach

FASTEST, ACCELERATION = np.array([0.2]), np.array([2.0])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(0.001, 0.02)), min_size=1, max_size=80))
def test_goals_inside_a_bound_never_lead_outside(moves: list[tuple[float, float]]) -> None:
    position, velocity = np.zeros(1), np.zeros(1)
    for goal, dt in moves:
        before = velocity
        position, velocity = approach(position, velocity, np.array([goal]), FASTEST, ACCELERATION, dt)
        assert abs(position[0]) <= 1.0 + 1e-9
        assert abs(velocity[0]) <= FASTEST[0] + 1e-9
        assert abs(velocity[0] - before[0]) <= ACCELERATION[0] * dt + 1e-9


@settings(max_examples=50, deadline=None)
@given(st.floats(-0.3, 0.3), st.floats(0.002, 0.02))
def test_it_arrives_and_rests(goal: float, dt: float) -> None:
    position, velocity = np.zeros(1), np.zeros(1)
    for _ in range(round(4.0 / dt)):
        position, velocity = approach(position, velocity, np.array([goal]), FASTEST, ACCELERATION, dt)
    assert abs(position[0] - goal) < 1e-4 and abs(velocity[0]) < 0.01

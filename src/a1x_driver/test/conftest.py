"""A task and a rig for the tests of the driver."""

from __future__ import annotations

import pytest

from a1x_driver.driver_config import DriverConfig
from a1x_driver.rig import Rig
from worldsample_core.config import TaskConfig


@pytest.fixture
def task() -> TaskConfig:
    """All of x, y, z, rotations and gripper, in the pushing task's box."""
    return TaskConfig(
        name="test",
        horizon=60,
        gamma=0.97,
        active=(True, True, True, True, True, True, True),
        action_scale=(0.012, 0.012, 0.012, 0.1, 0.1, 0.1, 1.0),
        box_low=(0.19, -0.15, 0.165),
        box_high=(0.41, 0.15, 0.28),
        reset_joints=(0.0, 1.7326, -1.4204, 1.2586, 0.0, 0.0),
        reset_gripper=0.0,
        max_real_steps=1000,
    )


@pytest.fixture
def rig(task: TaskConfig) -> Rig:
    """Folded, as an arm out of the box, with feedback for half a second."""
    rig = Rig(DriverConfig(), task)
    rig.run(0.5)
    return rig


@pytest.fixture
def ready(rig: Rig) -> Rig:
    """At the reset pose; from here on the stand-in judges every target."""
    assert rig.reset() == (True, "")
    rig.run(0.5)
    rig.arm.rules = rig.rules
    return rig

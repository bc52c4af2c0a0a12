"""Settings tell the place and lens of the simulated cameras as the scene has them."""

import numpy as np
import pytest

pytest.importorskip("mujoco")
from a1x_sim.cell import Cell
from a1x_sim.simulated_cameras import calibrations
from a1x_sim.tasks import TASKS
from worldsample_core.arm.rotation import roll_pitch_yaw_to_matrix


@pytest.mark.parametrize("name", TASKS)
def test_calibrations_are_those_of_the_scene(name: str) -> None:
    cell = Cell(name, (48, 64), render=False)
    known = calibrations(cell.task, (64, 48))
    for view, frame in (("side", "base_link"), ("wrist", "gripper_link")):
        camera, body = cell.data.camera(view), cell.data.body(frame)
        at, turn = body.xpos, body.xmat.reshape(3, 3)
        found = known[view]
        assert found.position is not None
        assert found.lens is not None
        np.testing.assert_allclose(at + turn @ found.position, camera.xpos, atol=1e-6)
        right, up, backward = camera.xmat.reshape(3, 3).T
        wanted = np.stack([-backward, -right, up], axis=1)  # forward, left, up
        np.testing.assert_allclose(turn @ roll_pitch_yaw_to_matrix(found.rotation), wanted, atol=1e-4)
        assert found.lens[:2] == pytest.approx([cell.intrinsics(view)] * 2, rel=1e-6)
        assert found.lens[2:] == (31.5, 23.5)
    cell.close()

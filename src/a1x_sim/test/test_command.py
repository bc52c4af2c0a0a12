"""No command reaches the arm unchecked."""

import numpy as np
import pytest

from a1x_sim.tasks import TASKS
from worldsample_core.arm.motion_command import RejectedCommand, check_command

TASK = TASKS["pushing"].config
ZERO = np.zeros(3)


def test_a_good_command_passes() -> None:
    motion = check_command(np.array([0.012, -0.012, 0.001]), ZERO, 0, "base_link", TASK)
    np.testing.assert_array_equal(motion.translation, [0.012, -0.012, 0.001])
    assert not motion.clipped


def test_unused_dimensions_are_dropped() -> None:
    motion = check_command(ZERO, np.array([0.1, 0, 0]), 1, "", TASK)
    np.testing.assert_array_equal(motion.rotation, ZERO)
    assert motion.gripper == 0 and motion.clipped


@pytest.mark.parametrize(
    ("translation", "gripper", "frame", "reason"),
    [
        ([np.nan, 0, 0], 0, "base_link", "non-finite"),
        ([0, np.inf, 0], 0, "base_link", "non-finite"),
        ([0.02, 0, 0], 0, "base_link", "limit"),
        ([0, 0, -1e30], 0, "base_link", "limit"),
        ([0, 0, 0], 5, "base_link", "gripper"),
        ([0, 0, 0], 0, "wrist", "frame"),
        ([0, 0], 0, "base_link", "finite"),
    ],
)
def test_bad_commands_are_rejected(translation: list[float], gripper: int, frame: str, reason: str) -> None:
    with pytest.raises(RejectedCommand, match=reason):
        check_command(np.array(translation), ZERO, gripper, frame, TASK)

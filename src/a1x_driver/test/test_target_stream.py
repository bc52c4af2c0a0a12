"""The stream of targets obeys the joints' limits, whatever poses it is asked for."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from a1x_driver.driver_config import Limits
from a1x_driver.target_stream import TargetStream
from worldsample_core.arm.a1x_kinematics import JOINT_HIGH, JOINT_LOW, forward_kinematics
from worldsample_core.arm.rotation import rotvec_to_matrix

READY = np.array([0.0, 1.7326, -1.4204, 1.2586, 0.0, 0.0])
LIMITS = Limits()
ANYWHERE = np.full(3, np.inf)
POSES = st.tuples(*[st.floats(-0.5, 0.5)] * 3, *[st.floats(-2.5, 2.5)] * 3, st.floats(0.002, 0.02))


@settings(max_examples=60, deadline=None)
@given(st.lists(POSES, min_size=1, max_size=6))
def test_joint_limits_hold_for_any_goal(goals: list[tuple[float, ...]]) -> None:
    stream = TargetStream(LIMITS, READY)
    for *pose, dt in goals:
        stream.go_to_pose(np.array(pose[:3]) + np.array([0.2, 0, 0.2]), rotvec_to_matrix(np.array(pose[3:])))
        for _ in range(15):
            joints, velocity = stream.joints, stream.velocity
            stream.step(dt, -ANYWHERE, ANYWHERE)
            assert np.all(stream.joints >= JOINT_LOW) and np.all(stream.joints <= JOINT_HIGH)
            assert np.all(np.abs(stream.joints - joints) <= np.array(LIMITS.joint_velocity) * dt + 1e-9)
            change = np.array(LIMITS.joint_acceleration) * dt
            assert np.all(np.abs(stream.velocity - velocity) <= change + 1e-6)


def test_a_reachable_pose_is_reached() -> None:
    stream = TargetStream(LIMITS, READY)
    at, turned = forward_kinematics(READY)
    goal = at + np.array([0.05, -0.08, -0.04])
    stream.go_to_pose(goal, turned)
    for _ in range(300):
        stream.step(0.01, -ANYWHERE, ANYWHERE)
    assert np.allclose(forward_kinematics(stream.joints)[0], goal, atol=1e-4) and stream.arrived


def test_out_of_reach_it_stays_and_says_so() -> None:
    stream = TargetStream(LIMITS, READY)
    stream.go_to_pose(np.array([2.0, 0.0, 0.2]), forward_kinematics(READY)[1])
    for _ in range(600):
        stream.step(0.01, -ANYWHERE, ANYWHERE)
    assert stream.unreachable and not np.any(np.abs(stream.velocity) > 1e-3)
    assert forward_kinematics(stream.joints)[0][0] < 0.75


def test_stopping_takes_no_longer_than_braking() -> None:
    for joints_goal in (False, True):
        stream = TargetStream(LIMITS, READY)
        if joints_goal:
            stream.go_to_joints(READY + np.array([0.8, -0.3, 0.2, 0.1, 0.3, 0.4]), 1.0)
        else:
            stream.go_to_pose(*map(np.add, forward_kinematics(READY), (np.array([0.12, 0.1, 0]), 0)))
        for _ in range(30):
            stream.step(0.01, -ANYWHERE, ANYWHERE)
        assert np.abs(stream.velocity).max() > 0.1, "it was moving"
        stream.stop()
        for _ in range(40):
            stream.step(0.01, -ANYWHERE, ANYWHERE)
        assert np.abs(stream.velocity).max() < 1e-3


def test_a_joint_outside_its_limit_comes_in_slowly_and_stays() -> None:
    rest = np.array([0.0, 0.02, np.radians(1.5), 0.0, 0.0, 0.0])
    stream = TargetStream(LIMITS, rest)
    assert np.array_equal(stream.joints, rest)
    stream.go_to_joints(READY, 0.5)
    outside = []
    for _ in range(400):
        before = stream.joints[2]
        stream.step(0.01, -ANYWHERE, ANYWHERE)
        assert stream.joints[2] - before <= 1e-9
        outside.append(stream.joints[2] > 0)
    assert outside[0] and not outside[-1] and np.allclose(stream.joints, READY, atol=1e-6)

"""The arm is the published one: MJCF, URDF and forward kinematics agree with the table."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from a1x_sim.inverse_kinematics import InverseKinematics
from worldsample_core.arm.a1x_kinematics import (
    ARM_JOINT_NAMES,
    FINGER_JOINT_NAMES,
    JOINT_HIGH,
    JOINT_LOW,
    forward_kinematics,
)
from worldsample_core.arm.link_transforms import HAND, link_transforms
from worldsample_core.arm.rotation import (
    matrix_to_quaternion,
    matrix_to_rotvec,
    quaternion_to_matrix,
    rotvec_to_matrix,
)

# The vendor's table, typed in once more: origin xyz, axis, lower and upper limit.
PUBLISHED = {
    "arm_joint1": ((0, 0, 0.08605), "z", -2.8798, 2.8798),
    "arm_joint2": ((0, 0.03075, 0.04925), "y", 0, 3.1416),
    "arm_joint3": ((-0.3, 0.00025, 0), "y", -3.3161, 0),
    "arm_joint4": ((0.1747, 0.0005, 0.0755), "y", -1.5708, 1.5708),
    "arm_joint5": ((0.08, -0.0315, 0.0405), "z", -1.5708, 1.5708),
    "arm_joint6": ((0.0225, 0, -0.0405), "x", -2.8798, 2.8798),
}
JOINT_VECTORS = [
    np.zeros(6),
    np.array([-0.087, 1.785, -1.027, 0.966, -0.147, -0.099]),
    np.array([1.0, 0.4, -2.0, -1.1, 0.9, 2.2]),
    JOINT_LOW,
    JOINT_HIGH,
]


def homogeneous(axis: str, angle: float, origin: tuple[float, float, float]) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    rotation = {
        "x": [[1, 0, 0], [0, c, -s], [0, s, c]],
        "y": [[c, 0, s], [0, 1, 0], [-s, 0, c]],
        "z": [[c, -s, 0], [s, c, 0], [0, 0, 1]],
    }[axis]
    transform = np.eye(4)
    transform[:3, :3], transform[:3, 3] = rotation, origin
    return transform


def published_pose(q: np.ndarray) -> np.ndarray:
    transform = np.eye(4)
    for angle, (origin, axis, _, _) in zip(q, PUBLISHED.values(), strict=True):
        transform = transform @ homogeneous(axis, angle, origin)
    return transform @ homogeneous("x", 0.0, (0.08165, 0, 0))


@pytest.fixture(scope="module")
def inverse() -> InverseKinematics:
    return InverseKinematics()


@pytest.mark.parametrize("q", JOINT_VECTORS, ids=str)
def test_mjcf_and_formula_match_the_table(q: np.ndarray, inverse: InverseKinematics) -> None:
    expected = published_pose(q)
    for position, rotation in (inverse.pose(q), forward_kinematics(q)):
        np.testing.assert_allclose(position, expected[:3, 3], atol=1e-6)
        np.testing.assert_allclose(rotation, expected[:3, :3], atol=1e-6)


def test_reach_of_the_arm() -> None:
    straight = np.array([0, 0.3, -2.7398, 0, 0, 0])
    shoulder = np.array([0, 0, 0.1353])
    lengths = [
        np.linalg.norm(forward_kinematics(straight + np.array([0, 0, d, 0, 0, 0]))[0] - shoulder)
        for d in np.linspace(-0.5, 0.5, 51)
    ]
    assert 0.6 < max(lengths) < 0.7


def test_urdf_matches_the_table() -> None:
    robot = ElementTree.parse(Path(__file__).parent.parent / "urdf" / "a1x.urdf").getroot()
    joints = {joint.get("name"): joint for joint in robot.findall("joint")}
    axes = {"x": "1 0 0", "y": "0 1 0", "z": "0 0 1"}
    for name, (origin, axis, low, high) in PUBLISHED.items():
        joint = joints[name]
        assert [float(v) for v in joint.find("origin").get("xyz").split()] == list(origin)
        assert joint.find("axis").get("xyz") == axes[axis]
        assert float(joint.find("limit").get("lower")) == low
        assert float(joint.find("limit").get("upper")) == high
    assert joints["gripper_joint"].find("origin").get("xyz") == "0.08165 0 0"
    assert {"gripper_finger_joint1", "gripper_finger_joint2"} < set(joints)


def test_transforms_are_those_of_the_urdf() -> None:
    robot = ElementTree.parse(Path(__file__).parent.parent / "urdf" / "a1x.urdf").getroot()
    names = (*ARM_JOINT_NAMES, *FINGER_JOINT_NAMES)
    known = [*link_transforms(dict.fromkeys(names, 0.0)), HAND]
    found = {each.child: (each.parent, each.translation) for each in known}
    described = {
        joint.find("child").get("link"): (
            joint.find("parent").get("link"),
            tuple(float(value) for value in joint.find("origin").get("xyz").split()),
        )
        for joint in robot.findall("joint")
    }
    assert found == described


def test_inverse_kinematics_reaches(inverse: InverseKinematics) -> None:
    rng = np.random.default_rng(0)
    start = np.array([0.0, 1.73, -1.42, 1.26, 0.0, 0.0])
    for _ in range(50):
        q = np.clip(start + rng.uniform(-0.3, 0.3, 6), JOINT_LOW, JOINT_HIGH)
        position, rotation = inverse.pose(q)
        solution, error = inverse.solve(position, rotation, start)
        assert error < 1e-3
        assert np.all((solution >= JOINT_LOW) & (solution <= JOINT_HIGH))
        np.testing.assert_allclose(inverse.pose(solution)[0], position, atol=1e-3)


def test_inverse_kinematics_says_what_is_out_of_reach(inverse: InverseKinematics) -> None:
    down = rotvec_to_matrix(np.array([0, np.pi / 2, 0]))
    _, error = inverse.solve(np.array([0.9, 0, 0.3]), down, np.array([0.0, 1.73, -1.42, 1.26, 0.0, 0.0]))
    assert error > 0.05


@given(st.lists(st.floats(-1.8, 1.8), min_size=3, max_size=3))
def test_rotation_vectors_round_trip(values: list[float]) -> None:
    rotvec = np.array(values)
    matrix = rotvec_to_matrix(rotvec)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-9)
    np.testing.assert_allclose(rotvec_to_matrix(matrix_to_rotvec(matrix)), matrix, atol=1e-6)
    w, x, y, z = matrix_to_quaternion(matrix)
    assert w * w + x * x + y * y + z * z == pytest.approx(1.0)
    np.testing.assert_allclose(quaternion_to_matrix(3.0 * np.array([w, x, y, z])), matrix, atol=1e-6)


def test_half_a_turn() -> None:
    matrix = np.diag([-1.0, -1.0, 1.0])
    np.testing.assert_allclose(np.abs(matrix_to_rotvec(matrix)), [0, 0, np.pi], atol=1e-9)

"""Logs the cell in space: the arm from its URDF, the measured and the commanded gripper, the workspace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import rerun as rr
from numpy.typing import NDArray
from rerun.urdf import UrdfTree

from worldsample_bringup.graph.arm_description import arm_description
from worldsample_bringup.viewer import entities
from worldsample_core.arm.a1x_inverse_kinematics import solve_pose
from worldsample_core.arm.a1x_kinematics import (
    ARM_JOINT_NAMES,
    BASE_FRAME,
    FINGER_JOINT_NAMES,
    FINGER_STROKE,
)
from worldsample_core.arm.rotation import matrix_to_quaternion, rotvec_to_matrix

AXIS_LENGTH = 0.06  # m
COMMAND_SCALE = 4.0
"""The arrow of a commanded motion, 1 to 3 cm, is drawn so many times as long."""
PALM = ((0.004, 0.0, 0.0), (0.056, 0.072, 0.048))
"""Centre and size of the gripper's body in gripper_link, m, as in the URDF."""
FINGER_SIZE = (0.0531, 0.011, 0.013)
FINGER_CENTRE = (0.06345, 0.00565, 0.0)
"""Centre of the left finger of a closed gripper in gripper_link, m; the right one mirrors it."""
_COMMAND, _BOX = (240, 140, 20), (90, 160, 240)

Rotation = NDArray[np.float64]
"""``(3, 3)``, in base_link."""


def log_workspace(stream: rr.RecordingStream, low: Sequence[float], high: Sequence[float]) -> None:
    """Log the box that the gripper never leaves. low, high: corners, m, base_link."""
    bottom, top = np.asarray(low[:3], dtype=float), np.asarray(high[:3], dtype=float)
    box = rr.Boxes3D(mins=[bottom], sizes=[top - bottom], colors=[_BOX])
    stream.log(entities.WORKSPACE, box, static=True)


class ArmScene:
    """Draws the arm as it was measured, and its gripper also as it was commanded.

    Args:
        stream: of the recording.
    """

    def __init__(self, stream: rr.RecordingStream) -> None:
        self._stream = stream
        self._at: NDArray[np.float64] | None = None
        self._turned: Rotation = np.eye(3)
        self._opening = FINGER_STROKE
        self._commanded_opening = FINGER_STROKE
        self._solved: NDArray[np.float64] | None = None
        stream.log("scene", rr.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
        stream.log("scene/base", rr.Transform3D(child_frame=BASE_FRAME), static=True)
        file = arm_description()
        self._tree = None if file is None else UrdfTree.from_file_path(file, entity_path_prefix="scene")
        if self._tree is not None:
            self._tree.log_urdf_to_recording(stream)

    def joints(self, positions: Mapping[str, float]) -> None:
        """Log the arm's links. positions: of joints by their names, rad and m; others are left out."""
        self._opening = positions.get(FINGER_JOINT_NAMES[0], self._opening)
        for name in (*ARM_JOINT_NAMES, *FINGER_JOINT_NAMES):
            joint = None if self._tree is None else self._tree.get_joint_by_name(name)
            if joint is not None and name in positions:
                value = float(np.clip(positions[name], joint.limit_lower, joint.limit_upper))
                self._stream.log(f"{entities.JOINTS}/{name}", joint.compute_transform(value))

    def gripper(self, position: NDArray[np.float64], rotation: Rotation) -> None:
        """Log the measured pose of gripper_link in base_link. position: m."""
        self._at, self._turned = position, rotation
        self._stream.log(entities.GRIPPER, _pose(position, rotation), rr.TransformAxes3D(AXIS_LENGTH))

    def joints_for_gripper(self, opening: float, guess: Sequence[float]) -> None:
        """Log the arm's links where only the gripper was recorded: the joints are solved for its pose.

        Args:
            opening: of the gripper, 0 closed .. 1 open.
            guess: ``(6,)`` rad, for the first pose; each later one starts at the one before.
        """
        if self._at is None:
            return
        start = np.asarray(guess, dtype=float) if self._solved is None else self._solved
        self._solved, _ = solve_pose(self._at, self._turned, start)
        finger = opening * FINGER_STROKE
        fingers = dict(zip(FINGER_JOINT_NAMES, (finger, -finger), strict=True))
        self.joints(dict(zip(ARM_JOINT_NAMES, self._solved.tolist(), strict=True)) | fingers)

    def command(self, translation: NDArray[np.float64], rotation: NDArray[np.float64], gripper: int) -> None:
        """Log where a command moves the gripper: its outline there, and an arrow from where it is.

        Args:
            translation: m, base_link.
            rotation: rotation vector, rad.
            gripper: -1 close, 0 as before, 1 open.
        """
        if self._at is None:
            return
        if gripper:
            self._commanded_opening = FINGER_STROKE if gripper > 0 else 0.0
        arrow = rr.Arrows3D(
            origins=[self._at], vectors=[COMMAND_SCALE * translation], colors=[_COMMAND], radii=[0.006]
        )
        self._stream.log(entities.COMMAND, arrow)
        goal = _pose(self._at + translation, rotvec_to_matrix(rotation) @ self._turned)
        self._stream.log(entities.COMMANDED_GRIPPER, goal, _outline(self._commanded_opening))


def _pose(position: NDArray[np.float64], rotation: Rotation) -> rr.Transform3D:
    w, x, y, z = matrix_to_quaternion(rotation)
    return rr.Transform3D(translation=position, quaternion=rr.Quaternion(xyzw=[x, y, z, w]))


def _outline(opening: float) -> rr.Boxes3D:
    """A gripper's edges. opening: m, of each finger."""
    x, y, z = FINGER_CENTRE
    centres = [PALM[0], (x, y + opening, z), (x, -y - opening, z)]
    halves = [np.array(size) / 2 for size in (PALM[1], FINGER_SIZE, FINGER_SIZE)]
    return rr.Boxes3D(centers=centres, half_sizes=halves, colors=[_COMMAND], radii=[0.0015])

"""The simulated cell's state as the messages that the real arm and cameras send."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, JointState

from a1x_sim.ticking_cell import TickingCell
from worldsample_core.arm.a1x_kinematics import BASE_FRAME
from worldsample_core.arm.rotation import matrix_to_quaternion
from worldsample_core.camera_calibration import optical_frame
from worldsample_msgs.msg import CommandResult, EndEffectorCommand, GripperState, RobotStatus, SimState

if TYPE_CHECKING:
    from a1x_sim.cell import Cell


def camera_info(cell: Cell, view: str, image: NDArray[np.uint8], stamp: Time) -> CameraInfo:
    """Intrinsics of a camera without distortion, for images of this size."""
    height, width = image.shape[:2]
    message = CameraInfo(height=height, width=width, distortion_model="plumb_bob", d=[0.0] * 5)
    message.header.stamp, message.header.frame_id = stamp, optical_frame(view)
    focal, x, y = cell.intrinsics(view), width / 2 - 0.5, height / 2 - 0.5
    message.k = [focal, 0.0, x, 0.0, focal, y, 0.0, 0.0, 1.0]
    message.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    message.p = [focal, 0.0, x, 0.0, 0.0, focal, y, 0.0, 0.0, 0.0, 1.0, 0.0]
    return message


def joint_state(cell: Cell, stamp: Time) -> JointState:
    """Positions (rad, m) and velocities of arm and fingers."""
    names, positions, velocities = cell.joint_states()
    message = JointState(name=list(names), position=positions.tolist(), velocity=velocities.tolist())
    message.header.stamp = stamp
    return message


def ee_pose(cell: Cell, stamp: Time) -> PoseStamped:
    """Pose of gripper_link in base_link."""
    message = PoseStamped()
    message.header.stamp, message.header.frame_id = stamp, BASE_FRAME
    position, rotation = cell.ee_pose()
    at, turn = message.pose.position, message.pose.orientation
    at.x, at.y, at.z = map(float, position)
    turn.w, turn.x, turn.y, turn.z = map(float, matrix_to_quaternion(rotation))
    return message


def gripper_state(cell: Cell, stamp: Time) -> GripperState:
    """Opening of the gripper and how fast it changes."""
    message = GripperState()
    message.header.stamp = stamp
    message.opening, message.velocity = cell.gripper()
    return message


def robot_status(ticks: TickingCell, now: float, stamp: Time) -> RobotStatus:
    """State of the arm, and the counts of commands. now: s, monotonic."""
    status = RobotStatus(state=RobotStatus.OK, detail=ticks.complaint)
    status.header.stamp = stamp
    if silence := ticks.silent_for(now):
        status.state = RobotStatus.HOLDING
        status.detail = ticks.complaint or f"no command for {silence:.1f} s: the arm holds its pose"
    status.at_box_limit, status.at_joint_limit = ticks.cell.at_box_limit, ticks.cell.at_joint_limit
    status.commands_applied = ticks.applied
    status.commands_clipped = ticks.clipped
    status.commands_rejected = ticks.rejected
    return status


def command_result(problem: str, command: EndEffectorCommand, stamp: Time) -> CommandResult:
    """The answer to a command: it is executed in the next control period, or why it is not."""
    message = CommandResult(answers=command.header.stamp, reason=problem)
    message.header.stamp, message.header.frame_id = stamp, BASE_FRAME
    if problem:
        message.outcome = CommandResult.REFUSED
    else:
        message.translation, message.rotation = command.translation, command.rotation
        message.gripper = command.gripper
    return message


def sim_state(ticks: TickingCell, stamp: Time) -> SimState:
    """The truth, for the scripted operator and for tests; no policy sees it."""
    cell = ticks.cell
    message = SimState(task=cell.task.name, success=cell.success)
    message.header.stamp, message.header.frame_id = stamp, BASE_FRAME
    values = ticks.state
    message.names, message.values = list(values), list(values.values())
    return message

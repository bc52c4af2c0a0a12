"""The real arm's state as the graph's messages, and its health as diagnostics."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import JointState

from a1x_driver import vendor_messages as vendor
from a1x_driver.arm_driver import ArmDriver
from a1x_driver.executed_command import Executed
from a1x_driver.feedback import Feedback
from worldsample_core.arm.a1x_kinematics import (
    ARM_JOINT_NAMES,
    BASE_FRAME,
    FINGER_JOINT_NAMES,
    FINGER_STROKE,
)
from worldsample_core.arm.rotation import matrix_to_quaternion
from worldsample_msgs.msg import CommandResult, GripperState, RobotStatus

STATES = {
    "ok": RobotStatus.OK,
    "holding": RobotStatus.HOLDING,
    "fault": RobotStatus.FAULT,
    "resetting": RobotStatus.RESETTING,
}
LEVELS = {"fault": DiagnosticStatus.ERROR, "holding": DiagnosticStatus.WARN}


def pose_message(position: Any, rotation: Any, stamp: Time) -> PoseStamped:
    """Pose in base_link: position (3,) in m, rotation (3, 3)."""
    message = PoseStamped()
    message.header.stamp, message.header.frame_id = stamp, BASE_FRAME
    at, turn = message.pose.position, message.pose.orientation
    at.x, at.y, at.z = map(float, position)
    turn.w, turn.x, turn.y, turn.z = map(float, matrix_to_quaternion(rotation))
    return message


def gripper_message(feedback: Feedback, stamp: Time) -> GripperState:
    """Opening of the gripper and how fast it changes."""
    message = GripperState(opening=feedback.opening, velocity=feedback.opening_speed)
    message.header.stamp = stamp
    return message


def joints_message(feedback: Feedback, stamp: Time) -> JointState:
    """Positions and velocities of the arm (rad, rad/s) and of both fingers (m, m/s)."""
    finger = feedback.opening * FINGER_STROKE
    speed = feedback.opening_speed * FINGER_STROKE
    message = JointState(
        name=[*ARM_JOINT_NAMES, *FINGER_JOINT_NAMES],
        position=[*feedback.joints.tolist(), finger, -finger],
        velocity=[*feedback.velocities.tolist(), speed, -speed],
    )
    message.header.stamp = stamp
    return message


def status_message(arm: ArmDriver, state: str, detail: str, stamp: Time) -> RobotStatus:
    """State of the driver, its limits, and how many commands it applied, clipped and rejected."""
    message = RobotStatus(state=STATES[state], detail=detail)
    message.header.stamp = stamp
    message.at_box_limit, message.at_joint_limit = arm.at_box_limit, arm.at_joint_limit
    message.commands_applied = arm.counters.applied
    message.commands_clipped = arm.counters.clipped
    message.commands_rejected = arm.counters.rejected
    return message


OUTCOMES = {
    "executed": CommandResult.EXECUTED,
    "limited": CommandResult.LIMITED,
    "refused": CommandResult.REFUSED,
}


def result_message(result: Executed, answers: Time, stamp: Time) -> CommandResult:
    """The answer to the command that is stamped ``answers``."""
    message = CommandResult(
        outcome=OUTCOMES[result.outcome], answers=answers, gripper=result.gripper, reason=result.reason
    )
    message.header.stamp, message.header.frame_id = stamp, BASE_FRAME
    move, turn = message.translation, message.rotation
    move.x, move.y, move.z = map(float, result.translation)
    turn.x, turn.y, turn.z = map(float, result.rotation)
    return message


class SaidOnce:
    """Tells whether a fault is news: it is said when it begins and when it ends."""

    def __init__(self) -> None:
        self._said = ""

    def news(self, problem: str) -> bool:
        """True if ``problem`` ("" for none) differs from the last one, apart from its durations."""
        kind = problem.split(" for ")[0]  # "… for 0.12 s" is not news at 0.22 s
        changed, self._said = kind != self._said, kind
        return changed


class Health:
    """Freshness of the feedback, and time from commands to targets, over the last second or so."""

    def __init__(self) -> None:
        self._delays: deque[float] = deque(maxlen=1000)
        self._arrivals: deque[float] = deque(maxlen=200)

    def feedback_arrived(self, now: float) -> None:
        """Note an arrival, s of the monotonic clock."""
        self._arrivals.append(now)

    def command_took(self, seconds: float) -> None:
        """Note the time from a command's arrival to the target that it led to."""
        self._delays.append(seconds)

    def values(self, arm: ArmDriver, now: float) -> dict[str, float]:
        """Figures by name, with their units in it."""
        feedback, counters = arm.feedback, arm.counters
        delays, arrivals = sorted(self._delays), self._arrivals
        span = arrivals[-1] - arrivals[0] if len(arrivals) > 1 else 0.0
        return {
            "feedback_hz": (len(arrivals) - 1) / span if span > 0 else 0.0,
            "feedback_age_ms": 1e3 * min(feedback.age(now), 1e6),
            "feedback_refused": feedback.bad,
            "command_to_target_p99_ms": 1e3 * delays[int(0.99 * (len(delays) - 1))] if delays else 0.0,
            "re_anchored": arm.slips.count,
            "commands_applied": counters.applied,
            "commands_clipped": counters.clipped,
            "commands_rejected": counters.rejected,
            "joint3_deg": float(np.degrees(feedback.joints[2])),
        }


def diagnostics_message(
    name: str, state: str, detail: str, values: dict[str, float], standin: bool, stamp: Time
) -> DiagnosticArray:
    """The arm's health, and a warning where the vendor's messages are missing; ``name`` of the node."""
    status = DiagnosticStatus(
        level=LEVELS.get(state, DiagnosticStatus.OK),
        name=f"{name}: arm",
        message=detail or state,
        hardware_id="A1X",
        values=[KeyValue(key=key, value=f"{value:g}") for key, value in values.items()],
    )
    message = DiagnosticArray(status=[status])
    if not vendor.HAVE_VENDOR and not standin:
        message.status.append(
            DiagnosticStatus(
                level=DiagnosticStatus.WARN, name=f"{name}: vendor messages", message=vendor.WITHOUT_VENDOR
            )
        )
    message.header.stamp = stamp
    return message

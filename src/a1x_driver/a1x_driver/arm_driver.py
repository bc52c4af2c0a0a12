"""The driver without ROS: commands and feedback in, targets out; limits, watchdog, faults, reset.

Times ``now`` are s of the monotonic clock, stamps ns of the ROS clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from a1x_driver.command_gate import CommandGate
from a1x_driver.driver_config import DriverConfig, check_task
from a1x_driver.executed_command import NOTHING, Executed, executed, refused
from a1x_driver.feedback import Feedback
from a1x_driver.reset_path import Leg, NoSafePath, plan_reset
from a1x_driver.slip_watch import Reading, SlipWatch
from a1x_driver.target_stream import TargetStream
from a1x_driver.workspace import Workspace
from worldsample_core.arm.a1x_kinematics import Array, forward_kinematics
from worldsample_core.arm.motion_command import Command, RejectedCommand
from worldsample_core.arm.rotation import rotvec_to_matrix
from worldsample_core.config import TaskConfig

State = Literal["ok", "holding", "fault", "resetting"]
MAX_DT = 0.02
"""s; a late step moves the target no further than this."""
STALL = 0.05
"""s; a longer pause between two steps means that this process did not get to run."""
SAME_PLACE = 0.02
"""rad; after a pause with the arm this near its target, the target is where the arm is."""
STILL = 0.05
"""rad/s; an arm that is slower stands."""
UNHEARD = 2.0
"""s; an arm that says for longer that no command reaches it, while targets are sent, does not hear them."""
UNLIMITED = np.full(3, np.inf)


@dataclass(frozen=True)
class Target:
    """Message to the arm: joint angles (6,) rad, largest speeds (6,) rad/s, gripper opening 0 .. 1."""

    joints: Array
    speeds: Array
    opening: float


@dataclass
class Counters:
    """Commands since the start."""

    applied: int = 0
    clipped: int = 0
    rejected: int = 0


class ArmDriver:
    """One arm. Not thread-safe.

    Raises:
        ConfigError: the task asks for more than the limits allow.

    Attributes:
        feedback: the newest reading. counters: of commands.
        at_box_limit, at_joint_limit: of the last command.
        complaint: why the last command was refused; "" if it was not.
        executed: what was made of the last command.
        enabled: targets may be sent.
    """

    def __init__(self, config: DriverConfig, task: TaskConfig) -> None:
        check_task(config, task)
        self._config, self._task = config, task
        limits = config.limits
        self.home = np.asarray(task.reset_joints, np.float64)
        _, reference = forward_kinematics(self.home)
        self._workspace = Workspace(
            np.asarray(task.box_low), np.asarray(task.box_high), reference, limits.max_tilt
        )
        self._gate = CommandGate(
            task, config.watchdog.command_age, limits.max_translation, limits.max_rotation
        )
        self._keeps_rotation = not any(task.active[3:6])
        self.feedback = Feedback(config.watchdog.feedback, config.watchdog.frozen, config.gripper)
        self.slips = SlipWatch(limits)
        self._stream = TargetStream(limits, self.feedback.joints)
        self.counters = Counters()
        self.enabled, self.disabled_by_person = False, False
        self.at_box_limit = self.at_joint_limit = False
        self.complaint = ""
        self.executed = NOTHING
        self._streaming = False
        self._fresh_anchor = False
        self._stepped = -np.inf
        self._commanded = -np.inf
        self._vendor_error, self._rival, self._link = "", "", ""
        self._unheard_since = np.inf
        self._has_streamed = False
        self._target_position = self._stream.position
        self._stopping = ""
        self._followed, self._blocked = 0.0, False
        self._opening = self._gripper_goal = 0.0
        self._gripper_known = False
        self._legs: list[Leg] = []
        self._leg: Leg | None = None
        self._reset_began = self._settled = 0.0
        self._reset_answer: tuple[bool, str] | None = None

    # --- what comes in ---

    def take_feedback(
        self, positions: Sequence[float], velocities: Sequence[float], now: float, stamp: int = 0
    ) -> bool:
        """A reading of the arm. Returns whether it is believed. stamp: ns, of the arm's clock; 0: unknown.

        After a jump of the readings, or where the arm has slid away from its target, the target is the
        measured pose from here on.
        """
        feedback = self.feedback
        before = Reading(feedback.joints, feedback.position)
        if not feedback.take(positions, velocities, now, stamp):
            return False
        gap = feedback.gap
        if np.isfinite(gap) and not self._rival:
            after, target = Reading(feedback.joints, feedback.position), before
            if self._has_streamed:
                target = Reading(self._stream.joints, self._target_position)
            if self.slips.take(before, after, target, gap, now):
                self._anchor_anew()
        return True

    def _anchor_anew(self) -> None:
        """Set the target to the measured pose, where one has been sent: the arm must not snap back to it."""
        if not self.enabled or not self._has_streamed:
            return
        self._stream.anchor(self.feedback.joints)
        self._workspace.widen(self._stream.position, self._stream.rotation)
        self._target_position = self._stream.position
        self._fresh_anchor, self._streaming, self._stopping = True, True, ""
        self._followed = np.inf
        self._end_reset(self.slips.words)

    def take_gripper(self, position: float, now: float) -> None:
        """A reading of the gripper, in the vendor's numbers."""
        if self.feedback.take_gripper(position, now) and not self._gripper_known:
            self._gripper_known = True
            self._opening = self._gripper_goal = self.feedback.opening

    def take_error(self, error: str) -> None:
        """Take the error that the vendor's status names; "" for no error.

        An error stays until :meth:`clear_errors`.
        """
        self._vendor_error = error or self._vendor_error

    def take_unheard(self, unheard: bool, now: float) -> None:
        """Take whether the arm says that no command reaches it, as it does at rest."""
        since = min(self._unheard_since, now)
        self._unheard_since = since if unheard and self.streaming else np.inf

    def clock_was_set(self) -> None:
        """The clock by which commands are stamped has been set: earlier stamps say nothing any more."""
        self._gate.newest = 0

    def take_link(self, problem: str) -> None:
        """Take what is wrong with the links to the arm, in words; "" for nothing."""
        self._link = problem

    def take_rival(self, rival: str) -> None:
        """Take the name of another program that sends targets to the arm; "" for none."""
        self._rival = rival

    def enable(self) -> None:
        """Targets may be sent; the first one will be the measured pose."""
        self.enabled, self.disabled_by_person = True, False

    def disable(self, by_person: bool = True) -> None:
        """Send nothing any more."""
        self.enabled, self.disabled_by_person = False, by_person
        self._streaming = self._has_streamed = False
        self._end_reset("the arm was disabled")

    def clear_errors(self) -> None:
        """Forget the vendor's error, and that the arm was blocked.

        An error that is still there comes back with the next status.
        """
        self._vendor_error, self._blocked = "", False
        self.feedback.trust_again()

    def command(self, command: Command, now: float, clock: int) -> str:
        """Take a command. Returns why it does not count; "" if it does."""
        try:
            self.executed = self._accept(command, now, clock)
        except RejectedCommand as problem:
            self.counters.rejected += 1
            self.complaint = str(problem)
            self.executed = refused(self.complaint)
            return self.complaint
        self.complaint = ""
        return ""

    def _accept(self, command: Command, now: float, clock: int) -> Executed:
        if self._legs or self._leg is not None:
            raise RejectedCommand("the arm is being reset")
        if not self.enabled:
            raise RejectedCommand(self._why_disabled())
        problem = self.fault(now)
        if problem:
            raise RejectedCommand(problem)
        motion = self._gate.check(command, clock)
        if not self._streaming or now - self._commanded > self._config.watchdog.command:
            self._start_from_measured(always=not self._streaming)
        stream, feedback = self._stream, self.feedback
        self._workspace.narrow(stream.position, stream.rotation)
        lead = stream.goal_position + motion.translation - feedback.position
        allowed = self._config.limits.max_lead + float(np.abs(self._task.scale[:3]).max())
        distance = float(np.sqrt(lead @ lead))
        wanted = feedback.position + lead * min(1.0, allowed / max(distance, 1e-9))
        upright = self._workspace.reference
        if self._keeps_rotation and self._workspace.angle(stream.goal_rotation) < 0.1:
            turned = upright
        elif np.any(motion.rotation):
            turned = rotvec_to_matrix(motion.rotation) @ stream.goal_rotation
        else:
            turned = stream.goal_rotation
        before = stream.goal_position, stream.goal_rotation
        position, rotation, self.at_box_limit = self._workspace.clip(wanted, turned)
        self.at_joint_limit = stream.unreachable
        if self.at_joint_limit:
            position = stream.within_reach(position, rotation)
        stream.go_to_pose(position, rotation)
        if motion.gripper:
            self._gripper_goal = 0.0 if motion.gripper < 0 else 1.0
        self._commanded = now
        self.counters.applied += 1
        limits = {
            "an inactive dimension of the task": motion.clipped,
            "the workspace box": self.at_box_limit,
            "a joint limit": self.at_joint_limit,
            "the lead over the measured pose": distance > allowed,
        }
        reason = ", ".join(name for name, met in limits.items() if met)
        self.counters.clipped += bool(reason)
        return executed(motion, before, (position, rotation), reason)

    def start_reset(self, now: float) -> None:
        """Begin the way to the reset pose; :meth:`reset_answer` tells its end.

        Raises:
            NoSafePath: it cannot begin; the message says why and what to do.
        """
        if self._leg is not None or self._legs:
            raise NoSafePath("a reset is under way already")
        self.require_no_fault(now)
        if not self.enabled and self.may_enable:
            self.enable()
        if not self.enabled:
            raise NoSafePath(self._why_disabled())
        reset, task = self._config.reset, self._task
        floor = task.box_low[2] - reset.clearance
        legs = plan_reset(self.feedback.joints, self.home, reset.lift, floor, reset.table)
        self._start_from_measured(always=not self._streaming)
        self._legs, self._leg = list(legs), None
        self._gripper_goal = task.reset_gripper
        self._reset_began, self._settled, self._reset_answer = now, np.inf, None

    @property
    def may_enable(self) -> bool:
        """True if a reset may enable the arm."""
        return self._config.enable_on_reset and not self.disabled_by_person

    def require_no_fault(self, now: float) -> None:
        """Raises :class:`NoSafePath` where something forbids motion."""
        problem = self.fault(now)
        if problem:
            raise NoSafePath(problem)

    def reset_answer(self) -> tuple[bool, str] | None:
        """Success and message of the reset that has ended; told once."""
        answer, self._reset_answer = self._reset_answer, None
        return answer

    # --- what goes out ---

    def step(self, now: float) -> Target | None:
        """The target to send now; None if none may be sent.

        Call it ``stream_rate`` times a second, and after each command.
        """
        pause = now - self._stepped
        dt = min(pause, MAX_DT)
        self._stepped = now
        if STALL < pause < np.inf:
            self.feedback.excuse(pause)
            self.feedback.content.excuse(pause)
        if not self.enabled or not self._streaming:
            return None
        self._has_streamed = True
        problem = self.fault(now)
        if problem and not self._stopping:
            self._stopping = problem
            self._stream.stop()
            self._end_reset(problem)
        if self._fresh_anchor or dt <= 0.0:
            self._fresh_anchor = False
            self._target_position = forward_kinematics(self._stream.joints)[0]
            return self._target()
        if not self._stopping:
            self._choose_goal(now)
        low, high = self._workspace.low, self._workspace.high
        if self._leg is not None or self._stopping:
            low, high = -UNLIMITED, UNLIMITED
        self._stream.step(dt, low, high)
        self._opening += float(
            np.clip(
                self._gripper_goal - self._opening,
                -self._config.gripper_speed * dt,
                self._config.gripper_speed * dt,
            )
        )
        position = forward_kinematics(self._stream.joints)[0]
        way, self._target_position = position - self._target_position, position
        self.slips.pace(self._stream.velocity, float(np.sqrt(way @ way)) / dt, dt)
        self.feedback.content.moved(self._stream.joints, now)
        self.feedback.opening_content.moved(np.array([self._opening]), now)
        self._watch_following(now)
        if self._stopping and not np.any(self._stream.velocity):
            self._streaming, self._stopping = False, ""  # at rest: nothing is sent from here on
            return None
        return self._target()

    def _choose_goal(self, now: float) -> None:
        if self._legs or self._leg is not None:
            self._go_on_with_reset(now)
        elif now - self._commanded > self._config.watchdog.command and not self._stream.arrived:
            self._stream.stop()

    def _go_on_with_reset(self, now: float) -> None:
        reset = self._config.reset
        if now - self._reset_began > reset.timeout:
            self._end_reset(f"the arm did not reach its reset pose within {reset.timeout:g} s")
            self._stream.stop()
            return
        gripper_busy = abs(self._opening - self._gripper_goal) > 1e-3
        if self._leg is None:
            waits = self._opening_moved() and now - self._reset_began < reset.gripper_wait
            if gripper_busy or waits or np.any(self._stream.velocity):  # it may have been under way
                return
            self._begin_leg()
            return
        if not self._stream.arrived:
            return
        if self._legs:
            self._begin_leg()
            return
        off = float(np.abs(self.feedback.joints - self.home).max())
        if off > max(reset.tolerance, self._config.limits.joint_margin + 0.01):
            self._settled = np.inf
            return
        self._settled = min(self._settled, now)
        if now - self._settled >= reset.settle:
            self._leg, self._reset_answer = None, (True, "")
            self._gate.newest = 0
            self._workspace.widen(self._stream.position, self._stream.rotation)
            self._stream.go_to_pose(self._stream.position, self._stream.rotation)

    def _opening_moved(self) -> bool:
        return self._gripper_known and abs(self.feedback.opening - self._gripper_goal) > 0.1

    def _begin_leg(self) -> None:
        self._leg = leg = self._legs.pop(0)
        if leg.position is not None and leg.rotation is not None:
            self._stream.go_to_pose(leg.position, leg.rotation)
        else:
            self._stream.go_to_joints(leg.joints, self._config.reset.speed)

    def _end_reset(self, problem: str) -> None:
        if self._legs or self._leg is not None:
            self._legs, self._leg = [], None
            self._reset_answer = (False, problem)

    def _start_from_measured(self, always: bool) -> None:
        """Anchor the stream at the measured pose.

        After a mere pause, with the arm at its target, the anchor is the target itself.
        """
        feedback = self.feedback
        still = not np.any(self._stream.velocity) and float(np.abs(feedback.velocities).max()) < STILL
        if always or (still and float(np.abs(feedback.joints - self._stream.joints).max()) > SAME_PLACE):
            self._stream.anchor(feedback.joints)
            self._target_position = self._stream.position
            self._fresh_anchor = True
        else:
            self._stream.stop()
        self._workspace.widen(self._stream.position, self._stream.rotation)
        self._streaming, self._stopping = True, ""
        self._followed = np.inf

    def _watch_following(self, now: float) -> None:
        """Notice an arm that does not follow its targets; that stays until :meth:`clear_errors`."""
        error = float(np.abs(self.feedback.joints - self._stream.joints).max())
        if error <= self._config.limits.tracking_error or not np.isfinite(self._followed):
            self._followed = now
        elif now - self._followed > self._config.watchdog.blocked:
            self._blocked = True

    def _target(self) -> Target:
        limits = self._config.limits
        speeds = np.minimum(limits.joint_velocity, self.slips.speeds + limits.catch_up)
        return Target(self._stream.joints.copy(), speeds, self._opening)

    # --- what can be known ---

    def fault(self, now: float) -> str:
        """The reason that forbids motion now, and what to do; "" if there is none."""
        watchdog, feedback = self._config.watchdog, self.feedback
        if self._vendor_error:
            return f"the arm reports an error: {self._vendor_error}; end its cause, then call ~/clear_errors"
        if self._rival:
            return f"{self._rival} also sends targets to the arm: stop it, exactly one may"
        if self._link:
            return self._link
        age = feedback.age(now)
        if age > watchdog.feedback:
            if not np.isfinite(age):
                return "no feedback from the arm yet: is the vendor's driver running, with the topic's QoS?"
            why = f" ({feedback.complaint})" if feedback.complaint else ""
            return f"no feedback from the arm for {age:.2f} s{why}: the arm is stopped"
        if feedback.unbroken(now) < watchdog.recovery:
            return f"feedback is back only for {feedback.unbroken(now):.2f} s"
        frozen = feedback.content.frozen(now)
        if frozen:
            return (
                f"the arm repeats one reading for {frozen:.2f} s although its target moves: emergency stop, "
                "or no power? Release it, then ~/clear_errors"
            )
        slid = self.slips.fault(now, watchdog.recovery)
        if slid:
            return slid
        outside = feedback.outside(self._config.limits.rest_tolerance)
        if outside:
            return f"{outside}: calibrate the arm, or move it inside its limits"
        if self._blocked:
            return "the arm does not follow its targets: is it blocked, or not enabled? Then ~/clear_errors"
        return ""

    def _why_disabled(self) -> str:
        return "the arm is disabled: call ~/enable" + ("" if self.disabled_by_person else " or ~/reset")

    def state(self, now: float) -> tuple[State, str]:
        """The state and words for it."""
        problem = self.fault(now)
        if problem:
            return "fault", problem
        if self.disabled_by_person:
            return "fault", self._why_disabled()
        if self._legs or self._leg is not None:
            return "resetting", self._leg.what if self._leg is not None else "the gripper first"
        if not self.enabled or not self._streaming:
            return "holding", self.complaint or "nothing is sent to the arm yet"
        silence = now - self._commanded
        if silence > self._config.watchdog.command:
            return "holding", self.complaint or "no command: the arm holds its pose"
        if now - self._unheard_since > UNHEARD:
            return "ok", "the arm says that no command reaches it: does it listen to driver.topics?"
        return "ok", self.complaint

    @property
    def resetting(self) -> bool:
        """True while a reset is under way."""
        return bool(self._legs) or self._leg is not None

    @property
    def streaming(self) -> bool:
        """True while targets are being sent."""
        return self.enabled and self._streaming

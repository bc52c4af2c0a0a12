"""The simulated cell as a ROS node: the same topics, types, frames and QoS as the real arm and cameras.

Lockstep (the default): every tick's messages carry one virtual stamp, and the world advances exactly one
control period on a command that carries the stamp of the current tick. Real time: 10 Hz wall clock.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, JointState

from a1x_sim.cell_messages import (
    camera_info,
    ee_pose,
    gripper_state,
    joint_state,
    optical_frame,
    sim_state,
)
from a1x_sim.graphics import NoRenderer, load_mujoco
from a1x_sim.lockstep import LearnerPacing
from a1x_sim.sim_config import SimConfig
from worldsample_core.arm.motion_command import Motion, RejectedCommand, check_command
from worldsample_core.config import ConfigError, TaskConfig, from_mapping
from worldsample_core.messages.conversions import image_to_message, stamp_ns
from worldsample_core.messages.qos import COMMAND, SENSOR, STATUS
from worldsample_core.node.awake_clock import AwakeClock
from worldsample_core.node.run_settings import run_settings
from worldsample_core.node.single_writer import SingleWriter
from worldsample_core.node.spinning_node import run_node
from worldsample_core.observation import VIEWS, Observation
from worldsample_msgs.msg import (
    EndEffectorCommand,
    GripperState,
    LearnerStatus,
    PolicyStatus,
    RobotStatus,
    SimState,
)
from worldsample_msgs.srv import Reset

if TYPE_CHECKING:
    from a1x_sim.cell import Cell

MODES = ("demo", "train", "eval", "label")
FIRST_STAMP = 1_000_000_000  # ns; zero would read as "no time" in ROS
NO_MOTION = Motion(np.zeros(3), np.zeros(3), 0, clipped=False)


class SimNode(Node):
    """Owns the cell and, in lockstep, virtual time. All callbacks run in one thread, which also renders."""

    def __init__(self) -> None:
        """Raises :class:`ConfigError` for an unusable configuration, :class:`NoRenderer` without OpenGL."""
        super().__init__("a1x")
        settings = run_settings(self)
        self._lockstep = bool(self.declare_parameter("lockstep", settings.run.lockstep).value)
        lag = int(self.declare_parameter("lag", settings.run.lag).value)
        self._sim = from_mapping(SimConfig, settings.sim, "sim")
        self._task = settings.task
        size = settings.run.image_size
        shape = (settings.cameras.height or size, settings.cameras.width or size)
        self._cell = _make_cell(settings.task, shape, settings.run.seed, self._sim.rendered_lines)
        self._observation: Observation = self._cell.reset(settings.run.seed)
        self._period_ns = round(self._task.control_period * 1e9)
        self._stamp_ns = FIRST_STAMP if self._lockstep else self.get_clock().now().nanoseconds
        self._awake = AwakeClock()
        self._pacing = LearnerPacing(lag, self._sim.learner_patience)
        self._mode, self._episode, self._resets = "", 0, 0
        self._pending: Motion | None = None
        self._holding = False
        self._published_at = -np.inf
        self._command_at = time.monotonic()
        self._applied = self._clipped = self._rejected = 0
        self._complaint = ""
        self._writer = SingleWriter()

        self._images = {
            view: self.create_publisher(Image, f"{view}/color/image_raw", SENSOR) for view in VIEWS
        }
        self._infos = {
            view: self.create_publisher(CameraInfo, f"{view}/color/camera_info", SENSOR) for view in VIEWS
        }
        self._joints = self.create_publisher(JointState, "joint_states", SENSOR)
        self._pose = self.create_publisher(PoseStamped, "~/ee_pose", SENSOR)
        self._gripper = self.create_publisher(GripperState, "~/gripper", SENSOR)
        self._status = self.create_publisher(RobotStatus, "~/status", STATUS)
        self._truth = self.create_publisher(SimState, "sim/state", STATUS)
        self.create_subscription(EndEffectorCommand, "~/command", self._on_command, COMMAND)
        self.create_service(Reset, "~/reset", self._on_reset)
        if self._lockstep:
            self._clock_publisher = self.create_publisher(Clock, "/clock", 1)
            self.create_subscription(LearnerStatus, "learner/status", self._on_learner, STATUS)
            self.create_subscription(PolicyStatus, "policy/status", self._on_policy, STATUS)
            self.create_timer(0.05, self._on_idle)
        else:
            self.create_timer(self._task.control_period, self._on_control_period)
        self.get_logger().info(
            f"{self._task.name}, images {shape[1]}x{shape[0]}, "
            + (f"lockstep, learner at most {lag} steps behind" if self._lockstep else "real time")
        )

    # -- what comes in --

    def _on_command(self, message: EndEffectorCommand) -> None:
        sent = stamp_ns(message.header.stamp)
        if self._lockstep and (sent != self._stamp_ns or self._holding):
            return  # the answer to an earlier tick, or the same answer again
        if not self._lockstep and self._stamp_ns - sent > self._sim.command_timeout * 1e9:
            self._reject(f"the command answers an observation {(self._stamp_ns - sent) * 1e-9:.2f} s old")
            return
        move, turn = message.translation, message.rotation
        try:
            motion = check_command(
                np.array([move.x, move.y, move.z]),
                np.array([turn.x, turn.y, turn.z]),
                int(message.gripper),
                message.header.frame_id,
                self._task,
            )
        except RejectedCommand as problem:
            self._reject(str(problem))
            return
        self._command_at = time.monotonic()
        self._writer.seen(self._command_at)
        self._complaint = ""
        if self._lockstep:
            self._advance(motion)
            self._stamp_ns += self._period_ns
            if self._mode == "train":
                self._pacing.step_done()
            self._publish_when_learner_follows()
        else:
            self._pending = motion

    def _on_reset(self, request: Reset.Request, response: Reset.Response) -> Reset.Response:
        if request.mode not in MODES:
            response.success = False
            response.message = f"unknown mode {request.mode!r}: expected one of {', '.join(MODES)}"
            return response
        response.message = self._writer.refuses(request.run, time.monotonic())
        if response.message:
            response.taken = True
            return response
        self._mode, self._episode = request.mode, int(request.episode)
        self._resets += 1
        self._observation = self._cell.reset(int(request.seed))
        self._pending = None
        if self._lockstep:
            self._stamp_ns += self._period_ns
        else:
            self._stamp_ns = max(self.get_clock().now().nanoseconds, self._stamp_ns + 1)
        response.success, response.stamp = True, _time(self._stamp_ns)
        self._holding = self._lockstep
        if self.executor is not None:  # after the answer, which names the stamp of this tick
            self.executor.create_task(self._publish_when_learner_follows if self._lockstep else self._publish)
        return response

    def _on_learner(self, message: LearnerStatus) -> None:
        finished = message.state in (LearnerStatus.FAILED, LearnerStatus.DONE)
        status = (message.state, message.detail, message.updates, message.completed_steps)
        self._pacing.learner_reports(int(message.completed_steps), finished, status, self._awake())
        if self._holding:
            self._publish_when_learner_follows()

    def _on_policy(self, message: PolicyStatus) -> None:
        self._pacing.policy_reports(int(message.real_steps))

    def _on_idle(self) -> None:
        if self._holding:
            self._publish_when_learner_follows()
        elif time.monotonic() - self._published_at > self._sim.republish_after:
            self._publish()

    def _on_control_period(self) -> None:
        motion, self._pending = self._pending or NO_MOTION, None
        self._advance(motion)
        self._stamp_ns = max(self.get_clock().now().nanoseconds, self._stamp_ns + 1)
        self._publish()

    # -- what happens --

    def _advance(self, motion: Motion) -> None:
        self._observation = self._cell.move(motion.translation, motion.rotation, motion.gripper)
        if motion is not NO_MOTION:
            self._applied += 1
            self._clipped += motion.clipped or self._cell.at_box_limit or self._cell.at_joint_limit

    def _reject(self, reason: str) -> None:
        self._rejected += 1
        self._complaint = f"command rejected: {reason}"
        self.get_logger().warning(self._complaint, throttle_duration_sec=2.0)

    def _publish_when_learner_follows(self) -> None:
        self._holding = not self._pacing.may_go_on(self._awake())
        if not self._holding:
            self._publish()

    # -- what goes out --

    def _publish(self) -> None:
        """Every message of the current tick, all with its stamp."""
        self._holding = False
        self._published_at = time.monotonic()
        stamp = _time(self._stamp_ns)
        if self._lockstep:
            self._clock_publisher.publish(Clock(clock=stamp))
        for image, view in zip(self._observation.images, VIEWS, strict=True):
            self._images[view].publish(image_to_message(image, optical_frame(view), stamp))
            self._infos[view].publish(camera_info(self._cell, view, image, stamp))
        self._joints.publish(joint_state(self._cell, stamp))
        self._pose.publish(ee_pose(self._cell, stamp))
        self._gripper.publish(gripper_state(self._cell, stamp))
        self._status.publish(self._robot_status(stamp))
        episode = {
            "mode": float(MODES.index(self._mode)) if self._mode else -1.0,
            "episode": float(self._episode),
            "resets": float(self._resets),
        }
        self._truth.publish(sim_state(self._cell, episode, stamp))

    def _robot_status(self, stamp: Time) -> RobotStatus:
        status = RobotStatus(state=RobotStatus.OK, detail=self._complaint)
        status.header.stamp = stamp
        silence = time.monotonic() - self._command_at
        if not self._lockstep and silence > self._sim.command_timeout:
            status.state = RobotStatus.HOLDING
            status.detail = self._complaint or f"no command for {silence:.1f} s: the arm holds its pose"
        status.at_box_limit = self._cell.at_box_limit
        status.at_joint_limit = self._cell.at_joint_limit
        status.commands_applied = self._applied
        status.commands_clipped = self._clipped
        status.commands_rejected = self._rejected
        return status

    def destroy_node(self) -> None:
        """Also frees the renderer."""
        self._cell.close()
        super().destroy_node()


def _make_cell(task: TaskConfig, shape: tuple[int, int], seed: int, rendered_lines: int) -> Cell:
    """Raises :class:`NoRenderer` already while importing, where OpenGL is missing."""
    load_mujoco()
    from a1x_sim.cell import Cell

    return Cell(task.name, shape, seed=seed, config=task, rendered_lines=rendered_lines)


def _time(nanoseconds: int) -> Time:
    """Integer nanoseconds as a ROS time, exactly."""
    sec, nanosec = divmod(nanoseconds, 1_000_000_000)
    return Time(sec=sec, nanosec=nanosec)


def main(args: list[str] | None = None) -> int:
    """Run the node. Returns 0 when asked to stop, 2 where configuration or graphics cannot be used."""
    return run_node("a1x (simulator)", SimNode, args, (ConfigError, NoRenderer))


if __name__ == "__main__":
    sys.exit(main())

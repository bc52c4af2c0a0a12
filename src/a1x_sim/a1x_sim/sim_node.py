"""The simulated cell as a ROS node: the same topics, types, frames and QoS as the real arm and cameras.

Lockstep (the default): every tick's messages carry one virtual stamp, and the world advances exactly one
control period on a command that carries the stamp of the current tick. Real time: 10 Hz wall clock.
"""

from __future__ import annotations

import worldsample_core.node.quiet_imports  # noqa: F401

# isort: split
import sys
import time
from typing import TYPE_CHECKING

from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, JointState

from a1x_sim.cell_messages import (
    camera_info,
    command_result,
    ee_pose,
    gripper_state,
    joint_state,
    robot_status,
    sim_state,
)
from a1x_sim.graphics import NoRenderer, load_mujoco
from a1x_sim.lockstep import LearnerPacing
from a1x_sim.sim_config import SimConfig
from a1x_sim.ticking_cell import FIRST_STAMP, RefusedReset, TickingCell
from worldsample_core.camera_calibration import optical_frame
from worldsample_core.config import ConfigError, TaskConfig, from_mapping
from worldsample_core.messages.conversions import command_from_message, image_to_message, time_of_ns
from worldsample_core.messages.qos import COMMAND, RESULTS, SENSOR, STATUS
from worldsample_core.messages.reception import Reception
from worldsample_core.messages.run_bounds import RunBounds
from worldsample_core.node.attributed_service import AttributedService
from worldsample_core.node.awake_clock import AwakeClock
from worldsample_core.node.fixed_parameter import fixed_parameter
from worldsample_core.node.run_settings import run_settings
from worldsample_core.node.run_topics import RunTopics
from worldsample_core.node.single_writer import commanders
from worldsample_core.node.spinning_node import run_node
from worldsample_core.node.steady_time import EvenStamps, steady_timer
from worldsample_core.node.transform_publisher import TransformPublisher
from worldsample_core.observation import VIEWS
from worldsample_msgs.msg import (
    CommandResult,
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

LOOK_AT_HELD = 0.05
"""s between two looks whether a tick must still be held: often enough for :class:`AwakeClock`."""


class SimNode(Node):
    """Publishes the ticks of a :class:`TickingCell`. All callbacks run in one thread, which also renders."""

    def __init__(self) -> None:
        """Raises :class:`ConfigError` for an unusable configuration, :class:`NoRenderer` without OpenGL."""
        super().__init__("a1x")
        settings = run_settings(self)
        lockstep, lag = settings.run.lockstep, settings.run.lag
        lockstep = fixed_parameter(self, "lockstep", lockstep, "The simulator waits for the policy.")
        lag = fixed_parameter(self, "lag", lag, "Real steps that the learner may be behind.")
        self._config = from_mapping(SimConfig, settings.sim, "sim")
        shape = settings.camera_shape
        self._awake, self._stamps = AwakeClock(), EvenStamps()
        self._reception, self._bounds = Reception(self.get_logger().warning), RunBounds.of(settings)
        self._pacing = LearnerPacing(lag, self._config.learner_patience) if lockstep else None
        self._ticks = TickingCell(
            _make_cell(settings.task, shape, settings.run.seed, self._config.rendered_lines),
            self._config,
            self._pacing,
            settings.run.seed,
            FIRST_STAMP if lockstep else self._stamps(),
            time.monotonic(),
        )

        self._images = {
            view: self.create_publisher(Image, f"{view}/color/image_raw", SENSOR) for view in VIEWS
        }
        self._infos = {
            view: self.create_publisher(CameraInfo, f"{view}/color/camera_info", SENSOR) for view in VIEWS
        }
        self._joints = self.create_publisher(JointState, "joint_states", SENSOR)
        urdf = fixed_parameter(self, "urdf", "", "File of the arm's description.")
        begin = time_of_ns(self._ticks.stamp)
        self._transforms = TransformPublisher(self, settings, begin, urdf, inner=True)
        self._pose = self.create_publisher(PoseStamped, "~/ee_pose", SENSOR)
        self._gripper = self.create_publisher(GripperState, "~/gripper", SENSOR)
        self._status = self.create_publisher(RobotStatus, "~/status", STATUS)
        self._truth = self.create_publisher(SimState, "sim/state", STATUS)
        topics = RunTopics(self, self._reception)
        topics.create_subscription(EndEffectorCommand, "a1x/command", self._on_command, COMMAND)
        AttributedService(self, Reset, "~/reset", self._on_reset)
        if self._pacing is not None:
            self._clock_publisher = self.create_publisher(Clock, "/clock", 1)
            topics.create_subscription(LearnerStatus, "learner/status", self._on_learner, STATUS)
            topics.create_subscription(PolicyStatus, "policy/status", self._on_policy, STATUS)
            self._timer = steady_timer(self, LOOK_AT_HELD, self._on_timer)
        else:
            self._results = self.create_publisher(CommandResult, "~/executed", RESULTS)
            steady_timer(self, settings.task.control_period, self._on_control_period)
        self.get_logger().info(
            f"{settings.task.name}, images {shape[1]}x{shape[0]}, "
            + (f"lockstep, learner at most {lag} steps behind" if lockstep else "real time")
        )

    # --- what comes in ---

    def _on_command(self, message: EndEffectorCommand) -> None:
        if problem := self._ticks.command(command_from_message(message), time.monotonic()):
            self.get_logger().warning(problem, throttle_duration_sec=2.0)
        if self._pacing is None:
            self._results.publish(command_result(problem, message, time_of_ns(self._stamps())))
        self._publish_held()

    def _on_reset(self, request: Reset.Request, response: Reset.Response, asker: bytes) -> Reset.Response:
        ticks, now, clock = self._ticks, time.monotonic(), self._stamps()
        try:
            ticks.reset(
                request.run,
                int(request.seed),
                request.mode,
                int(request.episode),
                now,
                clock,
                commanders(self),
                asker,
            )
        except RefusedReset as refusal:
            self.get_logger().warning(f"a reset was refused: {refusal}", throttle_duration_sec=2.0)
            response.message, response.taken = str(refusal), refusal.taken
            return response
        response.success, response.stamp = True, time_of_ns(ticks.stamp)
        if self.executor is not None:  # after the answer, which names the stamp of this tick
            self.executor.create_task(self._publish if self._pacing is None else self._publish_held)
        return response

    def _on_learner(self, message: LearnerStatus) -> None:
        assert self._pacing is not None
        if self._reception.take("statuses", lambda: self._bounds.status(message)) is None:
            return
        finished = message.state in (LearnerStatus.FAILED, LearnerStatus.DONE)
        status = (message.state, message.detail, message.updates, message.completed_steps)
        self._pacing.learner_reports(int(message.completed_steps), finished, status, self._awake())
        self._publish_held()

    def _on_policy(self, message: PolicyStatus) -> None:
        assert self._pacing is not None
        if self._reception.take("statuses", lambda: self._bounds.status(message)) is None:
            return
        self._pacing.policy_reports(int(message.real_steps))

    # --- timers ---

    def _on_timer(self) -> None:
        """Look at the tick that is held; publish one again that nobody has answered."""
        if self._ticks.held:
            self._publish_held()
        else:
            self._publish()

    def _on_control_period(self) -> None:
        self._ticks.control_period(self._stamps())
        self._publish()

    # --- what goes out ---

    def _publish_held(self) -> None:
        """Publish the tick if it is held and need not be held any longer; else look at it again soon."""
        if self._ticks.release(self._awake()):
            self._publish()
        elif self._ticks.held:
            self._next_look(LOOK_AT_HELD)

    def _next_look(self, seconds: float) -> None:
        """Wake the lockstep timer once this time has passed, and not before."""
        self._timer.timer_period_ns = round(seconds * 1e9)
        self._timer.reset()

    def _publish(self) -> None:
        """Publish every message of the current tick, all with its stamp."""
        ticks, cell = self._ticks, self._ticks.cell
        stamp = time_of_ns(ticks.stamp)
        if self._pacing is not None:
            self._next_look(self._config.republish_after)
            self._clock_publisher.publish(Clock(clock=stamp))
        for image, view in zip(ticks.observation.images, VIEWS, strict=True):
            self._images[view].publish(image_to_message(image, optical_frame(view), stamp))
            self._infos[view].publish(camera_info(cell, view, image, stamp))
        joints = joint_state(cell, stamp)
        self._joints.publish(joints)
        self._transforms.send(joints)
        self._pose.publish(ee_pose(cell, stamp))
        self._gripper.publish(gripper_state(cell, stamp))
        self._status.publish(robot_status(ticks, time.monotonic(), stamp))
        self._truth.publish(sim_state(ticks, stamp))

    def destroy_node(self) -> None:
        """Also frees the renderer."""
        self._ticks.cell.close()
        super().destroy_node()


def _make_cell(task: TaskConfig, shape: tuple[int, int], seed: int, rendered_lines: int) -> Cell:
    """Raises :class:`NoRenderer` already while importing, where OpenGL is missing."""
    load_mujoco()
    from a1x_sim.cell import Cell

    return Cell(task.name, shape, seed=seed, config=task, rendered_lines=rendered_lines)


def main(args: list[str] | None = None) -> int:
    """Run the node. Returns 0 when asked to stop, 2 where configuration or graphics cannot be used."""
    return run_node("a1x (simulator)", SimNode, args, (ConfigError, NoRenderer))


if __name__ == "__main__":
    sys.exit(main())

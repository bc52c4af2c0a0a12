"""A cell and its operator without physics: a dot that the end effector moves to a goal.

It speaks the graph's topics.

Run as a program (``python fake_cell.py --ros-args -p config:=...``), in lockstep or in real time as the
configuration says.
Parameters make it misbehave: see :class:`FakeCell`.
"""

from __future__ import annotations

import signal
import sys
import time
from typing import Any

import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image

from worldsample_core.messages.conversions import image_to_message, stamp_ns
from worldsample_core.messages.qos import COMMAND, SENSOR, STATUS
from worldsample_core.node.single_writer import SingleWriter
from worldsample_core.settings import load_settings
from worldsample_msgs.msg import (
    EndEffectorCommand,
    GripperState,
    Intervention,
    LearnerStatus,
    PolicyStatus,
    RobotStatus,
)
from worldsample_msgs.srv import Reset

GOAL = np.array([0.3, 0.0, 0.2])
TOLERANCE = 0.02
PERIOD = 100_000_000


class FakeCell(Node):
    """A cell that can be told to misbehave.

    Parameters: camera_size (pixels, 0: the training size), camera_type (Image or CompressedImage), silent (a
    view that sends nothing after ``silent_after`` commands), drop (fraction of messages lost at random).
    """

    def __init__(self) -> None:
        super().__init__("a1x")
        settings = load_settings(str(self.declare_parameter("config", "").value))
        self.lockstep, self.lag = settings.run.lockstep, settings.run.lag
        self.size = int(self.declare_parameter("camera_size", 0).value) or settings.run.image_size
        self.silent = str(self.declare_parameter("silent", "").value)
        self.silent_after = int(self.declare_parameter("silent_after", 0).value)
        self.drop = float(self.declare_parameter("drop", 0.0).value)
        kinds = {"Image": Image, "CompressedImage": CompressedImage}
        kind = kinds[self.declare_parameter("camera_type", "Image").value]
        self.rng = np.random.default_rng(0)
        self.commands = 0
        self.ticks, self.mode, self.position = 0, "", np.array([0.2, 0.1, 0.25])
        self.stamp = 1_000_000_000
        self.published_at = 0.0
        self.train_steps = self.completed = 0
        self.learner: tuple[Any, ...] = ()
        self.learner_at = time.monotonic()
        self.holding = False
        self.cameras = {
            view: self.create_publisher(kind, f"{view}/color/image_raw", SENSOR) for view in ("side", "wrist")
        }
        self.pose = self.create_publisher(PoseStamped, "a1x/ee_pose", SENSOR)
        self.gripper = self.create_publisher(GripperState, "a1x/gripper", SENSOR)
        self.status = self.create_publisher(RobotStatus, "a1x/status", STATUS)
        self.operator = self.create_publisher(Intervention, "operator/intervention", STATUS)
        self.create_subscription(EndEffectorCommand, "a1x/command", self.on_command, COMMAND)
        self.create_subscription(LearnerStatus, "learner/status", self.on_learner, STATUS)
        self.create_subscription(PolicyStatus, "policy/status", self.on_policy, STATUS)
        self.create_service(Reset, "a1x/reset", self.on_reset)
        self.motion = np.zeros(3)
        self.writer = SingleWriter()
        self.create_timer(0.05 if self.lockstep else 0.1, self.on_idle if self.lockstep else self.on_period)

    def on_reset(self, request: Reset.Request, response: Reset.Response) -> Reset.Response:
        response.message = self.writer.refuses(request.run, time.monotonic())
        if response.message:
            response.taken = True
            return response
        self.mode = request.mode
        rng = np.random.default_rng(int(request.seed))
        self.position = GOAL + rng.uniform(-0.08, 0.08, 3)
        self.stamp = self.stamp + PERIOD if self.lockstep else self.get_clock().now().nanoseconds
        response.success = True
        response.stamp = Time(sec=self.stamp // 10**9, nanosec=self.stamp % 10**9)
        self.holding = True
        return response

    def on_command(self, command: EndEffectorCommand) -> None:
        self.commands += 1
        self.writer.seen(time.monotonic())
        motion = np.array([command.translation.x, command.translation.y, command.translation.z])
        if not self.lockstep:
            self.motion = motion
        elif stamp_ns(command.header.stamp) == self.stamp and not self.holding:
            self.position = self.position + motion
            self.stamp += PERIOD
            self.train_steps += self.mode == "train"
            self.holding = True
            self.go_on()

    def on_learner(self, status: LearnerStatus) -> None:
        self.completed = status.completed_steps
        news = (status.state, status.detail, status.updates, status.completed_steps)
        if news != self.learner:
            self.learner, self.learner_at = news, time.monotonic()
        self.go_on()

    def on_policy(self, status: PolicyStatus) -> None:
        self.train_steps = max(self.train_steps, status.real_steps)

    def go_on(self) -> None:
        follows = self.completed >= self.train_steps - self.lag or time.monotonic() - self.learner_at > 2.0
        if self.holding and follows:
            self.publish()

    def on_idle(self) -> None:
        if self.holding:
            self.go_on()
        elif time.monotonic() - self.published_at > 0.5:
            self.publish()

    def on_period(self) -> None:
        self.position = self.position + self.motion
        self.motion = np.zeros(3)
        self.stamp = self.get_clock().now().nanoseconds
        self.publish()

    def image(self, view: int) -> np.ndarray:
        picture = np.full((self.size, self.size, 3), 40 + 60 * view, np.uint8)
        axis = 2 if view else 1
        place = ((self.position - GOAL)[[0, axis]] / 0.2 + 0.5) * self.size
        row, column = np.clip(place, 1, self.size - 3).astype(int)
        picture[row - 1 : row + 2, column - 1 : column + 2] = (250, 80, 30)
        if not self.lockstep:
            picture[0, 0] = self.rng.integers(0, 256, 3)  # a live camera never repeats a picture
        return picture

    def send(self, publisher: Any, message: Any) -> None:
        message.header.stamp = Time(sec=self.stamp // 10**9, nanosec=self.stamp % 10**9)
        if self.rng.random() >= self.drop:
            publisher.publish(message)

    def publish(self) -> None:
        self.holding = False
        self.published_at = time.monotonic()
        self.ticks += 1
        for index, (view, camera) in enumerate(self.cameras.items()):
            if view == self.silent and self.commands > self.silent_after:
                continue
            message = image_to_message(self.image(index), view, Time())
            self.send(camera, message if camera.msg_type is Image else CompressedImage())
        pose = PoseStamped()
        at = pose.pose.position
        at.x, at.y, at.z = self.position.tolist()
        self.send(self.pose, pose)
        self.send(self.gripper, GripperState(opening=1.0))
        self.send(self.status, RobotStatus())
        off = GOAL - self.position
        success = bool(self.mode and np.abs(off).max() < TOLERANCE)
        help_out = self.mode == "demo" or (self.mode == "train" and self.stamp // PERIOD % 40 < 6)
        answer = Intervention(active=help_out and not success, success=success)
        answer.action = np.r_[np.clip(off / 0.03, -1, 1), np.zeros(4)].astype(np.float32)
        self.send(self.operator, answer)


def main() -> int:
    rclpy.init(signal_handler_options=rclpy.signals.SignalHandlerOptions.NO)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))
    executor = SingleThreadedExecutor()
    executor.add_node(FakeCell())
    executor.spin()
    return 0


if __name__ == "__main__":
    sys.exit(main())

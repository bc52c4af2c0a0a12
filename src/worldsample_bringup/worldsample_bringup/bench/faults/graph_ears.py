"""Everything that a measurement hears of a running graph, and the garbage that it says itself."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from random import Random
from typing import Any
from zlib import crc32

import rclpy
from geometry_msgs.msg import PoseStamped
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.serialization import deserialize_message, serialize_message

from worldsample_bringup.bench.fuzz import message_mutations
from worldsample_core.messages.conversions import byte_array, to_time
from worldsample_core.messages.qos import LATCHED, SENSOR, STATUS, TRANSITIONS
from worldsample_msgs.msg import (
    GripperState,
    Intervention,
    LearnerStatus,
    PolicyStatus,
    RobotStatus,
    Transition,
    Weights,
)
from worldsample_msgs.srv import Reset

FORGED = "forged"
"""``header.frame_id`` of our own messages, by which we tell them from the policy's."""
AHEAD = 5
"""Steps by which forged transitions run ahead of the genuine ones."""
BURST = 20
"""Messages of one fault."""


def signature(transition: Any) -> int:
    """A number by which a heard transition is compared with the recorded one."""
    head = f"{transition.episode}/{transition.step}/{transition.reward:.6f}/{transition.policy_version}"
    return crc32(
        bytes(transition.observation.side), crc32(bytes(memoryview(transition.action)), crc32(head.encode()))
    )


class GraphEars:
    """Listens to one session of a run, on its ROS domain, in a thread of its own.

    Attributes:
        steps: signature of every genuine transition by its number; kept over sessions.
        doubled: numbers that were heard twice with different contents.
        policy, learner: the newest statuses. next_seq: of the step that comes next.
        heard_step_at, updates_grew_at: when a step was last heard, and updates were last seen to grow, s.
        resets: answers to resets that were asked for here, for another run and under this run's name.
    """

    def __init__(self, run: str, image_side: int, steps: dict[int, int], doubled: Counter[int]) -> None:
        self.run, self._image_side, self.steps, self.doubled = run, image_side, steps, doubled
        self.policy: Any = None
        self.learner: Any = None
        self.next_seq = max(steps, default=-1) + 1
        self.heard_step_at = self.updates_grew_at = -1.0
        self._context = Context()
        rclpy.init(args=[], context=self._context, domain_id=int(os.environ["ROS_DOMAIN_ID"]))
        self._node = Node("bench_faults", context=self._context, enable_rosout=False)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        subscribe, publish = self._node.create_subscription, self._node.create_publisher
        subscribe(Transition, "transitions", self._on_transition, TRANSITIONS)
        subscribe(PolicyStatus, "policy/status", self._on_policy, STATUS)
        subscribe(LearnerStatus, "learner/status", self._on_learner, STATUS)
        self._publish = publish
        self._publishers: dict[str, Any] = {}
        self._resets = self._node.create_client(Reset, "a1x/reset")
        self.resets: list[Any] = []
        self._closing = False
        self._thread = threading.Thread(target=self._listen, name="ears", daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while not self._closing:
            self._executor.spin_once(timeout_sec=0.2)

    def _on_transition(self, message: Transition) -> None:
        if message.run != self.run or message.header.frame_id == FORGED:
            return
        self.heard_step_at = time.monotonic()
        number, made = int(message.seq), signature(message)
        self.next_seq = max(self.next_seq, number + 1)
        if self.steps.setdefault(number, made) != made:
            self.doubled[number] += 1

    def _on_policy(self, message: PolicyStatus) -> None:
        if message.run == self.run and message.header.frame_id != FORGED:
            self.policy = message

    def _on_learner(self, message: LearnerStatus) -> None:
        if message.run != self.run or message.header.frame_id == FORGED:
            return
        if self.learner is not None and message.updates > self.learner.updates:
            self.updates_grew_at = time.monotonic()
        self.learner = message

    # --- garbage ---

    def feed(self, what: str, dice: Random) -> None:
        """Say garbage on an input of the graph."""
        if what == "resets":
            for run in ("intruder", self.run):
                self.resets.append(self._resets.call_async(Reset.Request(seed=1, mode="train", run=run)))
            return
        for index in range(BURST):
            if what == "statuses":
                self._feed_status(dice)
            elif what == "cell":
                self._feed_cell()
            elif what == "weights":
                self._say("weights/policy", Weights, self._weights(dice), LATCHED)
            else:
                self._say("transitions", Transition, self._transition(what, index, dice), TRANSITIONS)

    def _say(self, topic: str, kind: Any, message: Any, qos: Any) -> None:
        if topic not in self._publishers:
            self._publishers[topic] = self._publish(kind, topic, qos)
        message.header.frame_id = FORGED
        self._publishers[topic].publish(message)

    def _transition(self, what: str, index: int, dice: Random) -> Transition:
        """A transition of this run that the robot never made."""
        message = Transition(run=self.run, seq=dice.randrange(max(1, self.next_seq)))
        side = self._image_side
        for part in (message.observation, message.next_observation):
            part.height = part.width = side
            part.side = part.wrist = byte_array(dice.randbytes(3 * side * side))
        if what == "transitions ahead":  # well formed, and before the genuine one
            message.seq = self.next_seq + AHEAD + index
        else:
            message_mutations.spoil(message, dice)
            message.run = self.run
        return message

    def _weights(self, dice: Random) -> Weights:
        newest = 0 if self.learner is None else int(self.learner.weights_version)
        message = Weights(run=self.run, version=newest + dice.choice((1, 1000, 1 << 62)))
        message.data = byte_array(dice.randbytes(2000))
        message.architecture = dice.choice(("{}", "[" * 100_000, "null"))
        return message

    def _feed_status(self, dice: Random) -> None:
        topic, newest, kind = dice.choice(
            (("policy/status", self.policy, PolicyStatus), ("learner/status", self.learner, LearnerStatus))
        )
        message = kind() if newest is None else deserialize_message(serialize_message(newest), kind)
        message_mutations.spoil(message, dice)
        message.run = self.run
        self._say(topic, kind, message, STATUS)

    def _feed_cell(self) -> None:
        """Well-formed words of the cell and of its operator: a success that never was, an arm elsewhere."""
        stamp = self.policy.header.stamp if self.policy is not None else to_time(time.time())
        pose = PoseStamped()
        pose.pose.position.x, pose.pose.orientation.w = 0.4, 1.0
        for topic, message, qos in (
            ("operator/intervention", Intervention(success=True), STATUS),
            ("a1x/ee_pose", pose, SENSOR),
            ("a1x/gripper", GripperState(opening=0.5), SENSOR),
            ("a1x/status", RobotStatus(state=RobotStatus.FAULT, detail="forged"), STATUS),
        ):
            message.header.stamp = stamp
            self._say(topic, type(message), message, qos)

    def close(self) -> None:
        """Leave ROS."""
        self._closing = True
        self._thread.join(timeout=5.0)
        self._executor.shutdown(timeout_sec=1.0)
        self._node.destroy_node()
        rclpy.shutdown(context=self._context)

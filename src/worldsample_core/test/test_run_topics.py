"""Real publishers on the topics of a run, in participants of their own, as in processes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("worldsample_msgs")
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from worldsample_core.messages.qos import LATCHED, TRANSITIONS
from worldsample_core.messages.reception import Reception
from worldsample_core.node.rightful_senders import SILENCE, RightfulSenders, Sender
from worldsample_core.node.run_topics import RunTopics
from worldsample_msgs.msg import Transition, Weights

DOMAIN = 91 + os.getpid() % 5
A, B, INTRUDER = Sender(b"a", "/policy"), Sender(b"b", "/policy"), Sender(b"i", "/intruder")


class Writer:
    """A node with a process's own identity that publishes transitions and weights."""

    def __init__(self, name: str) -> None:
        self.context = Context()
        rclpy.init(context=self.context, domain_id=DOMAIN)
        self.node = Node(name, context=self.context, enable_rosout=False)
        self.transitions = self.node.create_publisher(Transition, "transitions", TRANSITIONS)
        self.weights = self.node.create_publisher(Weights, "weights/policy", LATCHED)

    def close(self) -> None:
        if self.context.ok():
            self.node.destroy_node()
            rclpy.shutdown(context=self.context)


class Receiver:
    """A node that hears the run ``r``."""

    def __init__(self) -> None:
        self.context = Context()
        rclpy.init(context=self.context, domain_id=DOMAIN)
        self.node = Node("receiver", context=self.context, enable_rosout=False)
        self.said: list[str] = []
        self.heard: list[int] = []
        self.versions: list[int] = []
        self.reception = Reception(self.said.append)
        topics = RunTopics(self.node, self.reception, "r")
        topics.create_subscription(Transition, "transitions", lambda m: self.heard.append(m.seq), TRANSITIONS)
        topics.create_subscription(
            Weights, "weights/policy", lambda m: self.versions.append(m.version), LATCHED
        )
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)

    def until(self, condition: Callable[[], object], seconds: float = 20.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, (self.heard, self.versions, self.said)
            self.executor.spin_once(timeout_sec=0.05)

    def spin(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        self.until(lambda: time.monotonic() > end)

    def knows(self, writer: Writer) -> None:
        self.until(lambda: writer.transitions.get_subscription_count() > 0)
        self.until(lambda: writer.weights.get_subscription_count() > 0)

    def close(self) -> None:
        self.executor.shutdown(timeout_sec=1.0)
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def writer(receiver: Receiver) -> Iterator[Callable[[str], Writer]]:
    made: list[Writer] = []

    def make(name: str) -> Writer:
        made.append(Writer(name))
        receiver.knows(made[-1])
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_attack_07_forged_transitions_and_weights_are_ignored_and_their_sender_is_named(
    receiver: Receiver, writer: Callable[[str], Writer]
) -> None:
    policy, learner, intruder = writer("policy"), writer("learner"), writer("intruder")
    for seq in range(3):
        policy.transitions.publish(Transition(run="r", seq=seq))
    learner.weights.publish(Weights(run="r", version=1))
    receiver.until(lambda: len(receiver.heard) == 3 and receiver.versions == [1])
    for seq in range(3, 43):
        intruder.transitions.publish(Transition(run="r", seq=seq))
        intruder.weights.publish(Weights(run="r", version=2**63 - 1))
    for seq in range(3, 6):
        policy.transitions.publish(Transition(run="r", seq=seq))
    learner.weights.publish(Weights(run="r", version=2))
    receiver.until(lambda: receiver.reception.count("transitions") == 40 and receiver.versions[1:] == [2])
    receiver.until(lambda: len(receiver.heard) >= 6)
    assert receiver.heard == [0, 1, 2, 3, 4, 5]
    assert "/intruder publishes /transitions, too, which belongs to /policy" in receiver.reception.words()
    assert any("/intruder" in said for said in receiver.said)


def test_attack_07_the_topic_s_own_node_counts_although_another_one_spoke_first(
    receiver: Receiver, writer: Callable[[str], Writer]
) -> None:
    intruder = writer("intruder")
    policy = writer("policy")
    intruder.transitions.publish(Transition(run="r", seq=7))
    receiver.until(lambda: receiver.heard == [7])
    policy.transitions.publish(Transition(run="r", seq=0))
    receiver.until(lambda: receiver.heard == [7, 0])
    intruder.transitions.publish(Transition(run="r", seq=8))
    receiver.until(lambda: receiver.reception.total == 1)
    assert receiver.heard == [7, 0]


def test_attack_07_a_second_program_of_the_same_name_is_ignored_while_the_first_one_speaks(
    receiver: Receiver, writer: Callable[[str], Writer]
) -> None:
    policy, twin = writer("policy"), writer("policy")
    policy.transitions.publish(Transition(run="r", seq=0))
    receiver.until(lambda: receiver.heard == [0])
    twin.transitions.publish(Transition(run="r", seq=50))
    for seq in range(1, 9):  # a word every half second, for longer than the twin's message is kept
        policy.transitions.publish(Transition(run="r", seq=seq))
        receiver.spin(0.5)
    assert receiver.heard == list(range(9))
    assert "a second program calls itself /policy" in receiver.reception.words()


def test_attack_07_a_node_that_was_started_again_is_heard(
    receiver: Receiver, writer: Callable[[str], Writer]
) -> None:
    first = writer("policy")
    first.transitions.publish(Transition(run="r", seq=0))
    receiver.until(lambda: receiver.heard == [0])
    second = writer("policy")  # the first was killed: discovery lists it on, and it says nothing more
    began = time.monotonic()
    for seq in (1, 2, 3):
        second.transitions.publish(Transition(run="r", seq=seq))
    receiver.until(lambda: receiver.heard == [0, 1, 2, 3])
    assert time.monotonic() - began < SILENCE + 1.0
    second.close()
    third = writer("policy")  # discovery knows that the second one has left: nothing is waited for
    third.transitions.publish(Transition(run="r", seq=4))
    receiver.until(lambda: receiver.heard == [0, 1, 2, 3, 4], SILENCE)
    assert receiver.reception.total == 0


def test_attack_07_a_message_of_another_run_says_nothing_about_this_one(
    receiver: Receiver, writer: Callable[[str], Writer]
) -> None:
    other, policy = writer("policy"), writer("policy")
    other.transitions.publish(Transition(run="another", seq=9))
    receiver.spin(0.5)
    policy.transitions.publish(Transition(run="r", seq=0))
    receiver.until(lambda: receiver.heard == [0], SILENCE)


@pytest.mark.parametrize(
    ("topic", "nodes"),
    [
        ("operator/intervention", ("operator",)),
        ("a1x/command", ("policy",)),
        ("a1x/ee_pose", ("a1x",)),
        ("a1x/gripper", ("a1x",)),
        ("a1x/status", ("a1x",)),
        ("a1x/executed", ("a1x",)),
        ("side/color/image_raw", ("a1x", "side", "standin_cameras")),
        ("wrist/color/image_raw", ("a1x", "wrist", "standin_cameras")),
    ],
)
def test_attack_07_what_the_cell_says_counts_from_the_cell_only(topic: str, nodes: tuple[str, ...]) -> None:
    """A forged button would be a success that never was, a forged pose an episode that never was."""
    intruder = Sender(b"q", "/intruder")
    for node in nodes:
        senders, genuine = RightfulSenders(), Sender(b"p", f"/{node}")
        there = {genuine, intruder}
        for sender in (intruder, genuine):
            senders.hear(topic, sender, 1.0)
        assert senders.before(topic, intruder, 1.1, there.copy) == genuine
        assert senders.before(topic, genuine, 1.1, there.copy) is None


def test_attack_07_the_rules_of_rank() -> None:
    senders = RightfulSenders()
    everyone = lambda: {A, B, INTRUDER}  # noqa: E731
    senders.hear("policy/status", A, 0.0)
    senders.hear("transitions", B, 0.5)
    assert senders.before("transitions", B, 1.0, everyone) == A, "heard first, on another topic of its node"
    assert senders.before("transitions", A, 1.0, everyone) is None
    senders.hear("transitions", INTRUDER, 1.0)
    assert senders.before("transitions", INTRUDER, 1.0, everyone) is not None
    assert senders.before("transitions", B, 1.0 + SILENCE, everyone) is None, "the first one is silent"
    senders.hear("transitions", A, 4.0)
    assert senders.before("transitions", B, 4.0, everyone) == A, "it was only suspended, and speaks again"
    assert senders.before("transitions", B, 4.0, lambda: {B}) is None, "it has left"
    nested = RightfulSenders("/cell")
    assert nested.rightful("synthetic", Sender(b"", "/cell/worldmodel_2"))
    assert not nested.rightful("synthetic", Sender(b"", "/worldmodel"))
    for index in range(100):
        senders.hear("episodes", Sender(bytes([index]), "/policy"), 5.0 + index)
    assert len(senders._heard["policy"]) <= 32, "processes come and go without end"

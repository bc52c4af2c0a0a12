"""Subscriptions to topics of the graph that tell who speaks, and pass on what the rightful sender says."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rclpy.node import Node

from worldsample_core.messages.reception import Reception
from worldsample_core.node.attributed_subscription import AttributedSubscription
from worldsample_core.node.rightful_senders import OWNERS, SILENCE, RightfulSenders, Sender
from worldsample_core.node.sender_identity import IDENTITY
from worldsample_core.node.steady_time import steady_timer

PATIENCE = SILENCE + 1.0
"""s for which a message is kept whose sender may yet turn out to be the rightful one."""
LOOK = 0.05
"""s between two looks at messages that are kept."""
MAX_KEPT = 32
"""Messages of a topic that are kept; the oldest is dropped for one more."""
UNKNOWN_NODE = "_NODE_NAME_UNKNOWN_"
"""rclpy's word for the node of a publisher of which discovery has told no more yet."""


@dataclass
class Kept:
    """A message on which nothing is decided yet. arrived: s, monotonic; identity: of its publisher."""

    arrived: float
    message: Any
    identity: bytes


@dataclass
class OwnedTopic:
    """A topic that is heard.

    Attributes:
        topic: one of :data:`OWNERS`. resolved: its whole name. callback: gets the rightful sender's messages.
        kept: messages on which nothing is decided yet, the oldest first.
        nodes: names of the nodes that publish it, by the identities of their publishers.
    """

    topic: str
    resolved: str
    callback: Callable[[Any], object]
    kept: deque[Kept] = field(default_factory=deque)
    nodes: dict[bytes, str] = field(default_factory=dict)


class RunTopics:
    """The topics of one run that ``node`` hears, in its executor's thread.

    A message of another sender than the rightful one is dropped and counted, and its sender is named. One
    whose sender cannot be told yet, or may be the rightful one that was started again, is kept for a while.

    Args:
        reception: counts what is dropped.
        run: messages of other runs are passed over; "": of no run.
        named_by: the node that resolves the topics' names, where that is not ``node``.
    """

    def __init__(self, node: Node, reception: Reception, run: str = "", named_by: Node | None = None) -> None:
        self._node, self._reception, self._run = node, reception, run
        self._named_by = named_by or node
        self._senders = RightfulSenders(node.get_namespace())
        self._topics: list[OwnedTopic] = []
        self._timer = steady_timer(node, LOOK, self._look)
        self._timer.cancel()
        self._told: set[str] = set()

    def create_subscription(self, kind: Any, topic: str, callback: Callable[[Any], object], qos: Any) -> None:
        """Have ``callback`` called with what the rightful sender says on one of the topics :data:`OWNERS`."""
        heard = OwnedTopic(topic, self._named_by.resolve_topic_name(topic), callback)
        self._topics.append(heard)

        def on_message(message: Any, identity: bytes) -> None:
            self._on_message(heard, message, identity)

        AttributedSubscription(self._node, kind, heard.resolved, on_message, qos)

    def _on_message(self, heard: OwnedTopic, message: Any, identity: bytes) -> None:
        if self._run and message.run != self._run:
            return
        if not identity:
            self._tell_of_others(heard)
            heard.callback(message)
            return
        if len(heard.kept) >= MAX_KEPT:
            heard.kept.popleft()
            self._reception.drop(
                OWNERS[heard.topic].kind, f"too many on {heard.resolved} whose sender is unclear"
            )
        heard.kept.append(Kept(time.monotonic(), message, identity))
        self._decide(heard)

    def _look(self) -> None:
        self._timer.cancel()
        for heard in self._topics:
            self._decide(heard)

    def _decide(self, heard: OwnedTopic) -> None:
        """Pass on or refuse what is kept, each sender's messages in order, as far as can be told now."""
        now, undecided = time.monotonic(), deque[Kept]()
        while heard.kept:
            kept = heard.kept.popleft()
            behind = any(other.identity == kept.identity for other in undecided)
            refusal = None if behind else self._refusal(heard, kept, now)
            if refusal is None:
                undecided.append(kept)
            elif refusal:
                self._reception.drop(OWNERS[heard.topic].kind, refusal)
            else:
                heard.callback(kept.message)
        heard.kept = undecided
        if undecided:
            self._timer.reset()

    def _refusal(self, heard: OwnedTopic, kept: Kept, now: float) -> str | None:
        """Why a message does not count; "" where it does; None where that cannot be told yet."""
        may_wait = now - kept.arrived <= PATIENCE
        node = self._node_of(heard, kept.identity)
        if not node:
            return None if may_wait else f"a program that is no ROS node publishes {heard.resolved}, too"
        sender = Sender.of(kept.identity, node)
        self._senders.hear(heard.topic, sender, kept.arrived)
        other = self._senders.before(heard.topic, sender, now, lambda: self._present(heard))
        if other is None:
            strange = OWNERS[heard.topic].prescribed and not self._senders.rightful(heard.topic, sender)
            if strange and node not in self._told:
                self._told.add(node)
                self._node.get_logger().warning(f"{heard.resolved} comes from {node}, a node of another name")
            return ""
        if other.node != node:
            return f"{node} publishes {heard.resolved}, too, which belongs to {other.node}"
        return None if may_wait else f"a second program calls itself {node} and publishes {heard.resolved}"

    def _node_of(self, heard: OwnedTopic, identity: bytes) -> str:
        """Name of the node that has this publisher; "" where discovery has not told it."""
        if identity not in heard.nodes:
            self._present(heard)
        return heard.nodes.get(identity, "")

    def _present(self, heard: OwnedTopic) -> set[Sender]:
        """Those who publish the topic now; notes their names."""
        heard.nodes = {
            bytes(info.endpoint_gid)[:IDENTITY]: f"{info.node_namespace.rstrip('/')}/{info.node_name}"
            for info in self._node.get_publishers_info_by_topic(heard.resolved)
            if info.node_name != UNKNOWN_NODE
        }
        return {Sender.of(identity, node) for identity, node in heard.nodes.items()}

    def _tell_of_others(self, heard: OwnedTopic) -> None:
        """Say that a topic has a second writer, where the senders of its messages cannot be told apart."""
        others = self._present(heard)
        if len(others) > 1 and heard.resolved not in self._told:
            self._told.add(heard.resolved)
            names = " and ".join(sorted(other.node for other in others))
            self._reception.drop(OWNERS[heard.topic].kind, f"{heard.resolved} has several writers: {names}")

"""The senders that count on the topics of a run: the node of each topic, one process of it at a time."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

SILENCE = 2.0
"""s without a message after which a sender gives way to another one. A status comes every second."""
MAX_SENDERS = 32
"""Senders that are remembered for each node of the graph."""


@dataclass(frozen=True)
class Owner:
    """The node to which a topic belongs.

    Attributes:
        node: its name, as a regular expression: there may be several world models.
        kind: of the topic's messages, in words for people.
        prescribed: a node of another name is worth a word.
    """

    node: str
    kind: str = "statuses"
    prescribed: bool = True


CAMERA = Owner("a1x|side|wrist|standin_cameras", "pictures", prescribed=False)  # cameras of a person's own

OWNERS = {
    "side/color/image_raw": CAMERA,
    "wrist/color/image_raw": CAMERA,
    "a1x/command": Owner("policy", "commands"),
    "joint_states": Owner("a1x", "joints", prescribed=False),  # a cell may have other joints, too
    "a1x/ee_pose": Owner("a1x", "poses"),
    "a1x/gripper": Owner("a1x", "gripper states"),
    "a1x/status": Owner("a1x"),
    "a1x/executed": Owner("a1x", "answers"),
    "operator/intervention": Owner("operator", "interventions"),
    "transitions": Owner("policy", "transitions"),
    "episodes": Owner("policy", "episodes"),
    "policy/status": Owner("policy"),
    "weights/policy": Owner("learner", "weights"),
    "learner/status": Owner("learner"),
    "learner/pacing": Owner("learner"),
    "synthetic": Owner(r"worldmodel(_\d+)?", "imagined segments"),
    "worldmodel/status": Owner(r"worldmodel(_\d+)?"),
}
"""The topics that only one node may write, by their names in the graph's namespace."""


@dataclass(frozen=True)
class Sender:
    """A node of one process.

    Attributes:
        process: what all publishers of the process have in common: the first part of their identities.
        node: its name with its namespace.
    """

    process: bytes
    node: str

    @classmethod
    def of(cls, identity: bytes, node: str) -> Sender:
        """The sender that has this publisher."""
        return cls(identity[:12], node)


@dataclass
class RightfulSenders:
    """Decides whose messages count, on all topics of one receiver.

    The topic's own node comes before any other one. Of two programs that give themselves its name, the one
    that was heard first comes first. It gives way where it is silent or gone: it was started again. To a
    node of another name it gives way only where it is gone.

    Args:
        namespace: of the graph.
    """

    namespace: str = "/"
    _heard: dict[str, dict[Sender, float]] = field(default_factory=dict)  # by owner, in order of first word

    def rightful(self, topic: str, sender: Sender) -> bool:
        """True if the topic belongs to the sender's node."""
        prefix = re.escape(self.namespace.rstrip("/") + "/")
        return re.fullmatch(f"{prefix}(?:{OWNERS[topic].node})", sender.node) is not None

    def hear(self, topic: str, sender: Sender, now: float) -> None:
        """Note that a sender has spoken at ``now``, s, monotonic."""
        heard = self._heard.setdefault(OWNERS[topic].node, {})
        if sender not in heard and len(heard) >= MAX_SENDERS:
            del heard[min(heard, key=lambda each: heard[each])]
        heard[sender] = max(now, heard.get(sender, now))

    def before(
        self, topic: str, sender: Sender, now: float, present: Callable[[], set[Sender]]
    ) -> Sender | None:
        """The sender that counts in place of ``sender``; None where ``sender`` itself does.

        Args:
            present: those who publish the topic now, as far as discovery knows.
        """
        rightful = self.rightful(topic, sender)
        first = True  # of those of the same rank, so far
        there: set[Sender] | None = None
        for other, at in self._heard.get(OWNERS[topic].node, {}).items():
            if other == sender:
                first = False
                continue
            theirs = self.rightful(topic, other)
            same_rank = theirs == rightful and (not rightful or other.node == sender.node)
            outranks = theirs and not rightful
            if not outranks and not (first and same_rank and now - at <= SILENCE):
                continue
            there = present() if there is None else there
            if other in there:
                return other
        return None

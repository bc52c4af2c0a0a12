"""One fault: what is done to which node or topic, and what followed."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal

Kind = Literal["kill", "stop", "garbage", "disk full", "clock set", "network cut"]

NODES = ("a1x", "operator", "policy", "learner", "worldmodel", "dashboard")
"""Nodes of the run; each is killed and stopped."""
TOPICS = ("transitions", "transitions ahead", "weights", "statuses", "resets", "cell")
"""Inputs that are fed garbage."""
OUTSIDE: tuple[tuple[Kind, str], ...] = (
    ("disk full", ""),
    ("clock set", "-30 s"),
    ("clock set", "+30 s"),
    ("network cut", "5 s"),
    ("network cut", "30 s"),
)
"""Faults of the surroundings. 30 s is longer than DDS waits for a participant that is silent."""


@dataclass
class Fault:
    """A fault and its consequences.

    Attributes:
        kind, target: what is done, and to which node or topic, or by how much.
        next_seq: number of the step that came next when it was done.
        ended_run: the run ended, and a person went on with it (``--resume``).
        restarted: nodes that were started again within the run.
        acting_s, learning_s: until new steps were recorded, and updates done, again; None: not in time.
        told: what the person read meanwhile.
        lost, doubled: transitions, by the account at the end.
        silent: restarts of which nothing was said.
        learner: (next_seq, real steps, demonstrated steps) that the learner counted when it learned again.
    """

    kind: Kind
    target: str
    next_seq: int = 0
    ended_run: bool = False
    restarted: list[str] = field(default_factory=list)
    acting_s: float | None = None
    learning_s: float | None = None
    told: list[str] = field(default_factory=list)
    lost: int = 0
    doubled: int = 0
    silent: int = 0
    learner: tuple[int, int, int] | None = None

    @property
    def name(self) -> str:
        """The fault in words."""
        return f"{self.kind} {self.target}".strip()

    @property
    def seconds(self) -> float:
        """By how much a clock is set, or for how long a cable is cut."""
        return float(self.target.removesuffix(" s"))

    def as_mapping(self) -> dict[str, Any]:
        """The fault for a result."""
        return {
            "fault": self.name,
            "acting_s": _rounded(self.acting_s),
            "learning_s": _rounded(self.learning_s),
            "ended_run": self.ended_run,
            "restarted": self.restarted,
            "lost": self.lost,
            "doubled": self.doubled,
            "silent": self.silent,
            "told": self.told[:4],
        }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 2)


def draw_faults(count: int, seed: int, missing: Container[Kind] = ()) -> list[Fault]:
    """So many faults: every one that there is, in an order of the dice, again and again.

    Args:
        missing: kinds that cannot be done here.
    """
    dice = Random(seed)
    drawn: list[Fault] = []
    while len(drawn) < count:
        every = [Fault("kill", node) for node in NODES]
        every += [Fault("stop", node) for node in NODES]
        every += [Fault("garbage", topic) for topic in TOPICS]
        every += [Fault(kind, target) for kind, target in OUTSIDE if kind not in missing]
        dice.shuffle(every)
        drawn += every
    return drawn[:count]

"""Keeps who was heard of last and when, and logs it as a table and as curves of ages."""

from __future__ import annotations

from dataclasses import dataclass

import rerun as rr

from worldsample_bringup.viewer import entities

LATE = 5.0
"""Seconds after which a node that was heard of before is marked."""


@dataclass
class SignOfLife:
    """The last message of one node.

    Attributes:
        at: s, of its last message.
        state: its own word for it.
        detail: in words, for people.
    """

    at: float
    state: str = ""
    detail: str = ""


class NodeHealth:
    """Ages and states of everything that speaks on the graph."""

    def __init__(self) -> None:
        self._heard: dict[str, SignOfLife] = {}

    def hear(self, name: str, now: float, state: str = "", detail: str = "") -> bool:
        """A message has arrived. True where the node's state is another one than before."""
        before = self._heard.get(name)
        self._heard[name] = SignOfLife(now, state, detail)
        return before is not None and before.state != state

    def ages(self, now: float) -> dict[str, float]:
        """Seconds since the last message of each node."""
        return {name: max(0.0, now - heard.at) for name, heard in sorted(self._heard.items())}

    def table(self, now: float) -> str:
        """All nodes as a table in Markdown."""
        lines = ["| node | state | heard | says |", "| --- | --- | --- | --- |"]
        for name, age in self.ages(now).items():
            heard = self._heard[name]
            when = f"**{age:.0f} s ago**" if age > LATE else f"{age:.1f} s ago"
            detail = heard.detail.replace("|", "/").replace("\n", " ")[:200]
            lines.append(f"| {name} | {heard.state} | {when} | {detail} |")
        return "\n".join(lines)

    def log(self, stream: rr.RecordingStream, now: float) -> None:
        """Log the table and the ages."""
        stream.log(entities.NODES, rr.TextDocument(self.table(now), media_type=rr.MediaType.MARKDOWN))
        for name, age in self.ages(now).items():
            stream.log(f"{entities.AGES}/{name.replace(' ', '_')}", rr.Scalars(age))

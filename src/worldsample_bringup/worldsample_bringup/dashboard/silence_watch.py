"""Notices a node that is not heard any more, as when it hangs or when the network to it is cut."""

from __future__ import annotations

from collections.abc import Iterator

QUIET = 10.0
"""s without a status after which a node counts as silent; each sends one about every second."""


class SilenceWatch:
    """Says once when a node has become silent, and once when it is heard again.

    A node that has never been heard is not waited for.
    """

    def __init__(self) -> None:
        self._heard: dict[str, float] = {}
        self._silent: dict[str, float] = {}
        self._again: list[str] = []

    def heard(self, node: str, now: float) -> None:
        """Note a status of ``node`` at ``now``, s of a steady clock."""
        self._heard[node] = now
        since = self._silent.pop(node, None)
        if since is not None:
            self._again.append(f"{node} is heard again, after {now - since:.0f} s")

    def look(self, now: float) -> Iterator[str]:
        """Changes since the last look, in sentences for people."""
        yield from self._again
        self._again.clear()
        for node, at in self._heard.items():
            if now - at > QUIET and node not in self._silent:
                self._silent[node] = at
                yield (
                    f"nothing is heard of {node} for {now - at:.0f} s: does it still run, and is the network "
                    "to it whole?"
                )

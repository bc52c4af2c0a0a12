"""One arm, one run: whoever drives the arm decides who may, however late discovery makes others visible."""

from __future__ import annotations

from rclpy.node import Node

from worldsample_core.node.sender_identity import PROCESS


def commanders(node: Node) -> frozenset[bytes]:
    """Identities of those who publish the commands of the arm's node now."""
    topic = node.resolve_topic_name("~/command")
    return frozenset(bytes(info.endpoint_gid) for info in node.get_publishers_info_by_topic(topic))


class SingleWriter:
    """Remembers the run that drives the arm, and the process that asks for its resets.

    Another run gets the arm once those who commanded it are gone, and nothing was heard for ``silence`` s. A
    run's name can be forged: while the process that resets for it also commands, no other one may reset.
    The arm's node asks :meth:`refuses` at every reset and calls :meth:`seen` at every command.
    """

    def __init__(self, silence: float = 5.0) -> None:
        self.silence = silence
        self.run = ""
        self._seen_at = 0.0
        self._commanders: frozenset[bytes] = frozenset()
        self._asker = b""

    def refuses(
        self, run: str, now: float, commanders: frozenset[bytes] = frozenset(), asker: bytes = b""
    ) -> str:
        """Why ``run`` may not drive the arm at time ``now`` (s); "" where it may, and then it does.

        Args:
            commanders: see :func:`commanders`; those of another run that still waits between its episodes.
            asker: the process that asks, see :func:`~.sender_identity.asker_of`; b"" where it is not known.
        """
        heard = now - self._seen_at < self.silence
        if self.run not in ("", run) and (heard or self._commanders & commanders):
            return f"the run {self.run} drives this arm"
        if asker != self._asker and self._asker in {each[:PROCESS] for each in commanders}:
            return f"another program drives this arm for the run {self.run}"
        self._asker = asker
        self.run, self._seen_at, self._commanders = run, now, commanders
        return ""

    def seen(self, now: float) -> None:
        """The run that drives the arm has sent a command."""
        self._seen_at = now

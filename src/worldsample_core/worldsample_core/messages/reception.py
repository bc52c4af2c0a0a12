"""The boundary of a node: what it receives is decoded here, and what cannot be used is dropped and counted.

Nothing that a message holds ends a thread: every error of a decoder is caught, counted by its reason, and
told to people, the first time at once and then at most every :data:`QUIET` seconds.
"""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

Decoded = TypeVar("Decoded")

QUIET = 10.0
"""s between two warnings of the same kind."""
MAX_REASONS = 64
"""Reasons that are told apart; further ones are counted together."""
_NUMBER = re.compile(r"-?\d[\d.e+-]*")


class Reception:
    """Decodes messages, from any thread.

    Args:
        warn: tells people.

    Attributes:
        dropped: number of messages that could not be used, by (kind, reason).
    """

    def __init__(self, warn: Callable[[str], object]) -> None:
        self._warn = warn
        self._lock = threading.Lock()
        self._warned: dict[tuple[str, str], float] = {}
        self.dropped: Counter[tuple[str, str]] = Counter()

    def take(self, kind: str, decode: Callable[[], Decoded]) -> Decoded | None:
        """Result of ``decode``; None where it raises: the message is dropped.

        Args:
            kind: what is decoded, in words for people: "transitions", "weights".
        """
        try:
            return decode()
        except Exception as error:  # whatever a damaged or hostile message makes a decoder raise
            self.drop(kind, str(error) or type(error).__name__)
            return None

    def drop(self, kind: str, reason: str) -> None:
        """Count a message that cannot be used. reason: for people; its numbers do not tell reasons apart."""
        key = (kind, _NUMBER.sub("#", reason)[:120])
        now = time.monotonic()
        with self._lock:
            if key not in self.dropped and len(self.dropped) >= MAX_REASONS:
                key = (kind, "other reasons")
            self.dropped[key] += 1
            count = self.dropped[key]
            due = now - self._warned.get(key, -QUIET) >= QUIET
            if due:
                self._warned[key] = now
        if due:
            many = f" ({count} so far)" if count > 1 else ""
            self._warn(f"{kind}: one was dropped{many}: {reason[:400]}")

    @property
    def total(self) -> int:
        """Messages that could not be used."""
        with self._lock:
            return sum(self.dropped.values())

    def count(self, kind: str) -> int:
        """Messages of a kind that could not be used."""
        with self._lock:
            return sum(number for (each, _), number in self.dropped.items() if each == kind)

    def words(self) -> str:
        """The counts for a status, each kind with its most frequent reason; "" where nothing was dropped."""
        with self._lock:
            dropped = self.dropped.most_common()
        counts: Counter[str] = Counter()
        reasons: dict[str, str] = {}
        for (kind, reason), number in dropped:
            counts[kind] += number
            reasons.setdefault(kind, reason[:80])
        return ", ".join(f"{counts[kind]} {kind} dropped ({reasons[kind]})" for kind in sorted(counts))

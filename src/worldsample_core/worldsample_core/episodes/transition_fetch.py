"""Fetches transitions that were lost or missed during a restart from the policy's disk."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rclpy.node import Node

from worldsample_core.episodes.transition_intake import TransitionIntake
from worldsample_core.messages.conversions import transition_from_message
from worldsample_core.observation import InvalidObservation
from worldsample_msgs.srv import FetchTransitions

AT_ONCE = 128
"""Number of transitions in one request; the policy returns fewer if they are large."""
TIMEOUT = 10.0
"""Seconds without an answer after which the request is sent again."""
IN_FLIGHT = 0.3
"""Seconds that a transition may be late before it is fetched.

The policy's status, on another topic, may announce a transition before it arrives.
"""
BEHIND = 20
"""Number of missing transitions above which they are fetched without waiting."""


class TransitionFetch:
    """Requests missing transitions from the policy, one request at a time.

    Args:
        node: that owns the service client; its executor may spin in another thread.
        run: name of the run.
        intake: touched in the thread that calls :meth:`ask` and :meth:`take` only.
        deliver: called in the executor's thread with each answer, to be handed to :meth:`take`.
        warn: tells people.

    Attributes:
        malformed: transitions on the policy's disk that could not be used.
    """

    def __init__(
        self,
        node: Node,
        run: str,
        intake: TransitionIntake,
        deliver: Callable[[FetchTransitions.Response], None],
        warn: Callable[[str], None],
    ) -> None:
        self.intake, self.malformed = intake, 0
        self._run, self._deliver, self._warn = run, deliver, warn
        self._client = node.create_client(FetchTransitions, "policy/fetch_transitions")
        self._from = 0
        self._asked_at: float | None = None
        self._gap_since: float | None = None

    def ask(self) -> None:
        """Send a request if a transition has been missing for long enough. Does not wait for the answer."""
        now = time.monotonic()
        if self._asked_at is not None:
            if now - self._asked_at < TIMEOUT:
                return
            self._asked_at = None
        missing = self.intake.gap()
        if missing is None:
            self._gap_since = None
            return
        if self._gap_since is None:
            self._gap_since = now
        late = now - self._gap_since > IN_FLIGHT or self.intake.known_end - missing > BEHIND
        if late and self._client.service_is_ready():
            self._asked_at, self._from = now, missing
            request = FetchTransitions.Request(run=self._run, from_seq=missing, max_count=AT_ONCE)
            self._client.call_async(request).add_done_callback(self._on_answer)

    def _on_answer(self, future: Any) -> None:
        self._deliver(future.result())

    def take(self, response: FetchTransitions.Response) -> None:
        """Put an answer into the intake."""
        self._asked_at = None
        if not response.success:
            self._warn(f"the policy gives no transitions: {response.message}")
            return
        transitions = []
        for message in response.transitions:
            try:
                transitions.append(transition_from_message(message))
            except InvalidObservation as problem:
                self.malformed += 1
                self._warn(f"transition {message.seq} on disk is malformed: {problem}")
        self.intake.fetched_from(self._from, transitions, int(response.next_seq))
        if self.intake.lost:
            self._warn(f"{len(self.intake.lost)} transitions are not on the policy's disk any more")

"""Fetches transitions that were lost or missed during a restart from the policy's disk."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from rclpy.node import Node

from worldsample_core.episodes.transition_intake import TransitionIntake
from worldsample_core.messages.reception import Reception
from worldsample_core.messages.run_bounds import RunBounds
from worldsample_core.observation import InvalidObservation
from worldsample_core.transition import Transition
from worldsample_msgs.msg import Transition as TransitionMsg
from worldsample_msgs.srv import FetchTransitions

AT_ONCE = 128
"""Number of transitions in one request; the policy returns fewer if they are large."""
TIMEOUT = 10.0
"""Seconds without an answer after which the request is sent again."""
IN_FLIGHT = 0.3
"""Seconds that a transition may be late before it is fetched.

The policy's status, on another topic, may announce a transition before it arrives.
"""
AGAIN = 0.5
"""Seconds between an answer that brought nothing and the next request."""
BEHIND = 20
"""Number of missing transitions above which they are fetched without waiting."""


class TransitionFetch:
    """Requests missing transitions from the policy, one request at a time.

    Args:
        node: that owns the service client; its executor may spin in another thread.
        run: name of the run.
        intake: touched in the thread that calls :meth:`ask` and :meth:`take` only.
        deliver: called in the executor's thread with each answer, to be handed to :meth:`take`.
        reception: decodes answers, and counts what cannot be used. bounds: of what they can hold.
    """

    def __init__(
        self,
        node: Node,
        run: str,
        intake: TransitionIntake,
        deliver: Callable[[FetchTransitions.Response], None],
        reception: Reception,
        bounds: RunBounds,
    ) -> None:
        self.intake, self._run, self._deliver = intake, run, deliver
        self._reception, self._bounds, self._warn = reception, bounds, node.get_logger().warning
        self._client = node.create_client(FetchTransitions, "policy/fetch_transitions")
        self._from = 0
        self._asked_at: float | None = None
        self._gap_since: float | None = None
        self._not_before = 0.0

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
        if late and now >= self._not_before and self._client.service_is_ready():
            self._asked_at, self._from = now, missing
            request = FetchTransitions.Request(run=self._run, from_seq=missing, max_count=AT_ONCE)
            self._client.call_async(request).add_done_callback(self._on_answer)

    def _on_answer(self, future: Any) -> None:
        self._deliver(future.result())

    def take(self, response: FetchTransitions.Response) -> None:
        """Put an answer into the intake; one that brings nothing is asked for again after a while."""
        self._asked_at = None
        before = self.intake.next_seq, self.intake.fetched
        self._reception.take("answers to a fetch", lambda: self._take(response))
        if (self.intake.next_seq, self.intake.fetched) == before:
            self._not_before = time.monotonic() + AGAIN
        if self.intake.lost:
            self._warn(f"{len(self.intake.lost)} transitions are not on the policy's disk any more")

    def _take(self, response: FetchTransitions.Response) -> bool:
        """Raises :class:`InvalidObservation` where the answer as a whole cannot be used."""
        if not response.success:
            raise InvalidObservation(f"the policy gives no transitions: {response.message}")
        if len(response.transitions) > AT_ONCE:
            raise InvalidObservation(f"{len(response.transitions)} transitions, {AT_ONCE} were asked for")
        end = self._bounds.count("next_seq", int(response.next_seq))
        decoded = (
            self._reception.take("fetched transitions", partial(self._decode, message))
            for message in response.transitions
        )
        transitions = sorted((each for each in decoded if each is not None), key=lambda each: each.seq)
        self.intake.fetched_from(self._from, transitions, end)
        return True

    def _decode(self, message: TransitionMsg) -> Transition:
        transition = self._bounds.transition(message)
        if transition.seq < self._from:
            raise InvalidObservation(f"seq {transition.seq} comes before what was asked for")
        return transition

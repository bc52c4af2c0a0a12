"""The policy's second node hands out recorded steps and takes in weights, off the control tick.

It runs in a thread of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.serialization import deserialize_message

from worldsample_core.command_name import command_name
from worldsample_core.episodes.episode_store import EpisodeStore
from worldsample_core.messages.conversions import from_time
from worldsample_core.messages.qos import LATCHED, STATUS
from worldsample_core.messages.reception import Reception
from worldsample_core.messages.run_bounds import RunBounds
from worldsample_core.node.run_topics import RunTopics
from worldsample_core.node.stopping import RunFailed
from worldsample_msgs.msg import LearnerStatus, Transition, Weights
from worldsample_msgs.srv import FetchTransitions
from worldsample_policy.acting.acting_weights import ActingWeights
from worldsample_policy.acting.watchdogs import LearnerReport

MAX_TRANSITIONS = 128
MAX_BYTES = 1_000_000
"""About, of one answer: its conversion must not hold the interpreter for longer than a control tick can
spare.
"""


class EpisodeService:
    """Runs beside ``main``, the policy node, under the same namespace.

    Args:
        on_weights: called, in this thread, when new weights are ready.
        reception: decodes what is received, and counts what cannot be used. bounds: of what it can hold.

    Attributes:
        learner: the learner's last report; None before the first.
        error: what has ended the thread; None while it runs.
    """

    def __init__(
        self,
        main: Node,
        run: str,
        store: EpisodeStore,
        weights: ActingWeights,
        on_weights: Callable[[], None],
        reception: Reception,
        bounds: RunBounds,
    ) -> None:
        self.run, self.store, self.weights, self.on_weights = run, store, weights, on_weights
        self._reception, self._bounds = reception, bounds
        self.error: Exception | None = None
        self.learner: LearnerReport | None = None
        self.node = Node(
            f"{main.get_name()}_episodes",
            namespace=main.get_namespace(),
            context=main.context,
            use_global_arguments=False,  # a remapped name of the process would be given to both nodes
            enable_rosout=False,
        )
        service = main.resolve_service_name("policy/fetch_transitions")
        self.node.create_service(FetchTransitions, service, self._fetch)
        topics = RunTopics(self.node, reception, run, named_by=main)
        topics.create_subscription(Weights, "weights/policy", self._on_weights, LATCHED)
        topics.create_subscription(LearnerStatus, "learner/status", self._on_learner, STATUS)
        self._executor = SingleThreadedExecutor(context=main.context)
        self._executor.add_node(self.node)
        self._stopping = False
        self._thread = threading.Thread(target=self._spin, name="episode-service", daemon=True)
        self._thread.start()

    def _fetch(
        self, request: FetchTransitions.Request, response: FetchTransitions.Response
    ) -> FetchTransitions.Response:
        if request.run != self.run:
            response.message = f"this is the run {self.run!r}, not {request.run!r}"
            return response
        response.next_seq = self.store.next_seq  # before reading: what is added meanwhile is not lost
        count = min(int(request.max_count), MAX_TRANSITIONS)
        response.transitions = self._read(int(request.from_seq), count)
        response.success = True
        return response

    def _read(self, from_seq: int, count: int) -> list[Transition]:
        """The recorded steps from ``from_seq`` on; one that cannot be decoded counts as lost."""
        while records := self.store.fetch(from_seq, count, MAX_BYTES):
            decoded = (
                self._reception.take("recorded steps", partial(deserialize_message, record, Transition))
                for record in records
            )
            if transitions := [each for each in decoded if each is not None]:
                return transitions
            from_seq += len(records)
        return []

    def _on_weights(self, message: Weights) -> None:
        if self._reception.take("weights", lambda: self._take_weights(message)):
            self.on_weights()

    def _take_weights(self, message: Weights) -> bool:
        """Raises ValueError where they cannot be used: the policy goes on with what it has."""
        self.weights.receive(self._bounds.weights(message), from_time(message.header.stamp))
        return True

    def _on_learner(self, message: LearnerStatus) -> None:
        if self._reception.take("statuses", lambda: self._bounds.status(message)) is not None:
            self.learner = _learner_report(message)

    def _spin(self) -> None:
        try:
            while not self._stopping:
                self._executor.spin_once(timeout_sec=0.2)
        except Exception as error:  # nobody would get weights or steps any more: the run ends with the reason
            self.error = error

    def check(self) -> None:
        """Raises :class:`RunFailed` where the thread has ended by itself."""
        if self.error is not None:
            raise RunFailed(
                "the thread that hands out recorded steps and takes in weights has ended "
                f"({type(self.error).__name__}: {self.error})",
                f"nothing recorded is lost; go on with `{command_name()} train --resume`",
            ) from self.error

    def close(self) -> None:
        """Stop the thread."""
        self._stopping = True
        self._thread.join(timeout=2.0)
        self._executor.shutdown(timeout_sec=1.0)
        self.node.destroy_node()


def _learner_report(status: LearnerStatus) -> LearnerReport:
    activity = str(status.detail)
    if status.state == LearnerStatus.FAILED:
        activity = f"it failed: {activity}"
    elif status.state == LearnerStatus.ADAPTING:
        activity = f"it adapts {activity}"
    return LearnerReport(
        state=int(status.state),
        activity=activity,
        updates=int(status.updates),
        completed_steps=int(status.completed_steps),
        next_seq=int(status.next_seq),
    )

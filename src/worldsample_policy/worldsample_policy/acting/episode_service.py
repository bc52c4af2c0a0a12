"""The policy's second node hands out recorded steps and takes in weights, off the control tick.

It runs in a thread of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.serialization import deserialize_message

from worldsample_core.episodes.episode_store import EpisodeStore
from worldsample_core.messages.conversions import from_time, weights_from_message
from worldsample_core.messages.qos import LATCHED, STATUS
from worldsample_core.messages.weights import InvalidWeights
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

    Attributes:
        learner: the learner's last report; None before the first.
    """

    def __init__(
        self,
        main: Node,
        run: str,
        store: EpisodeStore,
        weights: ActingWeights,
        on_weights: Callable[[], None],
    ) -> None:
        self.run, self.store, self.weights, self.on_weights = run, store, weights, on_weights
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
        topic = main.resolve_topic_name
        self.node.create_subscription(Weights, topic("weights/policy"), self._on_weights, LATCHED)
        self.node.create_subscription(LearnerStatus, topic("learner/status"), self._on_learner, STATUS)
        self._log = main.get_logger()
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
        records = self.store.fetch(int(request.from_seq), count, MAX_BYTES)
        response.transitions = [deserialize_message(record, Transition) for record in records]
        response.success = True
        return response

    def _on_weights(self, message: Weights) -> None:
        if message.run != self.run:
            return
        try:
            self.weights.receive(weights_from_message(message), from_time(message.header.stamp))
        except InvalidWeights as problem:
            self._log.error(f"{problem}; the policy goes on acting on the weights it has")
            return
        self.on_weights()

    def _on_learner(self, message: LearnerStatus) -> None:
        if message.run == self.run:
            self.learner = _learner_report(message)

    def _spin(self) -> None:
        while not self._stopping:
            self._executor.spin_once(timeout_sec=0.2)

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

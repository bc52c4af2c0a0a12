"""A worker node that takes all transitions of its run, and tells at once how far it has come with them."""

from __future__ import annotations

import threading
import time
from abc import abstractmethod
from pathlib import Path
from typing import Any, Protocol

from rclpy.publisher import Publisher

from worldsample_core.episodes.transition_fetch import TransitionFetch
from worldsample_core.episodes.transition_intake import TransitionIntake
from worldsample_core.messages.qos import STATUS, TRANSITIONS
from worldsample_core.messages.reception import Reception
from worldsample_core.messages.run_bounds import RunBounds
from worldsample_core.node.cpu_account import cpu_piece
from worldsample_core.node.run_topics import RunTopics
from worldsample_core.node.steady_time import steady_timer
from worldsample_core.node.worker_node import WorkerNode
from worldsample_msgs.msg import PolicyStatus, Transition, Weights
from worldsample_msgs.srv import FetchTransitions

KINDS: dict[type, str] = {Transition: "transitions", Weights: "weights"}
"""Words for people for the messages that are no statuses."""


class TransitionLoop(Protocol):
    """The work that a :class:`TransitionWorker` does.

    Attributes:
        intake: the transitions that it works on, each once and in order.
        policy_trains: the policy is past the demonstrations.
        completed_steps: real steps at the end of the last episode whose work is all done.
    """

    intake: TransitionIntake
    policy_trains: bool

    @property
    def completed_steps(self) -> int: ...

    def checkpoint_due(self) -> bool:
        """True if work has been done since the last checkpoint that is worth one."""

    def checkpoint(self) -> Path | None:
        """Write a checkpoint."""


class TransitionWorker(WorkerNode):
    """A worker for one run: transitions as they come, those that were missed from the policy's disk.

    Each transition reaches the intake of its loop exactly once, however often the node is started again. A
    message that cannot be used is dropped and counted, never fatal.

    Attributes:
        reception: where messages are decoded. bounds: of what they can hold.
        topics: of the run, each heard from the node to which it belongs.
    """

    def __init__(self, name: str) -> None:
        """Raises :class:`worldsample_core.config.ConfigError`."""
        super().__init__(name)
        self.reception, self.bounds = Reception(self.warn), RunBounds.of(self.settings)
        self.topics = RunTopics(self, self.reception, self.settings.run.name)
        self._status_lock = threading.Lock()
        self._status_at, self._status_steps = 0.0, -1

    def begin(self, loop: TransitionLoop, statuses: Publisher) -> None:
        """Listen for the loop's transitions; publish its status every second.

        Args:
            statuses: publisher of the messages that :meth:`status_message` makes.
        """
        self._work_on, self._statuses = loop, statuses
        self._fetch = TransitionFetch(
            self, self.settings.run.name, loop.intake, self.inbox.put, self.reception, self.bounds
        )
        self.topics.create_subscription(Transition, "transitions", self.hear, TRANSITIONS)
        self.topics.create_subscription(PolicyStatus, "policy/status", self.hear, STATUS)
        steady_timer(self, 1.0, self.on_second)

    @abstractmethod
    def status_message(self) -> Any:
        """The loop's status, without its stamp and run."""

    # --- ROS thread ---

    def hear(self, message: Any) -> None:
        """Put a message of this run into the inbox, if its size and its counters are possible."""
        check = self.bounds.sized if isinstance(message, Transition) else self.bounds.status
        if self.reception.take(KINDS.get(type(message), "statuses"), lambda: check(message)) is not None:
            self.inbox.put(message)

    def on_second(self) -> None:
        """Publish what is told every second."""
        self.publish_status()

    # --- main thread ---

    def look_outside(self) -> None:
        """Take what the inbox holds; ask for transitions that are missing."""
        super().look_outside()
        self._fetch.ask()

    def take(self, message: Any) -> None:
        """Take one message."""
        intake = self._work_on.intake
        if isinstance(message, Transition):
            transition = self.reception.take("transitions", lambda: self.bounds.transition(message))
            if transition is not None:
                intake.offer(transition)
        elif isinstance(message, PolicyStatus):
            intake.heard_of(int(message.next_seq))
            self._work_on.policy_trains = message.phase in (PolicyStatus.TRAIN, PolicyStatus.EVAL)
        elif isinstance(message, FetchTransitions.Response):
            self._fetch.take(message)

    def close(self) -> None:
        """Write the checkpoint that is due."""
        if self._work_on.checkpoint_due():
            self._work_on.checkpoint()

    # --- either thread ---

    @property
    def news(self) -> bool:
        """True if steps were completed that no status has told."""
        return self._work_on.completed_steps != self._status_steps

    @property
    def status_age(self) -> float:
        """Time since the last status, s."""
        return time.monotonic() - self._status_at

    @cpu_piece("statuses")
    def publish_status(self) -> None:
        """Publish the status; also that of a failure. Called from either thread."""
        with self._status_lock:
            message = self.status_message()
            self.stamp(message)
            self._status_at, self._status_steps = time.monotonic(), int(message.completed_steps)
            self._statuses.publish(message)

    def stamp(self, message: Any) -> None:
        """Give a message its time and its run."""
        message.header.stamp, message.run = self.get_clock().now().to_msg(), self.settings.run.name

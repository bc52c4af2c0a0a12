"""A node that works in the process's main thread while ROS has a thread of its own."""

from __future__ import annotations

import contextlib
import errno
import os
import queue
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from worldsample_core.episodes.journal import explain
from worldsample_core.node.cpu_account import cpu_piece
from worldsample_core.node.exit_codes import DONE
from worldsample_core.node.fixed_parameter import fixed_parameter
from worldsample_core.node.precedence import give_way
from worldsample_core.node.run_settings import run_settings
from worldsample_core.node.stopping import RunFailed, StopSignals, failure_of, say_last

Answer = TypeVar("Answer")

LONGEST_WAIT = 0.1
"""s that the main thread waits for a message before it looks whether there is work."""


class Stopped(Exception):
    """The node was asked to stop in the middle of a long piece of work."""


class WorkerNode(Node, ABC):
    """A node with an inbox: the ROS thread puts messages in, the main thread takes them between its work.

    Parameters of the node:
        config: path of the run's config.yaml.
        threads: of torch; 0: as ``OMP_NUM_THREADS`` says, else as the node chooses.

    Attributes:
        settings: of the run.
        inbox: messages that wait for the main thread, and pieces of work that it shall do itself.
        failure: why the node ends; None while it does not.
    """

    def __init__(self, name: str) -> None:
        """Raises :class:`worldsample_core.config.ConfigError`."""
        super().__init__(name)
        self.settings = run_settings(self)
        self.inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.failure: RunFailed | None = None
        self._stopping = threading.Event()
        self._signals: StopSignals | None = None
        if not self.settings.run.lockstep:
            give_way()

    def chosen_threads(self, default: int) -> int:
        """Number of torch's threads that were asked for; 0: as the environment says.

        Args:
            default: where neither the parameter nor the environment says a number.
        """
        threads = fixed_parameter(self, "threads", 0, "Threads of torch; 0: the node's own choice.")
        return threads or (0 if "OMP_NUM_THREADS" in os.environ else default)

    # --- what a node adds, all called in the main thread ---

    @abstractmethod
    def restore(self) -> None:
        """Go on from what an earlier process has left in the run folder."""

    @abstractmethod
    def take(self, message: Any) -> None:
        """Take one message out of the inbox."""

    @abstractmethod
    def work(self) -> bool:
        """Do one piece of work; False where there is none."""

    @abstractmethod
    def idle(self) -> None:
        """There is no work: called before each wait for a message."""

    @abstractmethod
    def close(self) -> None:
        """Write what is due, once asked to stop."""

    @abstractmethod
    def publish_status(self) -> None:
        """Publish the status; also that of a :attr:`failure`. Called from either thread."""

    def look_outside(self) -> None:
        """Take what the inbox holds; called before each piece of work, and by long ones."""
        while True:
            try:
                self._take(self.inbox.get_nowait())
            except queue.Empty:
                return

    # --- ROS thread ---

    def hear(self, message: Any) -> None:
        """Put a message of this run into the inbox; a callback for subscriptions."""
        if message.run == self.settings.run.name:
            self.inbox.put(message)

    def answered_by_main(self, work: Callable[[], Answer]) -> Answer | None:
        """The result of ``work``, done by the main thread between two pieces of its own; None at the end."""
        answer: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self.inbox.put(lambda: answer.put(work()))
        while not self._stopping.is_set():
            with contextlib.suppress(queue.Empty):
                return answer.get(timeout=0.2)
        return None

    def warn(self, message: str) -> None:
        """Tell people of something that they may have to look at."""
        self.get_logger().warning(message)

    # --- main thread ---

    @property
    def stop_requested(self) -> bool:
        """The process was asked to stop."""
        return self._signals is not None and self._signals.requested

    def run(self, signals: StopSignals) -> int:
        """Work until asked to stop. Returns the process's exit code."""
        self._signals = signals
        executor = SingleThreadedExecutor()
        executor.add_node(self)

        def spin() -> None:
            with cpu_piece("the ROS thread"):
                while not self._stopping.is_set():
                    executor.spin_once(timeout_sec=0.2)

        thread = threading.Thread(target=spin, name="ros", daemon=True)
        thread.start()
        try:
            with contextlib.suppress(Stopped):
                self._work_until_asked_to_stop()
            self.close()
            return DONE
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            return self._fail(explain(error, Path(error.filename or self.settings.run.path / "checkpoints")))
        except Exception as error:
            return self._fail(error)
        finally:
            self._stopping.set()
            thread.join(timeout=2.0)
            executor.shutdown(timeout_sec=1.0)

    def _work_until_asked_to_stop(self) -> None:
        self.restore()
        while not self.stop_requested:
            self.look_outside()
            if not self.work():
                self.idle()
                with contextlib.suppress(queue.Empty):
                    self._take(self.inbox.get(timeout=LONGEST_WAIT))

    @cpu_piece("messages")
    def _take(self, item: Any) -> None:
        if callable(item):
            item()
        else:
            self.take(item)

    def _fail(self, error: Exception) -> int:
        """End with the failure that ``error`` means; raise it again where it is an error of the program."""
        self.failure = failure_of(error)
        self.publish_status()
        say_last(self.get_name(), self.failure)
        time.sleep(0.2)  # for the last status to leave
        return self.failure.code

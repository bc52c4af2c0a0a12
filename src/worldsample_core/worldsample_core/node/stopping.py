"""Stop signals, failures and the last line of a node's process."""

from __future__ import annotations

import signal
import sys
from types import FrameType

from worldsample_core.checkpoint_error import CheckpointError
from worldsample_core.config import ConfigError
from worldsample_core.episodes.journal import StorageError
from worldsample_core.node.exit_codes import BAD_CONFIGURATION, FAILED


class RunFailed(RuntimeError):
    """The node must end, and the run with it.

    Args:
        message: what is wrong.
        remedy: what to do about it; "" where the message says so itself.
        code: exit code of the process.
    """

    def __init__(self, message: str, remedy: str, code: int = FAILED) -> None:
        super().__init__(f"{message}: {remedy}" if remedy else message)
        self.message, self.remedy, self.code = message, remedy, code


def failure_of(error: Exception) -> RunFailed:
    """The failure that an exception of the node's own logic means; any other one is raised again."""
    if isinstance(error, RunFailed):
        return error
    if isinstance(error, (ConfigError, StorageError, CheckpointError)):
        return RunFailed(str(error), "", BAD_CONFIGURATION)
    raise error


def say_last(node: str, failure: RunFailed) -> None:
    """Print the process's last line on standard error."""
    print(f"{node}: {failure}", file=sys.stderr, flush=True)


class StopSignals:
    """SIGINT and SIGTERM ask the node to stop; more of them while it closes its files change nothing."""

    def __init__(self) -> None:
        self.requested = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._request)

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.requested = True

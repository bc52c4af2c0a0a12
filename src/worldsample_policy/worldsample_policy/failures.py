"""What ends a policy or learner process, and what it says then; see :mod:`worldsample_core.node.stopping`."""

from __future__ import annotations

from worldsample_core.node import stopping
from worldsample_core.node.exit_codes import BAD_CONFIGURATION
from worldsample_core.node.stopping import RunFailed, StopSignals, say_last
from worldsample_policy.learning.checkpoint_directory import CheckpointError

__all__ = ["RunFailed", "StopSignals", "failure_of", "say_last"]


def failure_of(error: Exception) -> RunFailed:
    """The failure that an exception of the node's own logic means; any other exception is raised again."""
    if isinstance(error, CheckpointError):
        return RunFailed(str(error), "", BAD_CONFIGURATION)
    return stopping.failure_of(error)

"""The bound on updates that are skipped because a loss or its gradient is not finite."""

from __future__ import annotations

from collections import deque

from worldsample_core.command_name import command_name
from worldsample_core.node.exit_codes import BAD_CONFIGURATION
from worldsample_core.node.stopping import RunFailed

LATELY = 1000
"""Updates that are looked back at."""


class SkippedUpdates:
    """Skipped updates among the last :data:`LATELY`. limit: above it the learner gives up."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._skipped_at: deque[int] = deque()

    def __len__(self) -> int:
        return len(self._skipped_at)

    def done(self, update: int, skipped: bool) -> None:
        """Note an update by its number; the numbers grow."""
        if skipped:
            self._skipped_at.append(update)
        while self._skipped_at and self._skipped_at[0] <= update - LATELY:
            self._skipped_at.popleft()

    def check(self) -> None:
        """Raises :class:`RunFailed` where there are too many: such a learner must not look alive."""
        if len(self) > self.limit:
            raise RunFailed(
                f"{len(self)} of the last {LATELY:,} updates were skipped: their loss or its gradient was "
                "not finite",
                "look at the rewards of the last episodes; lower learner.lr, or set "
                f"learner.max_grad_norm=10, and go on with `{command_name()} train --resume`",
                BAD_CONFIGURATION,
            )

"""Number of gradient updates owed for the real steps so far.

It is computed from counters only, so that a restart changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class UpdateSchedule:
    """Schedule of the updates: ``utd`` for each real step from the ``training_starts``-th on.

    ``pretrain`` updates on the demonstrations come before.

    ``owed(n) = pretrain + utd * max(0, n - training_starts + 1)``, n = real steps.
    """

    utd: int
    training_starts: int
    pretrain: int = 0

    def total(self, real_steps: int) -> int:
        """Updates due once ``real_steps`` are in replay."""
        return self.pretrain + self.utd * max(0, real_steps - max(1, self.training_starts) + 1)

    def owed(self, real_steps: int, updates: int) -> int:
        """Updates still to do, at least 0."""
        return max(0, self.total(real_steps) - updates)

    def completed(self, real_steps: int, updates: int) -> int:
        """Number of the first ``real_steps`` steps for which all updates due are done."""
        if updates >= self.total(real_steps):
            return real_steps
        if updates < self.pretrain:
            return 0
        free = max(1, self.training_starts) - 1
        return min(real_steps, free + (updates - self.pretrain) // self.utd)

"""A reset that somebody waits for: enables the arm, begins once nothing forbids it, and is answered once."""

from __future__ import annotations

import numpy as np
from rclpy.task import Future

from a1x_driver.arm_driver import ArmDriver
from a1x_driver.arm_functions import ArmFunctions
from a1x_driver.reset_path import NoSafePath

Answer = tuple[bool, str]
ASK_AGAIN = 0.5
"""s until an arm that was not enabled is asked again."""


class WaitingReset:
    """One reset at a time. ``now``: s, monotonic.

    Args:
        patience: s for which what forbids a reset may last, e.g. feedback that has just come back.
    """

    def __init__(self, arm: ArmDriver, functions: ArmFunctions, patience: float) -> None:
        self._arm, self._functions, self._patience = arm, functions, patience
        self._answer: Future | None = None
        self._enabling: Future | None = None
        self._until, self._ask_from, self._refusal = np.inf, -np.inf, ""

    @property
    def under_way(self) -> bool:
        """True if somebody waits for an answer."""
        return self._answer is not None

    def ask(self, now: float) -> Future:
        """Begin as soon as possible. The future's result: success and message."""
        self._answer, self._enabling = Future(), None
        self._until, self._ask_from = now + self._patience, -np.inf
        return self._answer

    def look(self, now: float) -> None:
        """Go on with it. Call it often."""
        if self._answer is not None and np.isfinite(self._until):
            self._begin(now)
        answer = self._arm.reset_answer()
        if answer is not None:
            self.end(answer)

    def _begin(self, now: float) -> None:
        try:
            self._arm.require_no_fault(now)
            if not self._arm.enabled and self._arm.may_enable and not self._enabled(now):
                return
            self._arm.start_reset(now)
        except NoSafePath as problem:
            if now > self._until and self._enabling is None:
                self.end((False, str(problem)))
            return
        self._until = np.inf  # it has begun

    def _enabled(self, now: float) -> bool:
        """True once the arm has answered that it is enabled."""
        if self._enabling is None:
            if now < self._ask_from:
                raise NoSafePath(self._refusal)
            self._enabling = self._functions.ask(self._functions.enable, now)
        if not self._enabling.done():
            return False
        (success, words), self._enabling = self._enabling.result(), None
        if not success:
            self._ask_from, self._refusal = now + ASK_AGAIN, f"the arm was not enabled: {words}"
            raise NoSafePath(self._refusal)
        return True

    def end(self, answer: Answer) -> None:
        """Answer the reset, where one is waited for."""
        if self._answer is not None:
            waits, self._answer, self._enabling = self._answer, None, None
            self._until = np.inf
            waits.set_result(answer)

"""The arm's answer to the last command: executed, limited to what, refused, or not heard of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from worldsample_core.messages.conversions import stamp_ns
from worldsample_core.observation import ACTION_DIM, GRIPPER
from worldsample_msgs.msg import CommandResult


class Acknowledgement:
    """Waits for the answer to the last command.

    Args:
        scale: (6,) m and rad, motion of a normalised action of 1.
        patience: s for the answer.

    Attributes:
        executed: the normalised action (7,) that was executed, where it differs from the one that was sent.
        refusal: why nothing was executed, in words; "" where something was.
    """

    def __init__(self, scale: NDArray[np.floating], patience: float) -> None:
        self._scale, self._patience = np.asarray(scale, np.float64), patience
        self._stamp, self._sent = -1, -np.inf
        self._settled = True
        self.executed: NDArray[np.float32] | None = None
        self.refusal = ""

    def sent(self, stamp: int, now: float) -> None:
        """A command was sent that answers the observation of ``stamp``, ns. now: s, monotonic."""
        self._stamp, self._sent, self._settled = stamp, now, False
        self.executed, self.refusal = None, ""

    def forget(self) -> None:
        """Nothing is waited for any more."""
        self._settled, self.executed, self.refusal = True, None, ""

    def heard(self, message: CommandResult) -> None:
        """An answer has come; one to another command is passed over."""
        if self._settled or stamp_ns(message.answers) != self._stamp:
            return
        self._settled = True
        if message.outcome == CommandResult.REFUSED:
            self.refusal = f"the arm refused the command: {message.reason}"
        elif message.outcome == CommandResult.LIMITED:
            self.executed = self._normalised(message)
            if self.executed is None:
                self.refusal = "the arm's answer to the command has values that are not finite"

    def _normalised(self, message: CommandResult) -> NDArray[np.float32] | None:
        move, turn = message.translation, message.rotation
        motion = np.array([move.x, move.y, move.z, turn.x, turn.y, turn.z])
        action = np.zeros(ACTION_DIM, np.float32)
        with np.errstate(divide="ignore", invalid="ignore"):
            action[:GRIPPER] = np.where(self._scale > 0.0, motion / self._scale, 0.0)
        action[GRIPPER] = np.sign(message.gripper)
        return np.clip(action, -1.0, 1.0) if np.isfinite(action).all() else None

    def open(self, now: float) -> bool:
        """True while the answer may still come. Afterwards :attr:`refusal` says that none has."""
        if self._settled:
            return False
        if now - self._sent < self._patience:
            return True
        self._settled = True
        self.refusal = f"the arm did not answer the command within {self._patience:.2f} s"
        return False

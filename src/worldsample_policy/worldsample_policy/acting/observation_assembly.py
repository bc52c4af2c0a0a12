"""Assembles whole observations from messages that arrive one by one.

Lockstep goes by the exact stamp, real time by freshness.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsample_core.arm.joint_reading import JointReading
from worldsample_core.observation import VIEWS, Observation
from worldsample_policy.acting.proprioception import Proprioception

POSE, GRIPPER, OPERATOR = "pose", "gripper", "operator"
PARTS = (*VIEWS, POSE, GRIPPER, OPERATOR)
"""Messages that a control step needs: both images, pose, gripper opening, and the operator's input."""


@dataclass(frozen=True, slots=True)
class OperatorInput:
    """Input of the operator at a control step.

    Attributes:
        active: drives: ``action`` (7,), normalised, replaces the policy's.
        success, failure, abort: buttons.
    """

    active: bool = False
    action: NDArray[np.float32] | None = None
    success: bool = False
    failure: bool = False
    abort: bool = False


@dataclass(frozen=True, slots=True)
class Tick:
    """One control step's input.

    Attributes:
        stamp: ns, of the observation.
        joints: at that time, for the bag; None: not known. No policy sees them.
    """

    stamp: int
    observation: Observation
    operator: OperatorInput
    joints: JointReading | None = None


DecodeImage = Callable[[str, Any], NDArray[np.uint8]]
"""(view, camera message) -> (H, W, 3) uint8 of the training size. Raises InvalidObservation on an unusable
image.
"""


def _build(stamp: int, parts: Mapping[str, Any], proprioception: Proprioception, decode: DecodeImage) -> Tick:
    images = np.stack([decode(view, parts[view]) for view in VIEWS])
    proprio = proprioception.observe(parts[POSE], parts[GRIPPER])
    return Tick(stamp, Observation(images, proprio, stamp * 1e-9).validate(), parts[OPERATOR])


class LockstepAssembly:
    """Collects the messages of one simulated tick: all carry its stamp, in any order, some of them twice.

    Attributes:
        handled: stamp of the newest complete tick, ns.
    """

    def __init__(self, proprioception: Proprioception, decode: DecodeImage) -> None:
        self.proprioception, self.decode = proprioception, decode
        self._parts: dict[str, Any] = {}
        self._stamp = -1
        self._from = 0
        self.handled = -1

    def restart(self, stamp: int) -> None:
        """A new episode: observations before ``stamp`` (ns) belong to the old one."""
        self._from = stamp
        self.handled = -1
        self.proprioception.restart()
        if self._stamp < stamp:
            self._parts, self._stamp = {}, -1

    def put(self, part: str, stamp: int, value: Any) -> bool:
        """Take one message; true if ``stamp`` was answered already.

        The simulator then repeats the tick, and it must be answered again.
        """
        if stamp < self._from or stamp < self._stamp:
            return False
        if stamp == self.handled:
            return part == POSE
        if stamp > self._stamp:
            self._parts, self._stamp = {}, stamp
        self._parts[part] = value
        return False

    def take(self) -> Tick | None:
        """The tick, once, when all its messages are here."""
        if len(self._parts) < len(PARTS) or self._stamp == self.handled:
            return None
        self.handled = self._stamp
        parts, self._parts = self._parts, {}
        return _build(self._stamp, parts, self.proprioception, self.decode)

    def missing(self) -> list[str]:
        """Parts that are missing in the tick that is being collected."""
        return [part for part in PARTS if part not in self._parts]


@dataclass(frozen=True, slots=True)
class Freshness:
    """Real time: how old, in s since arrival, a message may be when a control step uses it."""

    image: float = 0.25
    state: float = 0.25
    operator: float = 0.5

    def limit(self, part: str) -> float:
        """Largest age of a part, s."""
        return self.image if part in VIEWS else self.operator if part == OPERATOR else self.state


class LatestAssembly:
    """Keeps the newest message of each kind; a control step in real time takes them, if they are fresh."""

    SETTLE = 0.5
    """s after a reset from which on any message counts, whatever its stamp (clocks of cameras may differ)."""

    def __init__(self, proprioception: Proprioception, decode: DecodeImage, freshness: Freshness) -> None:
        self.proprioception, self.decode, self.freshness = proprioception, decode, freshness
        self._latest: dict[str, tuple[float, int, Any]] = {}
        self._from, self._settled = 0, 0.0

    def restart(self, stamp: int, now: float) -> None:
        """A new episode, reset at ``stamp`` (ns): messages from before do not count. now: s, monotonic."""
        self._from, self._settled = stamp, now + self.SETTLE
        self._latest = {OPERATOR: self._latest[OPERATOR]} if OPERATOR in self._latest else {}
        if self._latest:
            self._release_buttons()
        self.proprioception.restart()

    def put(self, part: str, stamp: int, value: Any, now: float) -> None:
        """Take one message; ``now`` is its arrival, s, monotonic.

        Buttons stay pressed until a step has seen them.
        """
        if part == OPERATOR:
            before = self._latest.get(OPERATOR)
            if before is not None:
                old: OperatorInput = before[2]
                value = replace(
                    value,
                    success=value.success or old.success,
                    failure=value.failure or old.failure,
                    abort=value.abort or old.abort,
                )
        elif stamp < self._from and now < self._settled:
            return
        self._latest[part] = (now, stamp, value)

    def missing(self, now: float) -> list[str]:
        """The parts that are absent or stale."""
        return [
            part
            for part in PARTS
            if part not in self._latest or now - self._latest[part][0] > self.freshness.limit(part)
        ]

    def take(self, now: float) -> Tick | None:
        """The step's input, stamped with the pose's stamp; None where something is missing."""
        if self.missing(now):
            return None
        parts = {part: value for part, (_, _, value) in self._latest.items()}
        tick = _build(self._latest[POSE][1], parts, self.proprioception, self.decode)
        self._release_buttons()
        return tick

    def _release_buttons(self) -> None:
        arrival, stamp, value = self._latest[OPERATOR]
        self._latest[OPERATOR] = (arrival, stamp, replace(value, success=False, failure=False, abort=False))

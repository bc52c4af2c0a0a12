"""Lockstep: the learner keeps step with the world models, and is never held up by one that is gone.

Before the updates of real step n, everything imagined from the episodes that ended at step n - lag or before
must be there: then a seed repeats. A world model whose status stays the same for ``patience`` seconds, or
that says that it has failed, is waited for no longer; one that has caught up is waited for again.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

from worldsample_core.world_model_use import WorldModelUse
from worldsample_policy.learning.synthetic_buffer import Arrivals

MAX_PUBLISHERS = 64
"""World models that are listened to; the segments of others are refused."""
NEVER = float("-inf")
MAX_GATES = 256
"""Changes of completed steps remembered for one publisher."""


@dataclass(frozen=True, slots=True)
class WorldModelReport:
    """Contents of a world model's status.

    Attributes:
        publisher: who. completed_steps, segments, gate_open: see the message.
        failed: it will not go on. detail: for people.
        progress: what must change for it to count as alive.
    """

    publisher: str
    completed_steps: int
    segments: int
    gate_open: bool
    failed: bool = False
    detail: str = ""
    progress: int = 0


@dataclass
class _Followed:
    """One world model, as far as it is known."""

    report: WorldModelReport
    changed_at: float
    arrivals: Arrivals
    missing_since: float | None = None
    given_up: bool = False
    gates: list[tuple[int, bool]] = field(default_factory=list)


class WorldModelFollowing:
    """Decides whether the updates of a real step may be done.

    Args:
        use: the settings. lag: real steps, as the world models date their segments.

    Attributes:
        detail: what is waited for, or why nothing is; "" where all is as it should be.
        given_up: how often a world model was waited for in vain.
    """

    def __init__(self, use: WorldModelUse, lag: int) -> None:
        self.use, self.lag = use, lag
        self.detail = ""
        self.given_up = 0
        self._followed: dict[str, _Followed] = {}
        self._silent_since: float | None = None
        self._silent_given_up = False
        self._ends: list[int] = []

    # --- what comes in ---

    def episode_ended(self, real_steps: int) -> None:
        """A real episode has ended with this step of the run."""
        if not self._ends or real_steps > self._ends[-1]:
            self._ends.append(real_steps)

    def heard(self, report: WorldModelReport, now: float) -> None:
        """A status. now: s, monotonic."""
        known = self._followed.get(report.publisher)
        if known is None:
            if len(self._followed) >= MAX_PUBLISHERS:
                return
            # what was published before this learner listened is not waited for
            known = _Followed(report, now, Arrivals(report.segments))
            self._followed[report.publisher] = known
        elif report != known.report:
            if report.completed_steps > known.report.completed_steps:
                known.given_up = False  # it has finished another episode: it can be waited for
            known.report, known.changed_at = report, now
        if not known.gates or known.gates[-1][0] != report.completed_steps:
            known.gates = [*known.gates[-MAX_GATES:], (report.completed_steps, report.gate_open)]

    def arrived(self, publisher: str, seq: int) -> bool:
        """A segment; False where it is here already, or nobody knows its publisher."""
        known = self._followed.get(publisher)
        if known is None:
            if len(self._followed) >= MAX_PUBLISHERS:
                return False
            known = _Followed(WorldModelReport(publisher, 0, 0, False), NEVER, Arrivals(seq))
            self._followed[publisher] = known
        return known.arrivals.arrived(seq)

    # --- what follows from it ---

    @property
    def lost(self) -> int:
        """Segments that never came."""
        return sum(known.arrivals.lost for known in self._followed.values())

    def needed(self, real_steps: int) -> int:
        """The end of the last episode from which everything imagined must be there."""
        index = bisect_right(self._ends, real_steps - self.lag)
        return self._ends[index - 1] if index else 0

    def gate_open(self, real_steps: int) -> bool:
        """True if a world model was good enough after the episode that matters at this real step."""
        needed = self.needed(real_steps)
        return any(_gate_at(known.gates, needed) for known in self._followed.values())

    @property
    def newest_gate(self) -> bool:
        """True if a world model is good enough according to its newest status."""
        return any(known.report.gate_open for known in self._followed.values())

    def may_go_on(self, real_steps: int, now: float) -> bool:
        """True if the updates of this real step may be done. Sets :attr:`detail`."""
        needed = self.needed(real_steps)
        self.detail = ""
        if needed == 0:
            return True
        waiting: list[tuple[float, str]] = []
        without: list[str] = []
        spoken = [known for known in self._followed.values() if known.changed_at > NEVER]
        for known in spoken:
            lack, since = _lack(known, needed, now)
            if not lack:
                known.given_up = False
                continue
            left = 0.0 if known.report.failed else self.use.patience - (now - since)
            if left > 0.0 and not known.given_up:
                waiting.append((left, lack))
                continue
            self.given_up += not known.given_up
            known.given_up = True
            if known.report.completed_steps >= needed:
                known.arrivals.skip_to(known.report.segments)
            without.append(lack)
        if len(spoken) < self.use.nodes:
            lack = f"{self.use.nodes - len(spoken)} of {self.use.nodes} have said nothing"
            if self._silent_since is None:
                self._silent_since = now
            left = self.use.start_patience - (now - self._silent_since)
            if left > 0.0 and not self._silent_given_up:
                waiting.append((left, lack))
            else:
                self.given_up += not self._silent_given_up
                self._silent_given_up = True
                without.append(lack)
        if waiting:
            left, lack = max(waiting)
            # the seconds make the detail change: whoever watches the learner sees that it is alive
            self.detail = f"waiting for the world model: {lack} ({left:.0f} s)"
            return False
        if without:
            self.detail = f"without the world model: {without[0]}"
        return True


def _lack(known: _Followed, needed: int, now: float) -> tuple[str, float]:
    """The missing part in words ("" if nothing is missing), and since when nothing has changed."""
    report, arrivals = known.report, known.arrivals
    if report.failed:
        return f"{report.publisher} has failed: {report.detail}", known.changed_at
    if report.completed_steps < needed:
        at = f"{report.publisher} is at {report.completed_steps} of {needed} steps"
        return f"{at}: {report.detail}", known.changed_at
    if arrivals.next < report.segments:
        if known.missing_since is None:
            known.missing_since = now
        return f"segments {arrivals.next} to {report.segments - 1} of {report.publisher}", known.missing_since
    known.missing_since = None
    return "", known.changed_at


def _gate_at(gates: list[tuple[int, bool]], steps: int) -> bool:
    """The gate when ``steps`` were completed: as the first status with them said, or the last before."""
    result = False
    for completed, open_then in gates:
        if completed <= steps:
            result = open_then
    return result

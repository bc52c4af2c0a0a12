"""Settings of the simulated cell: section ``sim`` of a run's configuration."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SimConfig:
    """Timing of the simulator node; wall-clock seconds.

    Attributes:
        republish_after: lockstep: a tick without a command is published again after this time.
        learner_patience: lockstep: a learner whose status has not changed for this time is not waited for.
        command_timeout: real time: without a command for this time the arm reports that it holds its pose;
            also the age at which a command is refused as stale.
    """

    republish_after: float = 0.5
    learner_patience: float = 2.0
    command_timeout: float = 0.5

    def __post_init__(self) -> None:
        if min(self.republish_after, self.learner_patience, self.command_timeout) <= 0:
            raise ValueError("republish_after, learner_patience and command_timeout must be positive")

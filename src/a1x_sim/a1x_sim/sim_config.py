"""Settings of the simulated cell: section ``sim`` of a run's configuration."""

from __future__ import annotations

from dataclasses import dataclass

from worldsample_core.units import Pixels, Seconds


@dataclass(frozen=True)
class SimConfig:
    """Timing of the simulator node, by the wall clock."""

    republish_after: Seconds = 0.5
    """Lockstep: a tick without a command is published again after this time."""
    learner_patience: Seconds = 2.0
    """Lockstep: a learner whose status has not changed for this time is not waited for."""
    command_timeout: Seconds = 0.5
    """Real time: without a command for this time the arm reports that it holds its pose; also the age at
    which a command is refused as stale."""

    rendered_lines: Pixels = 256
    """Lines of the picture that is rendered, at least, and averaged down to the training image (an integer
    times its height). Fewer are faster, and edges jump more: 128 for 64 lines costs 0.3 dB between frames 1
    mm apart."""

    def __post_init__(self) -> None:
        if min(self.republish_after, self.learner_patience, self.command_timeout) <= 0:
            raise ValueError("republish_after, learner_patience and command_timeout must be positive")

"""Settings of the pushes that disturb an operator: part ``operator.disturbance`` of a run's configuration.

Source: DART, Laskey et al. 2017 (noise injected into a demonstrator's actions teaches how to recover).
"""

from __future__ import annotations

from dataclasses import dataclass

from worldsample_core.units import ControlSteps


@dataclass(frozen=True)
class DisturbanceConfig:
    """Rate and strength of the pushes of a commanded action while an operator drives.

    The arm executes the pushed action, within all limits; what the operator intended is what is cloned.
    """

    demos: float = 0.0
    """Probability per step of a demonstration that a push begins."""
    help: float = 0.0
    """Probability per step of an intervention that a push begins."""
    weakest: float = 0.6
    """Least length of a push, which is added to the normalised translation; drawn up to ``strongest``."""
    strongest: float = 1.5
    """Greatest length of a push; the sum is cut to [-1, 1]."""
    shortest: ControlSteps = 2
    """Least duration of a push, drawn up to ``longest``."""
    longest: ControlSteps = 6
    """Greatest duration of a push."""
    real: bool = False
    """Pushes on a real cell, too: its operator feels the arm drift by as much, and steers against it."""

    def __post_init__(self) -> None:
        if not (0.0 <= self.demos <= 1.0 and 0.0 <= self.help <= 1.0):
            raise ValueError(f"demos and help must be in [0, 1], got {self.demos} and {self.help}")
        if not 0.0 <= self.weakest <= self.strongest <= 2.0:
            raise ValueError(f"need 0 <= weakest <= strongest <= 2, got {self.weakest} and {self.strongest}")
        if not 1 <= self.shortest <= self.longest:
            raise ValueError(f"need 1 <= shortest <= longest, got {self.shortest} and {self.longest}")

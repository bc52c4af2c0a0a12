"""Settings of imagined corrections; free of torch, so that they are read quickly."""

from __future__ import annotations

from dataclasses import dataclass

from worldsample_core.units import ControlSteps


@dataclass(frozen=True)
class CorrectionConfig:
    """Pushes in the imagination, and how long a correction is."""

    weakest: float = 0.6
    """Least length of a push, normalised, drawn up to ``strongest``."""
    strongest: float = 1.5
    """Greatest length of a push."""
    shortest: ControlSteps = 1
    """Least duration of a push, drawn up to ``longest``."""
    longest: ControlSteps = 4
    """Greatest duration of a push."""
    horizon: ControlSteps = 12
    """Length of a segment: the push and the way back."""
    path: ControlSteps = 6
    """Least number of steps of the person's own, undisturbed path from the start on."""

    def __post_init__(self) -> None:
        if not (0.0 <= self.weakest <= self.strongest and 1 <= self.shortest <= self.longest < self.horizon):
            raise ValueError("need 0 <= weakest <= strongest and 1 <= shortest <= longest < horizon")
        if self.path < 2:
            raise ValueError(f"path must be at least 2, got {self.path}")

"""Settings of the generation of segments; free of torch, so that they are read quickly."""

from __future__ import annotations

from dataclasses import dataclass

from worldsample_core.synthetic import MAX_LENGTH
from worldsample_core.units import ControlSteps, Metres, Segments


@dataclass(frozen=True)
class ImaginationConfig:
    """Which segments are generated, and which are thrown away."""

    min_length: ControlSteps = 3
    """Least length; a segment that starts nearer to its episode's end has no more real actions to perturb."""
    uncertainty_limit: float = 0.12
    """Root mean square error of pixels (0..1) expected of a frame above which the segment is rejected."""
    box_margin: Metres = 0.03
    """Distance that the imagined end effector may leave the task's workspace box."""
    before_takeover: ControlSteps = 3
    """Time before a person took over at which a segment may start that asks what if nobody had
    helped.
    """
    undecided: float = 0.05
    """Half width of the band around the reward model's threshold in which a segment's last frame must not
    end, unless it has already succeeded."""
    policy_horizon: ControlSteps = 0
    """Length of a segment in which the policy acts; 0: the model's own horizon, for which it was trained."""
    group: Segments = 1
    """Segments from each real starting point, where the policy acts (GRPO compares them)."""

    def __post_init__(self) -> None:
        if not 0 <= self.policy_horizon <= MAX_LENGTH or self.group < 1:
            raise ValueError(f"need 0 <= policy_horizon <= {MAX_LENGTH} and group >= 1")

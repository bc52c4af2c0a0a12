"""Settings of the section ``worldmodel`` of a run's ``config.yaml``.

The module is free of torch, so that it is read quickly.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from worldsample_core.units import ControlSteps, Episodes, RealSteps, Segments, Updates
from worldsample_core.world_model_use import WorldModelUse
from worldsample_worldmodel.imagination.correction_config import CorrectionConfig
from worldsample_worldmodel.imagination.counterfactual import CounterfactualConfig
from worldsample_worldmodel.imagination.imagination_config import ImaginationConfig
from worldsample_worldmodel.model.world_model_config import WorldModelConfig
from worldsample_worldmodel.reward.reward_model_config import RewardModelConfig
from worldsample_worldmodel.training.gate_config import GateConfig


@dataclass(frozen=True)
class WorldModelNodeConfig(WorldModelUse):
    """When the node trains, releases and imagines; and the models themselves."""

    adapt_updates: Updates = 600
    """Training updates on the demonstrations before the loop."""
    updates_per_step: float = 0.5
    """Training updates owed per real step."""
    release_every: RealSteps = 500
    """Time between two releases: new version, held-out evaluation, reward model."""
    segments_per_step: float = 0.5
    """Segments generated per real step while the gate is open, over all nodes."""
    first_corrections: Segments = 0
    """Imagined corrections of the demonstrations, right after the adaptation."""
    corrections_per_step: float = 0.0
    """Imagined corrections generated per real step while the gate is open, over all nodes, from anything that
    a person has shown."""
    generation_batch: Segments = 8
    """Segments generated at once, at most; a whole group of them in any case."""
    recent_share: float = 0.5
    """Share of the segments that start in the newest episodes; the others start anywhere in the memory,
    demonstrations included."""
    recent_episodes: Episodes = 8
    """Number of episodes that count as the newest."""
    memory_steps: ControlSteps = 20_000
    """Steps of real episodes that are kept (the oldest online ones go first)."""
    backlog: Segments = 64
    """Real time: segments under way to a slow learner above which nothing is generated."""
    policy: str = "worldsample_policy.imagined_acting:make"
    """Policy that acts in the imagination, as module:function (see
    :mod:`worldsample_core.imagined_policy`); "": none acts.
    """
    policy_share: float = 0.75
    """Share of the segments in which the policy acts; in the others the real actions are perturbed."""
    takeover_share: float = 0.3
    """Share of the policy's segments that start where a person took over from it."""
    reward_segments: Segments = 64
    """Generated segments of real actions, with known labels, for a fit of the reward model."""
    model: WorldModelConfig = field(default_factory=WorldModelConfig)
    """The video model."""
    reward: RewardModelConfig = field(default_factory=RewardModelConfig)
    """The reward model."""
    gate: GateConfig = field(default_factory=GateConfig)
    """Quality below which nothing imagined may be trained on."""
    imagination: ImaginationConfig = field(default_factory=ImaginationConfig)
    """Which segments are generated, and which are thrown away."""
    correction: CorrectionConfig = field(default_factory=CorrectionConfig)
    """Pushes of imagined corrections, and their length."""
    counterfactual: CounterfactualConfig = field(default_factory=CounterfactualConfig)
    """Distance of counterfactual actions from the real ones."""

    def __post_init__(self) -> None:
        super().__post_init__()
        rates = (self.updates_per_step, self.segments_per_step, self.corrections_per_step)
        if min(*rates, self.adapt_updates, self.first_corrections) < 0:
            raise ValueError(
                "adapt_updates, first_corrections, updates_per_step, segments_per_step and "
                "corrections_per_step must not be negative"
            )
        if min(self.release_every, self.generation_batch, self.recent_episodes, self.memory_steps) < 1:
            raise ValueError(
                "release_every, generation_batch, recent_episodes and memory_steps must be at least 1"
            )
        if not (0.0 <= self.policy_share <= 1.0 and 0.0 <= self.takeover_share <= 1.0):
            raise ValueError(
                f"policy_share and takeover_share must be in [0, 1], got {self.policy_share}, "
                f"{self.takeover_share}"
            )
        if not 0.0 <= self.recent_share <= 1.0 or self.backlog < 1 or self.reward_segments < 0:
            raise ValueError("need 0 <= recent_share <= 1, backlog >= 1 and reward_segments >= 0")
        for name in ("image_size", "device"):
            ours, theirs = getattr(self.model, name), getattr(self.reward, name)
            if ours != theirs:
                raise ValueError(f"model.{name} is {ours!r}, reward.{name} {theirs!r}: make them equal")

"""Every setting of the section ``worldmodel`` of a run's ``config.yaml``; free of torch, so that it is read
quickly."""

from __future__ import annotations

from dataclasses import dataclass, field

from worldsample_core.synthetic import MAX_LENGTH
from worldsample_core.units import (
    ControlSteps,
    Decibels,
    Episodes,
    Frames,
    Metres,
    Pixels,
    RealSteps,
    Segments,
    Updates,
)
from worldsample_core.world_model_use import WorldModelUse
from worldsample_worldmodel.imagination.counterfactual import CounterfactualConfig
from worldsample_worldmodel.model.world_model_config import WorldModelConfig


@dataclass(frozen=True)
class RewardModelConfig:
    """Size and training of the classifier."""

    image_size: Pixels = 64
    """Side of the frames; a multiple of 16; follows run.image_size."""
    width: int = 32
    """Channels of the first convolution."""
    hidden: int = 256
    """Width of the dense layer."""
    dropout: float = 0.1
    """Dropout of the dense layer."""
    hold: Frames = 2
    """Frames in a row that must be above the threshold; also the last frames of a successful episode that
    count as successes (the label says when the success had held that long)."""
    unsure: Frames = 0
    """Frames right before those that are left out: 0 in simulation, which knows; 1 where a person says when
    it succeeded."""
    release: float = 0.2
    """Below threshold - release the count starts again; in between it stands still."""
    near: Frames = 8
    """Frames before a success that make up half of the negatives."""
    margin: float = 0.003
    """Margin of the gate beyond the poses of known successes, in m (position), rad, and gripper opening."""
    reaction: Frames = 2
    """Recorded labels: frames before the button was pressed or let go that are left out, because a person is
    late."""
    updates: Updates = 300
    """Updates of one fit."""
    batch: Frames = 64
    """Frames per update."""
    learning_rate: float = 1e-3
    """Step size of a fit."""
    shift: Pixels = 2
    """Largest random shift of a frame."""
    threshold_low: float = 0.3
    """Least value of the chosen threshold."""
    threshold_high: float = 0.85
    """Greatest value of the chosen threshold."""
    validation: float = 0.2
    """Share of the episodes kept for choosing the threshold."""
    device: str = "cpu"
    """torch device of the reward model ("cpu", "cuda"); the world model's."""
    seed: int = 0
    """Seed of initialisation and sampling; follows run.seed."""


@dataclass(frozen=True)
class GateConfig:
    """Held-out quality below which nothing imagined may be trained on."""

    psnr: Decibels = 25.0
    """Least PSNR, dual view over the whole horizon."""
    moving_gain: Decibels = 3.0
    """Least gain over copy-last-frame on moving pixels."""
    segments: Segments = 64
    """Segments of held-out episodes that an evaluation generates at most."""


@dataclass(frozen=True)
class ImaginationConfig:
    """Which segments are generated, and which are thrown away."""

    min_length: ControlSteps = 3
    """Least length; a segment that starts nearer to its episode's end has no more real actions to perturb."""
    uncertainty_limit: float = 0.12
    """Root mean square error of pixels (0..1) expected of a frame above which the segment is rejected."""
    box_margin: Metres = 0.03
    """How far the imagined end effector may leave the task's workspace box."""
    before_takeover: ControlSteps = 3
    """How long before a person took over an imagined segment may start that asks what if nobody had
    helped."""
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
    generation_batch: Segments = 8
    """Segments generated at once, at most; a whole group of them in any case."""
    recent_share: float = 0.5
    """Share of the segments that start in the newest episodes; the others start anywhere in the memory,
    demonstrations included."""
    recent_episodes: Episodes = 8
    """How many episodes count as the newest."""
    memory_steps: ControlSteps = 20_000
    """Steps of real episodes that are kept (the oldest online ones go first)."""
    backlog: Segments = 64
    """Real time: segments under way to a slow learner above which nothing is generated."""
    policy: str = "worldsample_policy.imagined_acting:make"
    """How the policy acts in the imagination, as module:function (see
    :mod:`worldsample_core.imagined_policy`); "": it does not."""
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
    counterfactual: CounterfactualConfig = field(default_factory=CounterfactualConfig)
    """How far counterfactual actions lie from the real ones."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.updates_per_step, self.segments_per_step) < 0.0 or self.adapt_updates < 0:
            raise ValueError("adapt_updates, updates_per_step and segments_per_step must not be negative")
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

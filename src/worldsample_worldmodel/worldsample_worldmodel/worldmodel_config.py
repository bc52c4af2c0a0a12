"""Every setting of the section ``worldmodel`` of a run's ``config.yaml``; free of torch, so that it is read
quickly."""

from __future__ import annotations

from dataclasses import dataclass, field

from worldsample_core.synthetic import MAX_LENGTH
from worldsample_core.world_model_use import WorldModelUse
from worldsample_worldmodel.imagination.counterfactual import CounterfactualConfig
from worldsample_worldmodel.model.world_model_config import WorldModelConfig


@dataclass(frozen=True)
class RewardModelConfig:
    """Size and training of the classifier.

    Attributes:
        image_size: side of the frames, pixels; a multiple of 16.
        width: channels of the first convolution.
        hidden, dropout: of the dense layer.
        hold: frames in a row that must be above the threshold; also the last frames of a successful episode
            that count as successes (the label says when the success had held that long).
        release: below threshold - release the count starts again; in between it stands still.
        unsure: frames right before those that are left out: 0 in simulation, which knows; 1 where a person
            says when it succeeded.
        near: frames before a success that make up half of the negatives.
        margin: of the gate beyond the poses of known successes, in m (position), rad, and gripper opening.
        reaction: recorded labels: frames before the button was pressed or let go that are left out, because a
            person is late.
        updates, batch, learning_rate, shift: of one fit; pixels of random shift.
        threshold_low, threshold_high: the chosen threshold stays between them.
        validation: share of the episodes kept for choosing the threshold.
        device, seed: as elsewhere.
    """

    image_size: int = 64
    width: int = 32
    hidden: int = 256
    dropout: float = 0.1
    hold: int = 2
    unsure: int = 0
    release: float = 0.2
    near: int = 8
    margin: float = 0.003
    reaction: int = 2
    updates: int = 300
    batch: int = 64
    learning_rate: float = 1e-3
    shift: int = 2
    threshold_low: float = 0.3
    threshold_high: float = 0.85
    validation: float = 0.2
    device: str = "cpu"
    seed: int = 0


@dataclass(frozen=True)
class GateConfig:
    """Held-out quality below which nothing imagined may be trained on.

    Attributes:
        psnr: dB, dual view over the whole horizon. moving_gain: dB above copy-last-frame on moving pixels.
        segments: of held-out episodes that an evaluation generates at most.
    """

    psnr: float = 25.0
    moving_gain: float = 3.0
    segments: int = 64


@dataclass(frozen=True)
class ImaginationConfig:
    """Which segments are generated, and which are thrown away.

    Attributes:
        min_length: steps; a segment that starts nearer to its episode's end has no more real actions to
            perturb.
        uncertainty_limit: root mean square error of pixels (0..1) expected of a frame, above which the
            segment is rejected.
        box_margin: m, by which the imagined end effector may leave the task's workspace box.
        before_takeover: steps; an imagined segment that asks what if nobody had helped starts up to so many
            before the person took over.
        undecided: half width of the band around the reward model's threshold in which a segment's last frame
            must not end, unless it has already succeeded.
        policy_horizon: control steps of a segment in which the policy acts; 0: the model's own horizon, for
            which it was trained.
        group: segments from each real starting point, where the policy acts (GRPO compares them).
    """

    min_length: int = 3
    uncertainty_limit: float = 0.12
    box_margin: float = 0.03
    before_takeover: int = 3
    undecided: float = 0.05
    policy_horizon: int = 0
    group: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.policy_horizon <= MAX_LENGTH or self.group < 1:
            raise ValueError(f"need 0 <= policy_horizon <= {MAX_LENGTH} and group >= 1")


@dataclass(frozen=True)
class WorldModelNodeConfig(WorldModelUse):
    """When the node trains, releases and imagines; and the models themselves.

    Attributes:
        adapt_updates: training updates on the demonstrations before the loop.
        updates_per_step: training updates owed per real step.
        release_every: real steps between two releases: new version, held-out evaluation, reward model.
        segments_per_step: segments generated per real step while the gate is open, over all nodes.
        generation_batch: segments generated at once, at most; a whole group of them in any case.
        recent_share, recent_episodes: so many of the segments start in so many newest episodes; the others
            anywhere in the memory, demonstrations included.
        memory_steps: control steps of real episodes that are kept (the oldest online ones go first).
        backlog: real time: segments under way to a slow learner above which nothing is generated.
        policy: how the policy acts in the imagination, as module:function (see
            :mod:`worldsample_core.imagined_policy`); "": it does not.
        policy_share: of the segments, those in which the policy acts; in the others the real actions are
            perturbed.
        takeover_share: of the policy's segments, those that start where a person took over from it.
        reward_segments: generated segments of real actions, with known labels, for a fit of the reward model.
        model, reward, gate, imagination, counterfactual: see there.
    """

    adapt_updates: int = 600
    updates_per_step: float = 0.5
    release_every: int = 500
    segments_per_step: float = 0.5
    generation_batch: int = 8
    recent_share: float = 0.5
    recent_episodes: int = 8
    memory_steps: int = 20_000
    backlog: int = 64
    policy: str = "worldsample_policy.imagined_acting:make"
    policy_share: float = 0.75
    takeover_share: float = 0.3
    reward_segments: int = 64
    model: WorldModelConfig = field(default_factory=WorldModelConfig)
    reward: RewardModelConfig = field(default_factory=RewardModelConfig)
    gate: GateConfig = field(default_factory=GateConfig)
    imagination: ImaginationConfig = field(default_factory=ImaginationConfig)
    counterfactual: CounterfactualConfig = field(default_factory=CounterfactualConfig)

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

"""Every hyperparameter of the learner and the actor, each with where it comes from.

Sources: [RLPD] Ball et al. 2023, ikostrikov/rlpd; [HiL-SERL] Luo et al. 2024, rail-berkeley/hil-serl; [DrQ]
Yarats et al. 2021; [DQfD] Hester et al. 2018; [WMPO] WM-PO/WMPO; [WorldSample] the paper that this project
implements; [ours] chosen here, by measurement where the comment says so (docs/learner.md).

``worldsample settings`` prints the text below each field, its unit and its source.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from worldsample_core.extension_path import METHOD_PATH, extension_files
from worldsample_core.units import Metres, Nats, Pixels, RealSteps, Transitions, Updates

ENCODERS = ("random", "autoencoder", "efficientnet_lite0", "learned")
PRECISIONS = ("highest", "high", "medium")
RETURNS = ("one_step", "multi_step")
ALGORITHMS = ("sac", "wmpo", "vlaw")
HEADS = ("linear", "spatial_embedding", "keypoints")
PROPRIO_PARTS = {"x": (0, 1), "z": (2,), "r": (3, 4, 5), "g": (6,), "v": (7, 8, 9)}
"""Indices of the proprioception by the letters of `proprio_use`."""


@dataclass
class MethodConfig:
    """Way of learning, seed and device."""

    algorithm: str = "sac"
    """Algorithm by which the policy learns: sac (HiL-SERL and WorldSample), wmpo or vlaw."""
    seed: int = 0
    """Seed of the weights, of augmentation and of batch sampling; follows run.seed."""
    device: str = "cpu"
    """torch device of the learner ("cpu", "cuda"). The actor always runs on the CPU."""


@dataclass
class EncoderConfig:
    """The encoder: from images to latents."""

    image_size: Pixels = 64
    """Height and width of the images; follows run.image_size. 128 [HiL-SERL]; 64 on the cpu machine
    [ours]."""
    encoder: str = "autoencoder"
    """Encoder of the images: random, autoencoder, efficientnet_lite0 or learned. All are frozen but `learned`
    (gradients run through the images: for a GPU). HiL-SERL: a frozen ResNet-10; the default by measurement
    [ours]."""
    latent_channels: int = 16
    """Channels C of the frozen encoder's latent grid [ours]."""
    latent_size: int = 8
    """Rows and columns of the latent grid, at any image size [ours]."""
    separate_views: bool = True
    """autoencoder: own weights for each view instead of shared weights + a view embedding [ours]."""
    encoder_width: int = 32
    """Channels of the convolutions of `autoencoder`, `random` and `learned` [ours]."""
    encoder_steps: int = 200
    """Gradient steps of the autoencoder on the demonstrations' frames. More sharpen its images; policies
    cloned from few demonstrations then err more on unseen ones [ours, measured]."""
    encoder_batch: int = 32
    """Frames (of both views) per step of the autoencoder [ours]."""
    encoder_lr: float = 2e-3
    """Peak Adam step size of the autoencoder; linear warm-up, cosine decay [ours]."""
    motion_weight: float = 4.0
    """Extra weight in the reconstruction loss of a pixel far from the mean frame (0: plain mean square
    error): small objects and the gripper are few pixels [ours]."""
    augmentations: int = 4
    """K: shifted copies of a frame encoded on arrival (the first is unshifted); sampling picks one of them
    [ours]."""
    shift_fraction: float = 1.0 / 32.0
    """Largest random shift as a fraction of the image: 4 px at 128, 2 px at 64 [HiL-SERL, DrQ]."""
    latent_noise: float = 0.0
    """Deviation of Gaussian noise on the (standardised) latents of a batch, against overfitting few frames:
    0.5 to 1 cut the error of cloned policies by a fifth [ours, measured]."""


@dataclass
class FeatureConfig:
    """The learned heads: from latents and proprioception to features."""

    head: str = "linear"
    """Learned projection of one view's latents: spatial_embedding as in HiL-SERL, linear [ours], or
    keypoints: where on the grid something is, by two convolutions and a spatial softmax [Levine et al.
    2016]."""
    spatial_embeddings: int = 8
    """Learned spatial embeddings per channel, of `spatial_embedding` [HiL-SERL]."""
    keypoints: int = 16
    """Points per view, of `keypoints` [ours, measured]."""
    bottleneck: int = 64
    """Features per view after the head (LayerNorm, tanh). 256 [HiL-SERL]; 64 costs a quarter [ours]."""
    proprio_features: int = 64
    """Features of the proprioception (Dense, LayerNorm, tanh) [HiL-SERL]."""
    actor_trains_head: bool = False
    """The actor's loss also trains the shared heads; in DrQ and HiL-SERL only the critic's loss does
    [HiL-SERL]."""
    policy_head: bool = False
    """The actor has learned heads of its own, which its loss alone trains; the critics' heads are then theirs
    alone, and `actor_trains_head` means nothing. Cloning is not disturbed by what values need [ours,
    measured]."""
    policy_head_kind: str = ""
    """With `policy_head`: the kind of the policy's heads, as in `head`; empty: that of `head`. The critics'
    are updated more often, and `keypoints` cost a multiple of `linear` [ours, measured]."""
    actor_average: float = 0.0
    """Decay per actor update of a running average of the actor's weights; the average acts. 0: the newest
    weights act. Needs `policy_head` [Polyak & Juditsky 1992; ours]."""
    value_trains_head: bool = True
    """With `actor_trains_head`: the gradient of the actor's value term runs into the shared heads, too;
    without, they learn from the critic's loss and from the likelihood terms. That gradient makes the critic's
    values grow (-0.09 to 5.02 in 200 steps with the critics held) [ours, measured]."""
    proprio_use: str = "all"
    """Proprioception that the networks see: all, or letters out of x (position along x and y), z (height), r
    (rotation), g (gripper opening), v (velocity). What is left out cannot be used to recognise a layout
    [ours, measured]."""
    dropout: float = 0.0
    """Share of the latents, and of the features, that a training batch loses at random, against overfitting
    few layouts [ours, measured]."""
    target_head: bool = True
    """The target critic has its own slow copy of the heads; without, it uses the online heads, as DrQ
    does [HiL-SERL]."""


@dataclass
class SacConfig:
    """Soft actor-critic on prior data."""

    hidden: int = 256
    """Width of the two hidden layers (LayerNorm, tanh) of actor and critics [HiL-SERL]."""
    critics: int = 2
    """Size of the critic ensemble [HiL-SERL]."""
    batch_size: Transitions = 256
    """Transitions per update, half of them demonstrations and interventions [RLPD, HiL-SERL]."""
    lr: float = 3e-4
    """Adam step size of actor, critics, heads and temperature [HiL-SERL]."""
    tau: float = 0.005
    """Soft update of the target critics, per critic update [HiL-SERL]."""
    gamma: float | None = None
    """Discount per control step; None: the task's own (0.97, longer tasks 0.98-0.985) [HiL-SERL]."""
    temperature_init: float = 1e-2
    """Initial entropy temperature alpha [HiL-SERL]."""
    target_entropy: Nats | None = None
    """Entropy of the policy that the temperature aims at; None: -|A|/2, |A| the active continuous action
    dimensions (-3.5 for 7) [HiL-SERL]."""
    std_min: float = 1e-5
    """Lower clamp of the policy's standard deviation before tanh [HiL-SERL]."""
    std_max: float = 5.0
    """Upper clamp of the policy's standard deviation before tanh [HiL-SERL]."""
    entropy_backup: bool = False
    """The critic's target includes the entropy bonus; it does not in [HiL-SERL]."""
    bounded_targets: bool = False
    """The next state's value in the critics' targets is cut to [0, 1], between which every discounted return
    lies where a success pays 1 and all else 0. Without, the least of two critics drifts far below 0 [ours;
    clipped targets: Andrychowicz et al. 2017, section 4.4]."""
    return_targets: bool = False
    """The critics' targets are at least the discounted return that the episode reached from there, where it
    succeeded: a success counts at once along the whole way to it, and not a step per soft update
    [Wilcox et al. 2022, Monte Carlo augmented actor-critic]."""
    utd: int = 2
    """Updates owed per real step: HiL-SERL's cycle of two; read by the node that paces the learner [ours]."""
    critic_actor_ratio: int = 2
    """Updates of which one is full (critic, actor, temperature) and the others are critic only [HiL-SERL]."""
    max_grad_norm: float = 0.0
    """Clip of the gradient's norm, per loss (0: none) [HiL-SERL]."""
    max_skipped_updates: int = 100
    """Updates with a loss or gradient that is not finite, among the last 1,000, that are skipped; with more
    the learner fails, and the run ends [ours]."""


@dataclass
class CloningConfig:
    """Behaviour cloning beside the actor's loss of SAC."""

    bc_weight: float = 0.0
    """Weight of a behaviour-cloning term, -log pi(a|s) on demonstrations and interventions, in the actor's
    loss [ours]."""
    bc_decay_updates: Updates = 0
    """Updates over which `bc_weight` falls linearly to 0 (0: it stays) [ours]."""
    pretrain_updates: Updates = 0
    """Updates on the demonstrations before the loop starts: of cloning alone with `policy_head`, else full
    ones [ours]."""
    pretrain_bc_weight: float = 1.0
    """`bc_weight` during pretraining [ours]."""


@dataclass
class PacingConfig:
    """Policy-Paced Learning: how much imagined data count, and which."""

    pacing: bool = False
    """Imagined data may enter training (method `worldsample`)."""
    pacing_schedule: bool = True
    """rho follows the policy's entropy; otherwise it is `rho_max` after the warm-up (ablation)."""
    pacing_selection: bool = True
    """The synthetic batch is selected and weighted by Q; otherwise drawn uniformly (ablation)."""
    rho_max: float = 0.30
    """Largest weight of the synthetic loss [WorldSample]."""
    pacing_kappa: float = 1.0
    """kappa: rho of a policy that has learned nothing is rho_max / (1 + kappa). With 9, imagined data
    came too late to keep the critic from optimism [ours, measured]."""
    pacing_power: float = 1.0
    """p of the schedule [ours]."""
    pacing_smoothing: float = 0.99
    """Weight of the old entropy per full update [ours]."""
    pacing_warmup: RealSteps = 300
    """Real steps before imagined data count [ours]."""
    q_gap_limit: float = 0.05
    """delta_Q: how far the synthetic batch's mean Q may be from the real one's [ours]."""
    success_share_min: float = 0.05
    """p_min: least share of imagined successes in a synthetic batch [ours]."""
    success_share_max: float = 0.95
    """p_max: largest share of imagined successes in a synthetic batch [ours]."""
    synthetic_batch: Transitions = 128
    """Imagined transitions per update [ours]."""
    imagined_actor: float = 0.0
    """Weight of the actor's loss on imagined states, as a multiple of rho (MBPO, Janner et al. 2019); 0: the
    actor learns on real states only [ours]."""
    imagined_cloning: float = 0.0
    """Weight of cloning imagined corrections, as a multiple of `bc_weight`; only while the world model passes
    its held-out test [ours]."""
    correction_batch: Transitions = 128
    """Imagined corrections per update of the actor [ours]."""
    synthetic_returns: str = "multi_step"
    """`multi_step`: where the policy itself acted in the imagination, targets bootstrap at the segment's end
    (model-based value expansion, Feinberg et al. 2018: without bias only on policy); `one_step`: never
    [ours]."""
    synthetic_capacity: Transitions = 10_000
    """Imagined transitions in each of the two queues [ours]."""
    synthetic_augmentations: int = 2
    """Shifted copies of an imagined frame (the first is unshifted) [ours]."""
    synthetic_versions: int = 4
    """World-model versions for which imagined data are kept [ours]."""
    synthetic_uncertainty: float = 0.12
    """Largest uncertainty (expected root mean square error of a frame's pixels, 0..1) of a segment [ours]."""
    synthetic_box_margin: Metres = 0.03
    """Distance that the imagined end effector may leave the workspace box [ours]."""


@dataclass
class ImitationConfig:
    """The methods that begin with imitation: wmpo and vlaw."""

    imitation_updates: Updates = 2000
    """Updates of imitation on the demonstrations before the loop, in place of `pretrain_updates` [ours]."""
    imitate_interventions: bool = False
    """Every intervention joins the demonstrations that are imitated; without, it is a real step like any
    other [ours]."""
    grpo_lr: float = 3e-5
    """wmpo: Adam step size after the imitation; 1e-4 takes half of all steps out of the clip within four
    updates on the same groups [ours, measured]."""
    grpo_groups: int = 4
    """wmpo: groups of rollouts per update [ours]."""
    grpo_epochs: Updates = 4
    """wmpo: updates on the same groups [ours]."""
    grpo_clip_low: float = 0.2
    """wmpo: how far the ratio of new to old probability may fall below 1 [WMPO]."""
    grpo_clip_high: float = 0.28
    """wmpo: how far the ratio of new to old probability may rise above 1 [WMPO]."""


@dataclass
class GripperConfig:
    """The gripper: a discrete critic, and, if wanted, a policy."""

    gripper_policy: bool = False
    """The gripper's command is a class of the policy, trained by cloning and by the gripper critic's values:
    E[-sum_g pi(g|s) G(s, g)] + w_bc E_demo[-log pi(g_demo|s)]. Without, the command of the highest value
    acts, as in HiL-SERL [ours, measured]."""

    gripper_penalty: float = -0.02
    """Reward of a gripper command that switches the gripper [HiL-SERL]."""
    gripper_open_threshold: float = 0.5
    """Opening (0 closed .. 1 open) above which the gripper counts as open, for the penalty; HiL-SERL has 0.9
    [ours]."""
    gripper_epsilon: float = 0.0
    """Chance of a random gripper command when exploring (0: interventions explore) [HiL-SERL]."""
    gripper_margin: float = 0.0
    """Margin by which the command of demonstrations and interventions shall be worth more than any other
    command to the gripper critic, a large-margin loss beside the temporal-difference error; 0: no such loss,
    as in HiL-SERL [DQfD]."""


@dataclass
class ReplayConfig:
    """The replay of real transitions."""

    replay_capacity: Transitions = 200_000
    """Transitions in each of the two buffers; storage grows with use [HiL-SERL]."""
    training_starts: Transitions = 100
    """Real (non-demonstration) transitions before the first update [HiL-SERL]."""


@dataclass
class SpeedConfig:
    """Precision and compilation."""

    matmul_precision: str = "highest"
    """torch.set_float32_matmul_precision: "highest" (float32), "high" (TF32 on a GPU), "medium" (bfloat16
    products, summed in float32, where the CPU has them: a third more updates per second) [ours]."""
    compile: bool = False
    """The losses run through torch.compile (needs a C++ compiler; a minute at start) [ours]."""


@dataclass
class LearnerConfig(
    SpeedConfig,  # a dataclass takes its fields from the last base first
    ReplayConfig,
    GripperConfig,
    ImitationConfig,
    PacingConfig,
    CloningConfig,
    SacConfig,
    FeatureConfig,
    EncoderConfig,
    MethodConfig,
):
    """Settings of `Learner` and `Actor`. Defaults are the `cpu` machine: 64x64 images, two cores."""

    @property
    def for_acting(self) -> LearnerConfig:
        """The same networks, without what only a learner holds."""
        return replace(self, actor_average=0.0)

    @property
    def updates_before(self) -> int:
        """Updates on the demonstrations before the loop starts."""
        return self.pretrain_updates if self.algorithm == "sac" else self.imitation_updates

    def __post_init__(self) -> None:
        if self.encoder not in ENCODERS:
            raise ValueError(f"learner.encoder is {self.encoder!r}; choose one of {', '.join(ENCODERS)}")
        for name, kinds in (("head", HEADS), ("policy_head_kind", ("", *HEADS))):
            if (kind := getattr(self, name)) not in kinds:
                raise ValueError(f"learner.{name} is {kind!r}; choose one of {', '.join(HEADS)}")
        if self.matmul_precision not in PRECISIONS:
            raise ValueError(
                f"learner.matmul_precision is {self.matmul_precision!r}; choose one of "
                f"{', '.join(PRECISIONS)}"
            )
        known = (
            *ALGORITHMS,
            *(extension_files(METHOD_PATH, ".py") if self.algorithm not in ALGORITHMS else ()),
        )
        if self.algorithm not in known:
            raise ValueError(f"learner.algorithm is {self.algorithm!r}; choose one of {', '.join(known)}")
        if self.algorithm != "sac" and self.pacing:
            raise ValueError(f"learner.pacing is of SAC: {self.algorithm} decides itself what it takes")
        if self.algorithm != "sac" and (self.policy_head or self.gripper_policy):
            raise ValueError(
                f"learner.policy_head and learner.gripper_policy are of SAC: {self.algorithm} has one network"
            )
        if not 0.0 <= self.actor_average < 1.0:
            raise ValueError(f"learner.actor_average is {self.actor_average}; choose 0 <= average < 1")
        if self.actor_average and not self.policy_head:
            raise ValueError(
                "learner.actor_average needs learner.policy_head=true: shared heads follow the critics"
            )
        if self.synthetic_returns not in RETURNS:
            raise ValueError(
                f"learner.synthetic_returns is {self.synthetic_returns!r}; choose one of {', '.join(RETURNS)}"
            )
        for name in (
            "image_size",
            "latent_size",
            "latent_channels",
            "augmentations",
            "batch_size",
            "critics",
            "critic_actor_ratio",
            "replay_capacity",
            "bottleneck",
            "hidden",
            "synthetic_batch",
            "synthetic_capacity",
            "synthetic_augmentations",
            "synthetic_versions",
            "grpo_groups",
            "grpo_epochs",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"learner.{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("lr", "encoder_lr", "grpo_lr", "tau", "std_min", "std_max"):
            if not 0.0 < getattr(self, name) < math.inf:
                raise ValueError(f"learner.{name} is {getattr(self, name)}; it must be positive and finite")
        if self.proprio_use != "all" and not set(self.proprio_use) <= set(PROPRIO_PARTS):
            raise ValueError(
                f"learner.proprio_use is {self.proprio_use!r}; give all, or letters out of "
                f"{', '.join(PROPRIO_PARTS)}"
            )
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"learner.dropout is {self.dropout}; it must be in [0, 1)")
        if not 0 <= self.max_skipped_updates < 1000:
            raise ValueError(
                f"learner.max_skipped_updates is {self.max_skipped_updates}; it must be in [0, 1000)"
            )
        if self.gripper_margin < 0.0:
            raise ValueError(f"learner.gripper_margin is {self.gripper_margin}; it must not be negative")
        if self.image_size % self.latent_size:
            raise ValueError(
                f"learner.image_size ({self.image_size}) must be a multiple of learner.latent_size "
                f"({self.latent_size})"
            )

"""All settings of a run, as they stand in the run folder's ``config.yaml``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from worldsample_core.camera_calibration import CameraCalibration
from worldsample_core.command_name import command_name
from worldsample_core.config import TaskConfig, from_mapping, read_yaml
from worldsample_core.observation import VIEWS
from worldsample_core.units import Episodes, Frames, Pixels, RealSteps, Seconds

MAX_SIDE = 16_384
"""Pixels; no camera's images are larger."""
Mode = Literal["train", "eval", "demos", "label"]
Operator = Literal["auto", "scripted", "person"]
Reward = Literal["auto", "button", "classifier"]


@dataclass(frozen=True)
class VersionsConfig:
    """Versions of what a run computes with, noted when it starts."""

    python: str = "unknown"
    """Version of Python."""
    torch: str = "unknown"
    """Version of PyTorch; "+cpu" or "+cu…" tells the build."""
    mujoco: str = "unknown"
    """Version of MuJoCo."""
    numpy: str = "unknown"
    """Version of NumPy."""
    lock: str = "unknown"
    """Digest of the set-up's lock files, SHA-256, its first 16 digits; "none" without them."""


@dataclass(frozen=True)
class IdentityConfig:
    """Identity of the run, and its folder."""

    name: str
    """Name of the run; also the identity that every transition and weight carries."""
    directory: str
    """The run folder."""
    mode: Mode = "train"
    """train; eval (no learner, fixed weights); demos (no learner, the operator drives); label (no learner,
    the operator drives and holds the success button while the task is solved)."""
    method: str = "hil_serl"
    """Name of config/methods/<method>.yaml."""
    machine: str = "cpu"
    """Name of config/machines/<machine>.yaml."""
    seed: int = 0
    """Seed of everything random."""
    resume: bool = False
    """Go on with what is in the run folder."""
    git_revision: str = "unknown"
    """Revision of the code, with "+changes" where the tree was not clean; "unknown" outside git."""
    versions: VersionsConfig = field(default_factory=VersionsConfig)
    """Versions of what the run computes with, noted when it starts."""


@dataclass(frozen=True)
class CellConfig:
    """The cell, its clock, and how far the learner may be behind it."""

    sim: bool = True
    """Simulated cell instead of the real one."""
    operator: Operator = "auto"
    """Operator at the cell. scripted: a script that sees the simulator's truth. person: whoever holds the
    device ``teleop.device``; in simulation the simulator tells of success, too. auto: scripted in simulation,
    a person at a real cell."""
    lockstep: bool = True
    """The simulator waits for the policy, and for the learner up to ``lag`` steps; otherwise 10 Hz by the
    wall clock."""
    lag: RealSteps = 20
    """Lockstep only: how many steps the learner may be behind; also how far ahead weights are dated."""
    publish_every: RealSteps = 20
    """Time between two publications of the weights."""
    arm_transforms: bool = True
    """The arm's links on ``/tf``, and ``/robot_description``, are published with the joints. false: another
    node does so, for instance robot_state_publisher with the vendor's URDF."""
    image_size: Pixels = 64
    """Side of the training images; a multiple of 8."""


@dataclass(frozen=True)
class CurvesConfig:
    """The run's curves, beside its report and TensorBoard."""

    wandb: str = ""
    """Project of Weights & Biases to which a training run's curves also go, as a run of the same name; "":
    none. Needs the package ``wandb``; its own variables count (``WANDB_MODE=offline``, ``WANDB_ENTITY``)."""


@dataclass(frozen=True)
class RecordingConfig:
    """Demonstrations and labels, and who says that a rollout succeeded."""

    demos: Episodes = 20
    """Demonstrations to record before training."""
    demos_from: str = ""
    """Folder of recorded demonstrations to use instead; "": record them."""
    labels: Frames = 200
    """Mode label: how many frames of success to record, and of failure."""
    classifier_from: str = ""
    """Folder of labelled frames (mode label), for the reward classifier of real rollouts and for that of the
    world model; or a run folder with a fitted classifier; "": none."""
    reward: Reward = "auto"
    """Judge of success in real rollouts. button: the operator (the scripted one sees the simulator's own
    success). classifier: the reward classifier; a person's buttons overrule it, and in simulation evaluations
    still count the simulator's own success. auto: the classifier on a real cell that has one, else the
    button.
    """
    bag_pictures: Literal["jpeg", "png", "none"] = "jpeg"
    """Encoding of the pictures that stand beside the transitions in each episode's bag, with poses and
    transforms, for Foxglove, RViz and the like. Training never reads them. none: transitions alone."""
    classifier: str = "worldsample_worldmodel.success_detection:make"
    """Implementation of the classifier's judgement, as module:function (see
    :mod:`worldsample_core.success_detector`).
    """


@dataclass(frozen=True)
class EvaluationConfig:
    """Evaluations and checkpoints during a run."""

    eval_every: RealSteps = 1000
    """Time between two evaluations; 0: only the final one."""
    eval_episodes: Episodes = 20
    """Episodes of each evaluation during training."""
    final_eval_episodes: Episodes = 50
    """Episodes of the last evaluation (mode eval: of the only one)."""
    eval_actions: Literal["sampled", "mean"] = "sampled"
    """Actions of the policy in evaluations: `sampled` from its distribution, as in training, or `mean`, its
    most likely action, with which a policy that stands still goes on standing still [HiL-SERL and LeRobot
    evaluate with samples]."""
    evaluate_beside: bool = True
    """Lockstep: evaluations run in a process with a simulator of its own, and training goes on meanwhile;
    without, they run in the run's own cell, and training waits. Scenes and results are the same."""
    checkpoint_every: RealSteps = 1000
    """Time between two checkpoints."""
    keep_checkpoints: int = 3
    """Number of checkpoints that stay on disk."""
    stop_when_solved: int = 0
    """Training ends when this many evaluations in a row reach ``solved_success``; 0: never."""
    solved_success: float = 0.95
    """Success rate, 0..1, at which an evaluation counts as solved."""
    checkpoint: str = ""
    """Mode eval: the checkpoint folder to act on."""
    black_images: bool = False
    """The policy gets black images: one that succeeds all the same does not look."""


@dataclass(frozen=True)
class RunConfig(CurvesConfig, EvaluationConfig, RecordingConfig, CellConfig, IdentityConfig):
    """Settings of the run itself: identity, cell, recordings, evaluations, checkpoints, curves."""

    def __post_init__(self) -> None:
        if not self.name or len(self.name) > 64:
            raise ValueError(f"a run name has 1 to 64 characters, got {self.name!r}")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"a seed is 0 .. 2^63 - 1, got {self.seed}")
        if len(self.wandb) > 128 or set(self.wandb) & set("/\\#?%:"):
            raise ValueError(
                f"wandb is a project, without / \\ # ? % :, got {self.wandb!r} (WANDB_ENTITY names a team)"
            )
        if self.image_size < 16 or self.image_size > 512 or self.image_size % 8:
            raise ValueError(f"image_size must be a multiple of 8 from 16 to 512, got {self.image_size}")
        if min(self.publish_every, self.checkpoint_every, self.keep_checkpoints) < 1:
            raise ValueError("publish_every, checkpoint_every and keep_checkpoints must be at least 1")
        if self.operator == "scripted" and not self.sim:
            raise ValueError("the scripted operator needs the simulator: at a real cell a person drives")
        if self.has_person and self.sim and self.lockstep:
            raise ValueError("a person does not wait for the simulator: set lockstep=false (--realtime)")
        if self.lag < 1:
            raise ValueError("lag must be at least 1: the learner gets a step only after it is finished")
        if self.labels < 1:
            raise ValueError("labels must be at least 1")
        if self.reward == "classifier" and not self.classifier_from and self.mode in ("train", "eval"):
            real = "" if self.sim else " --real"
            raise ValueError(
                "reward=classifier needs a classifier, and there is none: record labelled frames with "
                f"`{command_name()} label{real}`, then give them with --classifier-from DIR"
            )

    @property
    def has_person(self) -> bool:
        """True if a person is the operator, and not a script."""
        return self.operator == "person" or (self.operator == "auto" and not self.sim)

    @property
    def evaluates_mean(self) -> bool:
        """True if evaluations act with the policy's mean action."""
        return self.eval_actions == "mean"

    @property
    def judged_by_classifier(self) -> bool:
        """True if the reward classifier, not the operator's button, decides about success of rollouts."""
        by_default = self.reward == "auto" and not self.sim and bool(self.classifier_from)
        return self.reward == "classifier" or by_default

    @property
    def path(self) -> Path:
        """The run folder."""
        return Path(self.directory)


@dataclass(frozen=True)
class CamerasConfig:
    """The two colour cameras."""

    width: Pixels = 0
    """Width of the images that the cameras publish; an image of another size is an error (a camera with the
    wrong profile would be cropped silently otherwise). 0: any width."""
    height: Pixels = 0
    """Height of the images that the cameras publish; 0: any height."""
    max_age: Seconds = 0.25
    """Real time: an image older than this is stale."""
    side: CameraCalibration = field(default_factory=CameraCalibration)
    """Calibration of the side camera."""
    wrist: CameraCalibration = field(default_factory=CameraCalibration)
    """Calibration of the wrist camera."""

    @property
    def crops(self) -> str:
        """The regions of interest in words, as episodes remember them; "" where there are none."""
        chosen = {view: self.calibration(view).crop for view in VIEWS}
        return ", ".join(f"{view} {list(crop)}" for view, crop in chosen.items() if crop is not None)

    def __post_init__(self) -> None:
        if max(self.width, self.height) > MAX_SIDE:
            raise ValueError(f"width and height are at most {MAX_SIDE} pixels")

    def calibration(self, view: str) -> CameraCalibration:
        """Calibration of a view."""
        return {"side": self.side, "wrist": self.wrist}[view]


@dataclass(frozen=True)
class Settings:
    """``config.yaml``. The sections that are plain mappings here are read strictly by their packages."""

    run: RunConfig
    task: TaskConfig
    cameras: CamerasConfig = field(default_factory=CamerasConfig)
    learner: dict[str, Any] = field(default_factory=dict)
    operator: dict[str, Any] = field(default_factory=dict)
    worldmodel: dict[str, Any] = field(default_factory=dict)
    sim: dict[str, Any] = field(default_factory=dict)
    driver: dict[str, Any] = field(default_factory=dict)
    teleop: dict[str, Any] = field(default_factory=dict)

    @property
    def camera_shape(self) -> tuple[int, int]:
        """(height, width) in pixels of the simulated cameras, side and wrist alike."""
        size = self.run.image_size
        return self.cameras.height or size, self.cameras.width or size


def load_settings(path: Path | str) -> Settings:
    """Read a resolved ``config.yaml``. Raises :class:`worldsample_core.config.ConfigError`."""
    return from_mapping(Settings, read_yaml(Path(path)))

"""All settings of a run, as they stand in the run folder's ``config.yaml``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from worldsample_core.config import TaskConfig, from_mapping, read_yaml

Mode = Literal["train", "eval", "demos", "label"]
Reward = Literal["auto", "button", "classifier"]


@dataclass(frozen=True)
class RunConfig:
    """Settings of the run itself: name, mode, cell, seeds, evaluations and checkpoints.

    Attributes:
        name: also the identity that every transition and weight carries.
        directory: the run folder.
        mode: train; eval (no learner, fixed weights); demos (no learner, the operator drives); label (no
            learner, the operator drives and holds the success button while the task is solved).
        method: name of config/methods/<method>.yaml.
        seed: of everything random.
        sim: simulated cell instead of the real one.
        lockstep: the simulator waits for the policy, and for the learner up to ``lag`` steps; otherwise 10 Hz
            wall clock.
        lag: lockstep only: real steps that the learner may be behind; also how far ahead weights are dated.
        publish_every: real steps between two publications of the weights.
        image_size: side of the training images, pixels.
        demos: demonstrations to record before training; demos_from: a folder of recorded ones to use instead.
        labels: mode label: frames of success to record, and of failure.
        classifier_from: a folder of labelled frames (mode label), for the reward classifier of real rollouts
            and for that of the world model; or a run folder with a fitted classifier.
        reward: who says that a real rollout succeeded. button: the operator (the scripted one sees the
            simulator's own success). classifier: the reward classifier; a person's buttons overrule it, and
            in simulation evaluations still count the simulator's own success. auto: the classifier on a real
            cell that has one, else the button.
        classifier: how success is judged then, as module:function (see
            :mod:`worldsample_core.success_detector`).
        eval_every: real steps between evaluations (0: only the final one); eval_episodes: episodes in each.
        final_eval_episodes: of the last evaluation (mode eval: of the only one).
        checkpoint_every: real steps; keep_checkpoints: how many stay on disk.
        stop_when_solved: end training when this many evaluations in a row reach solved_success (0: never).
        checkpoint: mode eval: the checkpoint folder to act on.
        black_images: the policy gets black images: one that succeeds all the same does not look.
        resume: go on with what is in the run folder.
        git_revision: of the code, with "+changes" where the tree was not clean; "unknown" outside git.
    """

    name: str
    directory: str
    mode: Mode = "train"
    method: str = "hil_serl"
    machine: str = "cpu"
    seed: int = 0
    sim: bool = True
    lockstep: bool = True
    lag: int = 20
    publish_every: int = 20
    image_size: int = 64
    demos: int = 20
    demos_from: str = ""
    labels: int = 200
    classifier_from: str = ""
    reward: Reward = "auto"
    classifier: str = "worldsample_worldmodel.success_detection:make"
    eval_every: int = 1000
    eval_episodes: int = 20
    final_eval_episodes: int = 50
    checkpoint_every: int = 1000
    keep_checkpoints: int = 3
    stop_when_solved: int = 0
    solved_success: float = 0.95
    checkpoint: str = ""
    black_images: bool = False
    resume: bool = False
    git_revision: str = "unknown"

    def __post_init__(self) -> None:
        if not self.name or len(self.name) > 64:
            raise ValueError(f"a run name has 1 to 64 characters, got {self.name!r}")
        if self.image_size < 16 or self.image_size > 512 or self.image_size % 8:
            raise ValueError(f"image_size must be a multiple of 8 from 16 to 512, got {self.image_size}")
        if min(self.publish_every, self.checkpoint_every, self.keep_checkpoints) < 1:
            raise ValueError("publish_every, checkpoint_every and keep_checkpoints must be at least 1")
        if self.lag < 1:
            raise ValueError("lag must be at least 1: the learner gets a step only after it is finished")
        if self.labels < 1:
            raise ValueError("labels must be at least 1")
        if self.reward == "classifier" and not self.classifier_from and self.mode in ("train", "eval"):
            real = "" if self.sim else " --real"
            raise ValueError(
                "reward=classifier needs a classifier, and there is none: record labelled frames with "
                f"`worldsample label{real}`, then give them with --classifier-from DIR"
            )

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
    """The two colour cameras.

    Attributes:
        width, height: of the images that the cameras publish, pixels; an image of another size is an error
            (a camera with the wrong profile would be cropped silently otherwise). 0: any size.
        max_age: real time: an image older than this is stale, s.
    """

    width: int = 0
    height: int = 0
    max_age: float = 0.25


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


def load_settings(path: Path | str) -> Settings:
    """Read a resolved ``config.yaml``. Raises :class:`worldsample_core.config.ConfigError`."""
    return from_mapping(Settings, read_yaml(Path(path)))

"""The base class of a method of learning; everything outside it is the same for all methods.

A :class:`~worldsample_policy.learning.learner.Learner` takes transitions in, encodes and stores them, counts,
publishes weights and keeps checkpoints. Its algorithm says what one update is. How to add one:
docs/adding-a-method.md.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from worldsample_core.config import TaskConfig
from worldsample_core.synthetic import SyntheticSegment
from worldsample_core.transition import Transition
from worldsample_policy.pacing.policy_paced_learning import PacingReport
from worldsample_policy.replay.frame_intake import FrameIntake
from worldsample_policy.sac.optimiser_step import OptimiserStep, Trained
from worldsample_policy.sac.sac import Logs


class Algorithm(ABC):
    """One way to learn the policy from what :class:`FrameIntake` stores.

    Args:
        intake: networks, replays and random numbers. They are the algorithm's to use, not to replace.
        task: of the run.

    Attributes:
        trained: parameters that each optimizer trains, by the optimizer's name; set in `__init__`.
        rates: Adam's step sizes of the optimizers that do not use `learner.lr`.
    """

    name: ClassVar[str]
    """As `learner.algorithm` names it."""
    samples_gripper: ClassVar[bool] = False
    """True: imagined gripper commands are drawn from their logits; false: the best one is taken."""

    trained: Trained

    def __init__(self, intake: FrameIntake, task: TaskConfig) -> None:
        self.intake, self.task = intake, task
        self.config, self.sac, self.generator = intake.config, intake.agent.sac, intake.generator
        self.rates: dict[str, float] = {}

    # --- updates --------------------------------------------------------------------------------------------

    @abstractmethod
    def pretrain(self, step: OptimiserStep) -> Logs:
        """Do one update before the loop starts, on the demonstrations.

        Raises NotFinite; LookupError where there are no demonstrations.
        """

    @abstractmethod
    def update(self, step: OptimiserStep, number: int, real_steps: int) -> Logs:
        """Do the update `number` (1, 2, ...); {} where there is nothing to learn from yet.

        real_steps: in the replay so far. Raises NotFinite: the update ends at the first loss or gradient that
        is not finite. Raises LookupError on an empty replay.
        """

    # --- data -----------------------------------------------------------------------------------------------

    @property
    def imitates_interventions(self) -> bool:
        """Steps that a person drove go into the demonstrations, too."""
        return self.config.imitate_interventions

    def took(self, transition: Transition) -> None:  # noqa: B027 (a hook, empty by default)
        """Note that a real transition has entered the replay."""

    def admit(self, segment: SyntheticSegment) -> bool:
        """Take a valid imagined segment, or refuse it; refuses all by default."""
        return False

    def refused_malformed(self) -> None:  # noqa: B027 (a hook, empty by default)
        """Count an imagined segment that was malformed."""

    def gate(self, is_open: bool) -> None:  # noqa: B027 (a hook, empty by default)
        """Note whether the newest world model passes its held-out test."""

    def published(self, version: int) -> None:  # noqa: B027 (a hook, empty by default)
        """Note that the parameters as they are now act under this version."""

    # --- for people, and for checkpoints --------------------------------------------------------------------

    @property
    def detail(self) -> str:
        """Sentence on what became of what was imagined; "" where there is nothing to say."""
        return ""

    def pacing_report(self) -> PacingReport | None:
        """Figures of Policy-Paced Learning; None where the method has none."""
        return None

    @abstractmethod
    def counters(self) -> dict[str, Any]:
        """JSON-able entries of a checkpoint. What was imagined is not in it: that is imagined again."""

    @abstractmethod
    def load_counters(self, counters: dict[str, Any], with_replay: bool) -> None:
        """Take what `counters` gave; without the replay its transitions are told again by :meth:`took`."""

"""Where another way of learning takes SAC's place: same networks, encoder, replay, checkpoints and pacing.

The learner counts, steps the optimizers and publishes; an algorithm gives it the loss of the next update. SAC
itself (methods ``hil_serl`` and ``worldsample``) is the learner's own and no algorithm in this sense.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor

from worldsample_core.synthetic import SyntheticSegment
from worldsample_core.transition import Transition
from worldsample_policy.sac.flat_parameters import FlatParameters
from worldsample_policy.sac.sac import Logs

if TYPE_CHECKING:
    from worldsample_policy.learning.learner import Learner


class Algorithm(Protocol):
    """What the learner asks of WMPO and VLAW.

    Attributes:
        rates: Adam's step size of each optimizer; each trains all of the policy's parameters.
        parameters: these.
        detail: what was done with what was imagined, for people.
    """

    rates: dict[str, float]
    parameters: FlatParameters

    @property
    def detail(self) -> str: ...

    def imitation_loss(self) -> tuple[Tensor, Logs]:
        """Of an update before the loop, on the demonstrations; for the optimizer ``imitation``."""

    def loss(self) -> tuple[str, Tensor, Logs] | None:
        """Name of the optimizer, and the loss of the next update; None: there is nothing to learn from."""

    def took(self, transition: Transition) -> None:
        """A real transition has entered the replay."""

    def imagined(self, segment: SyntheticSegment) -> str:
        """Take a valid segment; the reason where it is refused."""

    def published(self, version: int) -> None:
        """The parameters as they are now act under this version."""

    def state(self) -> dict[str, Any]:
        """JSON-able, for a checkpoint. Nothing imagined is in it: that is imagined again."""

    def load_state(self, state: dict[str, Any], with_replay: bool) -> None:
        """The inverse; without the replay, its transitions are told again by :meth:`took`."""


def make_algorithm(learner: Learner) -> Algorithm | None:
    """The one that ``config.algorithm`` names; None for SAC."""
    from worldsample_policy.algorithms.vlaw import VLAW
    from worldsample_policy.algorithms.wmpo import WMPO

    if learner.config.algorithm == "wmpo":
        return WMPO(learner)
    if learner.config.algorithm == "vlaw":
        return VLAW(learner)
    return None

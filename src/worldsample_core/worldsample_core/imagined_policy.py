"""Interface through which the world model lets the policy act on imagined observations.

The world model does not import the policy's networks, and the policy does not import the world model's. The
configuration names an implementation as ``module:function``; it is imported when it is needed. An installed
package must have registered it (:mod:`worldsample_core.registered_factory`).
"""

from __future__ import annotations

from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from worldsample_core.messages.weights import PackedWeights
from worldsample_core.registered_factory import IMAGINED_POLICIES, registered_factory
from worldsample_core.settings import Settings


class ImaginedPolicy(Protocol):
    """Receives the weights that the learner publishes, and acts on batches of imagined observations."""

    def receive(self, packed: PackedWeights) -> None:
        """Check and keep weights; the newest few versions are kept.

        Raises:
            InvalidWeights: they cannot be used; the old ones stay.
        """

    def use(self, version: int) -> int:
        """Act with ``version`` from now on, or with the nearest older version, or else with the oldest.

        Returns the version in use. 0 means that there are no weights yet, and :meth:`act` must not be called.
        """

    def act(
        self, images: NDArray[np.uint8], proprio: NDArray[np.float32], rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """Exploring actions ``(B, 7)`` for images ``(B, 2, S, S, 3) uint8``, proprioception ``(B, 10)``."""


def make_imagined_policy(name: str, settings: Settings) -> ImaginedPolicy:
    """Call ``module:function`` with the run's settings.

    Raises:
        ConfigError: nobody has registered such a function, or its settings cannot be used.
    """
    factory = registered_factory(IMAGINED_POLICIES, name, "worldmodel.policy")
    return cast(ImaginedPolicy, factory(settings))

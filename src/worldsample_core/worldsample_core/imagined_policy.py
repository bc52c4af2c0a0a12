"""The policy inside the world model: how it acts on imagined observations.

The world model must not know the policy's networks, and the policy not the world model's: they meet here. An
implementation is named in the configuration as ``module:function`` and looked up when it is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from worldsample_core.config import ConfigError
from worldsample_core.messages.weights import PackedWeights
from worldsample_core.settings import Settings


class ImaginedPolicy(Protocol):
    """Receives the weights that the learner publishes, and acts on batches of imagined observations."""

    def receive(self, packed: PackedWeights) -> None:
        """Check and keep weights. Raises
        :class:`worldsample_core.messages.weights.InvalidWeights`; the old ones stay.

        The newest few versions are kept.
        """

    def use(self, version: int) -> int:
        """Act with ``version`` from now on, or the nearest older one that is there, or else the oldest.

        Returns the version in use; 0 where there are no weights yet: then :meth:`act` must not be called.
        """

    def act(
        self, images: NDArray[np.uint8], proprio: NDArray[np.float32], rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """Exploring actions ``(B, 7)`` for images ``(B, 2, S, S, 3) uint8``, proprioception ``(B, 10)``."""


def make_imagined_policy(name: str, settings: Settings) -> ImaginedPolicy:
    """Call ``module:function`` with the run's settings.

    Raises:
        ConfigError: there is no such function, or its settings cannot be used.
    """
    module, _, function = name.partition(":")
    try:
        factory = cast(Callable[[Settings], ImaginedPolicy], getattr(import_module(module), function))
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"worldmodel.policy is {name!r}, not module:function ({error})") from error
    return factory(settings)

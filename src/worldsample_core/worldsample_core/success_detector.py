"""Interface of the reward classifier that decides whether a rollout has succeeded.

The policy does not import the reward model's networks. The configuration (``run.classifier``) names an
implementation as ``module:function``.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Protocol, cast

from worldsample_core.config import ConfigError
from worldsample_core.observation import Observation
from worldsample_core.settings import Settings


class SuccessDetector(Protocol):
    """Watches one episode after the other, frame by frame."""

    def restart(self) -> None:
        """Start a new episode."""

    def observe(self, observation: Observation) -> bool:
        """Take the next frame; True once the episode has succeeded. Called once per control step."""


def make_success_detector(settings: Settings) -> SuccessDetector:
    """Call ``run.classifier`` with the run's settings.

    Raises:
        ConfigError: there is no such function, or no classifier that fits the run.
    """
    name = settings.run.classifier
    module, _, function = name.partition(":")
    try:
        factory = cast(Callable[[Settings], SuccessDetector], getattr(import_module(module), function))
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"run.classifier is {name!r}, not module:function ({error})") from error
    return factory(settings)

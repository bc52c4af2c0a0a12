"""Interface of the reward classifier that decides whether a rollout has succeeded.

The policy does not import the reward model's networks. The configuration (``run.classifier``) names an
implementation as ``module:function``; an installed package must have registered it
(:mod:`worldsample_core.registered_factory`).
"""

from __future__ import annotations

from typing import Protocol, cast

from worldsample_core.observation import Observation
from worldsample_core.registered_factory import SUCCESS_DETECTORS, registered_factory
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
        ConfigError: nobody has registered such a function, or there is no classifier that fits the run.
    """
    factory = registered_factory(SUCCESS_DETECTORS, settings.run.classifier, "run.classifier")
    return cast(SuccessDetector, factory(settings))

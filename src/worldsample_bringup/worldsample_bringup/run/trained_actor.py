"""The policy that a run has trained, ready to act."""

from __future__ import annotations

from worldsample_bringup.run.run_folder import RunFolder
from worldsample_core.config import from_mapping
from worldsample_policy.acting.actor import Actor
from worldsample_policy.learner_config import LearnerConfig
from worldsample_policy.learning import checkpoint_directory
from worldsample_policy.sac.policy_export import acting_weights_of


def load_actor(run: RunFolder) -> Actor:
    """The actor of the newest checkpoint of a run, or of an exported policy.

    Raises:
        ConfigError: there is none.
    """
    settings = run.settings()
    actor = Actor(from_mapping(LearnerConfig, settings.learner, "learner"), settings.task)
    files, _ = checkpoint_directory.read(run.checkpoint())
    actor.load(acting_weights_of(files))
    return actor

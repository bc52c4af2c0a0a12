"""A learner's loop, made from the settings of its run."""

from __future__ import annotations

from worldsample_core.config import from_mapping
from worldsample_core.node.run_settings import require_image_size
from worldsample_core.settings import Settings
from worldsample_core.world_model_use import world_model_use
from worldsample_policy.learner_config import LearnerConfig
from worldsample_policy.learning.learner import Learner
from worldsample_policy.learning.learner_checkpoints import LearnerCheckpoints
from worldsample_policy.learning.learner_loop import LearnerLoop, LearnerOutputs
from worldsample_policy.learning.world_model_following import WorldModelFollowing


def make_learner_loop(settings: Settings, outputs: LearnerOutputs) -> LearnerLoop:
    """Make the loop; it follows world models where the method has some.

    Raises:
        ConfigError: the settings cannot be used, or contradict each other.
    """
    run = settings.run
    config = from_mapping(LearnerConfig, settings.learner, "learner")
    require_image_size(settings, "learner.image_size", config.image_size)
    use = world_model_use(settings.worldmodel)
    following = None
    if use.enabled:
        following = WorldModelFollowing(use, use.effective_lag(settings.task.horizon))
    checkpoints = LearnerCheckpoints(run.path, run.keep_checkpoints)
    return LearnerLoop(Learner(config, settings.task), run, checkpoints, outputs, following)

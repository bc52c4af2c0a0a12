"""A world model's loop, made from the settings of its run."""

from __future__ import annotations

from pathlib import Path

from worldsample_core.arm.command_law import max_lead
from worldsample_core.config import from_mapping
from worldsample_core.imagined_policy import ImaginedPolicy, make_imagined_policy
from worldsample_core.node.run_settings import require_image_size
from worldsample_core.settings import Settings
from worldsample_worldmodel.reward.recorded_labels import recorded_labels
from worldsample_worldmodel.running.world_model_checkpoints import WorldModelCheckpoints
from worldsample_worldmodel.running.worldmodel_loop import WorldModelLoop, WorldModelOutputs
from worldsample_worldmodel.training.adaptation import Adaptation
from worldsample_worldmodel.worldmodel_config import WorldModelNodeConfig


def make_worldmodel_loop(
    settings: Settings, outputs: WorldModelOutputs, publisher: str, index: int = 0, count: int = 1
) -> WorldModelLoop:
    """Make the loop of one of a run's world models.

    Args:
        outputs, publisher, index, count: see :class:`WorldModelLoop`.

    Raises:
        ConfigError: the settings cannot be used, or contradict each other.
    """
    run = settings.run
    config = from_mapping(WorldModelNodeConfig, settings.worldmodel, "worldmodel")
    require_image_size(settings, "worldmodel.model.image_size", config.model.image_size)
    adaptation = Adaptation(
        settings.task,
        config.model,
        config.reward,
        config.gate,
        config.imagination,
        config.counterfactual,
        config.memory_steps,
        max_lead(run.sim, settings.driver),
    )
    if run.classifier_from:
        adaptation.recorded = recorded_labels(Path(run.classifier_from), settings, config.reward)
    policy: ImaginedPolicy | None = None
    if config.policy and config.policy_share:
        policy = make_imagined_policy(config.policy, settings)
    folder = WorldModelCheckpoints(run.path, publisher)
    return WorldModelLoop(adaptation, config, run, folder, outputs, publisher, index, count, policy)

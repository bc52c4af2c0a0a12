"""The world model of a run, loaded from its folder together with the episodes that it remembers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from worldsample_bringup.run.prepare import existing_run
from worldsample_bringup.run.run_folder import RunFolder, newest_runs
from worldsample_core.arm.command_law import max_lead
from worldsample_core.checkpoint_error import CheckpointError
from worldsample_core.config import ConfigError, from_mapping
from worldsample_core.episodes.episode_bag import read_transitions
from worldsample_core.episodes.episode_store import find_bags
from worldsample_core.settings import Settings
from worldsample_worldmodel.data.episodes import episode_from_transitions
from worldsample_worldmodel.running.world_model_checkpoints import WorldModelCheckpoints
from worldsample_worldmodel.training.adaptation import Adaptation
from worldsample_worldmodel.worldmodel_config import WorldModelNodeConfig

Told = Callable[[str], None]


def find_run(text: str, runs: Path) -> RunFolder:
    """A run by its path or name, or the newest in ``runs`` with a world model.

    Raises:
        ConfigError: there is none.
    """
    if text:
        return existing_run(text, runs)
    for run in newest_runs(runs):
        if any(run.path.glob("worldmodel*/step_*.safetensors")):
            return run
    raise ConfigError(f"there is no run with a world model in {runs}: name one with --run-dir")


def newest_checkpoint(run: RunFolder, settings: Settings) -> Path:
    """File of the newest world model of a run.

    Raises:
        ConfigError: the run's method has none, or it has not been saved yet.
    """
    config = from_mapping(WorldModelNodeConfig, settings.worldmodel, "worldmodel")
    if not config.enabled:
        raise ConfigError(
            f"{run.path} has no world model: its method is {settings.run.method}. "
            "Methods with one: worldsample, wmpo, vlaw"
        )
    folders = [path for path in sorted(run.path.glob("worldmodel*")) if path.is_dir()]
    found = [step for folder in folders for step in WorldModelCheckpoints(run.path, folder.name).steps()]
    if not found:
        exported = run.read_summary().get("exported")
        reason = "an exported policy keeps none" if exported else "none has been saved yet: train it further"
        raise ConfigError(f"{run.path} has no checkpoint of its world model ({reason})")
    return max(found)[1]


def load_world_model(run: RunFolder, told: Told = lambda line: None) -> Adaptation:
    """The newest world model of a run, with the run's real episodes in its memory.

    Args:
        run: the run's folder.
        told: called with a line of progress, often.

    Raises:
        ConfigError: there is none, or it is of another version of WorldSample.
        DamagedBag: an episode cannot be read.
    """
    settings = run.settings()
    checkpoint = newest_checkpoint(run, settings)
    config = from_mapping(WorldModelNodeConfig, settings.worldmodel, "worldmodel")
    adaptation = Adaptation(
        settings.task,
        config.model,
        config.reward,
        imagination=config.imagination,
        counterfactual=config.counterfactual,
        memory_steps=config.memory_steps,
        max_lead=max_lead(settings.run.sim, settings.driver),
    )
    bags = find_bags(run.path)
    if not bags:
        raise ConfigError(f"{run.path} has no episodes: its world model has nothing to start from")
    for number, bag in enumerate(bags):
        told(f"reading episode {number + 1} of {len(bags)}")
        adaptation.add(episode_from_transitions(read_transitions(bag)))
    told(f"loading {checkpoint.name}")
    try:
        adaptation.load(checkpoint)
    except CheckpointError as error:
        raise ConfigError(str(error)) from error
    return adaptation

"""The parts of a policy, made from the settings of its run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from worldsample_core.config import ConfigError, from_mapping
from worldsample_core.episodes.episode_store import EpisodeStore
from worldsample_core.episodes.recorded_with import recorded_with
from worldsample_core.episodes.standard_messages import StandardMessages
from worldsample_core.node.run_settings import require_image_size
from worldsample_core.settings import Settings
from worldsample_core.success_detector import make_success_detector
from worldsample_core.transition import EpisodeSummary
from worldsample_policy.acting.acting_weights import ActingWeights
from worldsample_policy.acting.evaluation_beside import EvaluationBeside
from worldsample_policy.acting.policy_loop import Outputs, PolicyLoop
from worldsample_policy.acting.run_plan import EvaluationLog
from worldsample_policy.acting.weights_switch import WeightsSwitch
from worldsample_policy.learner_config import LearnerConfig
from worldsample_policy.replay.demonstrations import import_demonstrations


def make_acting(settings: Settings) -> ActingWeights:
    """The actor, ready to act; in an evaluation with the weights of the run's checkpoint.

    Raises:
        ConfigError: the configuration contradicts itself.
        CheckpointError: the checkpoint cannot be used.
    """
    run = settings.run
    config = from_mapping(LearnerConfig, settings.learner, "learner")
    require_image_size(settings, "learner.image_size", config.image_size)
    acting = ActingWeights(config, settings.task, WeightsSwitch(run.lockstep, run.lag, run.publish_every))
    if run.mode == "eval":
        if not run.checkpoint:
            raise ConfigError("run.checkpoint is missing: an evaluation needs a checkpoint to act on")
        acting.load_checkpoint(Path(run.checkpoint))
    acting.warm_up(run.image_size)
    return acting


def make_store(
    settings: Settings, durable: bool, on_closed: Callable[[EpisodeSummary], None]
) -> EpisodeStore:
    """The run's episodes on disk.

    Args:
        durable: flush each step to the disk.
        on_closed: called with the summary of each episode that is whole on disk.

    Raises:
        StorageError: the run folder cannot take them.
    """
    run = settings.run
    return EpisodeStore(
        run.path,
        run.name,
        custom=recorded_with(settings),
        standard=StandardMessages.of(settings),
        durable=durable,
        min_free_bytes=_bytes_of_two_episodes(settings),
        on_closed=on_closed,
    )


def _bytes_of_two_episodes(settings: Settings) -> int:
    """Size that two episodes may take on the disk, journal, bag and its pictures, with a little reserve."""
    frame = 2 * 3 * settings.run.image_size**2
    steps = min(settings.task.horizon, settings.task.max_real_steps)
    return 16_000_000 + (4 * 2 + 2) * steps * frame


def take_demonstrations(store: EpisodeStore, settings: Settings, warn: Callable[[str], object]) -> int:
    """Copy the demonstrations of another run into this one, where the run says so. Returns their number."""
    if not settings.run.demos_from or settings.run.mode != "train":
        return 0
    copied = import_demonstrations(store, settings, warn)
    store.drain()
    return copied


def make_loop(
    settings: Settings,
    store: EpisodeStore,
    acting: ActingWeights,
    outputs: Outputs,
    patience: float,
    evaluator: Sequence[str],
    warn: Callable[[str], None],
) -> PolicyLoop:
    """The state machine of the run.

    Args:
        patience: s without a sign of progress of the learner after which it is not waited for.
        evaluator: command of the process that evaluates beside training; empty: there is none.
        warn: tells people.
    """
    run = settings.run
    beside = None
    if evaluator and run.evaluate_beside and run.lockstep and run.mode == "train":
        beside = EvaluationBeside(evaluator, run.path, run.name, acting.tensors, warn)
    detector = None
    if run.judged_by_classifier and (run.mode == "train" or (run.mode == "eval" and not run.sim)):
        detector = make_success_detector(settings)
    evaluations = EvaluationLog(run.path)
    return PolicyLoop(
        settings, store, evaluations, acting.act, acting.switch, outputs, patience, detector, beside
    )

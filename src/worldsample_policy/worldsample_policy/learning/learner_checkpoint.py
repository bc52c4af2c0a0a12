"""A learner's state as the files and counters of a checkpoint, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from worldsample_core.checkpoint_error import CheckpointError
from worldsample_policy.algorithms.algorithm import Algorithm
from worldsample_policy.learning import checkpoint_directory
from worldsample_policy.replay.frame_intake import FrameIntake
from worldsample_policy.sac.agent import Agent
from worldsample_policy.sac.optimiser_step import OptimiserStep
from worldsample_policy.sac.policy_export import POLICY

DEVICE = "device"
"""Name of the counter that tells the kind of device on which a checkpoint was written."""
GENERATOR_BYTES = {5056: "cpu", 16: "cuda"}
"""Kind of device by the size of its generator's state, for checkpoints that do not tell it (0.1.0)."""


class LearnerState(NamedTuple):
    """All that a checkpoint keeps besides the learner's counters."""

    agent: Agent
    intake: FrameIntake
    algorithm: Algorithm
    optimiser: OptimiserStep


def write(directory: Path, state: LearnerState, counters: dict[str, Any], replay: bool) -> None:
    """Write a checkpoint, whole or not at all; with `replay` the encoded transitions, too.

    Raises OSError (a full disk), leaving an older checkpoint whole.
    """
    files: dict[str, dict[str, Tensor]] = {
        "model": dict(state.agent.state_dict()),
        "optimizer": state.optimiser.state(),
        "generator": {"state": state.intake.generator.get_state()},
    }
    if replay:
        files["replay"] = state.intake.replay.state()[0]
    kept = {
        "architecture": state.agent.architecture(),
        **counters,
        DEVICE: state.intake.generator.device.type,
        "has_replay": replay,
        "replay": state.intake.replay.counters(),
        "pacing": None,
        **state.algorithm.counters(),
    }
    checkpoint_directory.write(Path(directory), files, kept)


def read(directory: Path, state: LearnerState) -> dict[str, Any]:
    """Load a checkpoint into a new `state`, and return its counters, with the device where it was written.

    `next_seq` among them is that of the replay. The device may be of another kind than this learner's: see
    `restore_generator`. Raises CheckpointError when it is damaged, incomplete or of other networks; `state`
    may hold a part of it then, and is of no use.
    """
    files, counters = checkpoint_directory.read(Path(directory))
    architecture = state.agent.architecture()
    if counters.get("architecture") != architecture:
        raise CheckpointError(
            f"checkpoint {directory} is of other networks ({counters.get('architecture')}) than the "
            f"configuration describes ({architecture}): use the run's own config.yaml"
        )
    if POLICY in files:
        raise CheckpointError(
            f"checkpoint {directory} is an exported policy, which acts and does not learn: resume the "
            "run that it was exported from"
        )
    intake = state.intake
    try:
        state.agent.load_state_dict(files["model"])
        state.optimiser.load_state(files["optimizer"])
        drawn = files["generator"]["state"]
        counters.setdefault(DEVICE, GENERATOR_BYTES.get(drawn.numel(), "another device"))
        seed = (intake.config.seed, int(counters["updates"]))
        restore_generator(intake.generator, drawn, str(counters[DEVICE]), seed)
        state.algorithm.load_counters(counters, counters["has_replay"])
        if counters["has_replay"]:
            intake.replay.load_state(files["replay"], counters["replay"])
        else:
            intake.replay.rng.bit_generator.state = counters["replay"]["rng"]
        counters["next_seq"] = int(counters["replay"]["next_seq"])
        for name in ("updates", "skipped_updates", "real_steps", "demo_steps"):
            counters[name] = int(counters[name])
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(f"checkpoint {directory} does not fit this learner: {error}") from error
    return counters


def restore_generator(
    generator: torch.Generator, drawn: Tensor, written_on: str, seed: tuple[int, int]
) -> None:
    """Let a generator go on where a checkpoint's was.

    Generators of different kinds of devices draw different numbers and have different states: where the
    checkpoint was written on another kind, the draws begin anew, from `seed` (the run's seed, updates done).

    Args:
        drawn: state of the checkpoint's generator, (N,) uint8.
        written_on: kind of device on which the checkpoint was written.

    Raises:
        RuntimeError: the state is not one of this kind of device.
    """
    if written_on == generator.device.type:
        generator.set_state(drawn)
    else:
        generator.manual_seed(int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0] >> 1))

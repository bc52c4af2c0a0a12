"""The world model's life in a run: adapted to the demonstrations, then refined on every new episode.

Generation always uses a *generator*: a frozen copy of the averaged weights with a version number. Training
never touches it; :meth:`Adaptation.release` replaces it, so that a diverging training cannot spoil what is
imagined.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from worldsample_core.arm.command_law import MAX_LEAD, CommandLaw
from worldsample_core.checkpoint_error import CheckpointError
from worldsample_core.config import TaskConfig
from worldsample_core.node.cpu_account import cpu_piece
from worldsample_worldmodel.data.episodes import Episode, EpisodeMemory, random_starts, segments
from worldsample_worldmodel.imagination.counterfactual import CounterfactualConfig
from worldsample_worldmodel.imagination.imagination import Imagination
from worldsample_worldmodel.imagination.imagination_config import ImaginationConfig
from worldsample_worldmodel.model import model_file
from worldsample_worldmodel.model.frame_bank import ALL, own_frames
from worldsample_worldmodel.model.world_model_config import WorldModelConfig
from worldsample_worldmodel.reward.reward_model import (
    LabelledFrames,
    RewardModel,
    RewardReport,
    fit_reward_model,
    labelled_frames,
)
from worldsample_worldmodel.reward.reward_model_config import RewardModelConfig
from worldsample_worldmodel.training.evaluation import Evaluation, Progress, evaluate
from worldsample_worldmodel.training.gate_config import GateConfig
from worldsample_worldmodel.training.trainer import Logs, Trainer

TWINS_AT_ONCE = 16
"""Segments between two words of progress: whoever waits for the world model gives up a silent one."""
TWIN_TOLERANCE = 0.004
"""m, by which an imagined arm may be off its real twin for the real label still to hold: a finger that far
beside may press nothing."""


class Adaptation:
    """Memory, trainer, generator and reward model of one run."""

    def __init__(
        self,
        task: TaskConfig,
        config: WorldModelConfig | None = None,
        reward: RewardModelConfig | None = None,
        gate: GateConfig | None = None,
        imagination: ImaginationConfig | None = None,
        counterfactual: CounterfactualConfig | None = None,
        memory_steps: int = 20_000,
        max_lead: float = MAX_LEAD,
    ) -> None:
        """max_lead: m, of the commanded position, as the run's driver has it."""
        self.task = task
        self.config = config or WorldModelConfig()
        self.gate = gate or GateConfig()
        self.memory = EpisodeMemory(memory_steps)
        self.law = CommandLaw(task, max_lead)
        self.trainer = Trainer(self.config, self.law)
        self.generator = copy.deepcopy(self.trainer.averaged)
        self.reward_model = RewardModel(reward or RewardModelConfig(self.config.image_size))
        self.reward_model.to(self.config.device)
        self.imagination = Imagination(
            self.generator, self.reward_model, task, imagination, counterfactual, seed=self.config.seed
        )
        self.evaluation: Evaluation | None = None
        self.recorded: LabelledFrames | None = None  # by a person, for the reward model
        self._remembered = -1
        self._rng = np.random.default_rng((self.config.seed, 1))

    @property
    def version(self) -> int:
        """Version of the generator; 0 before the first release."""
        return self.imagination.world_model_version

    @property
    def gate_open(self) -> bool:
        """True if the current generator passed on held-out episodes."""
        return self.evaluation is not None and self.evaluation.gate_open

    def add(self, episode: Episode) -> None:
        """A finished real episode. Raises InvalidObservation; nothing is kept then."""
        self.memory.add(episode.validate().traced(self.law))

    def train(
        self,
        updates: int,
        seconds: float = float("inf"),
        anneal: bool = False,
        progress: Callable[[int, Logs], None] | None = None,
    ) -> Logs:
        """Train on the memory: on the demonstrations before the loop starts, later on all of the run.

        Stops after ``updates`` or ``seconds``, whichever comes first. With ``anneal`` the rate falls linearly
        to 5 % over the second half; a model that keeps being refined relies on its averaged weights instead.

        Raises:
            ValueError: the memory is empty. DivergedTraining: see :class:`Trainer`.
        """
        episodes = self.memory.training
        if not episodes:
            raise ValueError("there are no episodes to adapt the world model to")
        if self.trainer.updates == 0:
            self.trainer.fit_statistics(episodes)
        self._remember()
        logs: Logs = {}
        began = time.monotonic()
        for update in range(updates):
            done = max(update / updates, (time.monotonic() - began) / seconds)
            if done >= 1.0:
                break
            logs = self.trainer.update(episodes, min(1.0, max(0.05, 2.0 * (1.0 - done))) if anneal else 1.0)
            if progress is not None:
                progress(update, logs)
        return logs

    def _remember(self) -> None:
        """Renew the exemplars where episodes came since."""
        if self.memory.added != self._remembered and self.memory.training:
            self.trainer.remember(self.memory.training)
            self._remembered = self.memory.added

    def release(self, progress: Progress | None = None, batch_size: int = 32) -> Evaluation | None:
        """Make the averaged weights the generator, as the next version, and measure it.

        It is measured on held-out episodes (on demonstrations while there are none), ``batch_size`` segments
        at a time. Weights with a NaN are not released.
        """
        state = self.trainer.averaged.state_dict()
        if all(bool(value.isfinite().all()) for value in state.values()):
            self.generator.load_state_dict(state)
            self._remember()
            self.generator.bank = self.trainer.averaged.bank
            self.imagination.world_model_version += 1
        self.evaluation = evaluate(
            self.generator,
            self.memory.held_out or self.memory.training[-4:],
            self.gate,
            progress=progress,
            batch_size=batch_size,
        )
        return self.evaluation

    def start_again(self) -> None:
        """Start training again after :class:`DivergedTraining`.

        It goes on from the weights that were released last, or from the beginning if none were.
        """
        updates, seed = self.trainer.updates, self.config.seed + self.trainer.updates + 1
        self.trainer = Trainer(replace(self.config, seed=seed), self.law)
        if self.version:
            self.trainer.model.load_state_dict(self.generator.state_dict())
            self.trainer.averaged.load_state_dict(self.generator.state_dict())
            self.trainer.updates = updates
        self._remembered = -1

    @cpu_piece("reward refits")
    def fit_reward_model(self, imagined_segments: int = 64, progress: Progress | None = None) -> RewardReport:
        """Train the classifier on the run's episodes and on what a person labelled.

        Generated frames of real actions are added once there is a generator.

        Raises:
            ValueError: there is no success, or no failure.
        """
        imagined = None
        if self.version and imagined_segments:
            imagined = self._imagined_frames(imagined_segments, progress)
        return fit_reward_model(self.reward_model, self.memory.training, imagined, progress, self.recorded)

    def _imagined_frames(self, count: int, progress: Progress | None) -> LabelledFrames | None:
        """Generated frames of real actions, with the real labels.

        They are near the ends of successes and from anywhere. None if no segment is long enough to have any.
        """
        episodes, horizon = self.memory.training, self.config.horizon
        config = self.reward_model.config
        where = random_starts(episodes, count, self._rng)
        ends = [i for i, episode in enumerate(episodes) if episode.success and len(episode) >= horizon]
        if ends:
            chosen = self._rng.choice(ends, count)
            early = self._rng.integers(0, horizon // 2 + 1, count)
            where = [
                (int(i), max(0, len(episodes[i]) - horizon + int(e)))
                for i, e in zip(chosen, early, strict=True)
            ] + where
        twins = []
        for start in range(0, len(where), TWINS_AT_ONCE):
            if progress is not None:
                progress(f"imagining frames with known labels, {start} of {len(where)} segments")
            part = segments(episodes, where[start : start + TWINS_AT_ONCE], horizon)
            until = np.where(self._rng.random(len(part)) < 0.5, ALL, part.step)
            made = self.generator.imagine(
                part.first,
                part.current,
                part.first_proprio,
                part.proprio[:, 0],
                part.actions,
                own=own_frames(episodes, part.episode, until),
                commanded=part.commanded,
                evidence=self.generator.abduce(episodes, part.episode, until),
            )
            off = np.linalg.norm(made.proprio[..., :3] - part.proprio[:, 1:, :3], axis=-1) > TWIN_TOLERANCE
            for i in range(len(part)):
                steps = int((part.valid[i] & (np.cumsum(off[i]) == 0)).sum())
                source = episodes[part.episode[i]]
                ended = source.success and part.step[i] + steps == len(source)
                if steps > config.hold:
                    twins.append(
                        Episode(
                            made.images[i, :steps],
                            made.proprio[i, :steps],
                            part.actions[i, : steps - 1],
                            bool(ended),
                        )
                    )
        if not twins:
            return None
        order = self._rng.permutation(len(twins))
        return labelled_frames([twins[i] for i in order], config.hold, config.near, unsure=1)

    def save(self, path: Path, extra: Mapping[str, Any] | None = None) -> None:
        """Everything but the episodes, atomically; ``extra`` are counters of the caller's. Raises OSError."""
        tensors = {f"model.{k}": v for k, v in self.trainer.model.state_dict().items()}
        tensors |= {f"averaged.{k}": v for k, v in self.trainer.averaged.state_dict().items()}
        tensors |= {f"generator.{k}": v for k, v in self.generator.state_dict().items()}
        tensors |= {f"reward.{k}": v for k, v in self.reward_model.state_dict().items()}
        tensors |= {f"optimizer.{k}": v for k, v in self.trainer.optimizer.state().items()}
        counters = {
            "version": self.version,
            "updates": self.trainer.updates,
            "config": asdict(self.config),
            "evaluation": None if self.evaluation is None else self.evaluation.to_mapping(),
            "extra": dict(extra or {}),
        }
        model_file.write(path, tensors, counters)

    def load(self, path: Path) -> dict[str, Any]:
        """The inverse of :meth:`save`; returns the ``extra`` counters.

        Exemplars come from the episodes: if those are added later, call :meth:`renew_exemplars` then.

        Raises:
            CheckpointError: nothing has changed then.
        """
        tensors, counters = model_file.read(path)
        if _size(counters.get("config", {})) != _size(asdict(self.config)):
            raise CheckpointError(
                f"checkpoint {path} is of another world model: {counters.get('config')}; "
                "resume with its configuration"
            )

        def part(prefix: str) -> dict[str, model_file.Tensor]:
            return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}

        modules = {
            "model.": self.trainer.model,
            "averaged.": self.trainer.averaged,
            "generator.": self.generator,
            "reward.": self.reward_model,
        }
        for prefix, module in modules.items():
            if set(part(prefix)) != set(module.state_dict()):
                raise CheckpointError(f"checkpoint {path} is of another version of the {prefix[:-1]}")
        for prefix, module in modules.items():
            shapes = {name: value.shape for name, value in module.state_dict().items()}
            if {name: value.shape for name, value in part(prefix).items()} != shapes:
                raise CheckpointError(
                    f"checkpoint {path} has another size of the {prefix[:-1]}: resume with its configuration"
                )
        try:
            updates, version = int(counters["updates"]), int(counters["version"])
            told = counters.get("evaluation")
            evaluation = Evaluation.from_mapping(told) if told else None
            extra = dict(counters.get("extra", {}))
            self.trainer.optimizer.load_state(part("optimizer."))
        except (AttributeError, LookupError, TypeError, ValueError) as problem:
            raise CheckpointError(
                f"checkpoint {path} is of another world model ({problem}); resume with its configuration"
            ) from problem
        for prefix, module in modules.items():
            module.load_state_dict(part(prefix))
        self.trainer.updates, self.imagination.world_model_version = updates, version
        self.evaluation = evaluation
        self.renew_exemplars()
        return extra

    def renew_exemplars(self) -> None:
        """Take exemplars from the episodes that are there now, also for the generator."""
        self._remember()
        self.generator.bank = self.trainer.averaged.bank


def _size(config: dict[str, object]) -> dict[str, object]:
    """The part of a configuration that decides the shapes of the weights."""
    names = ("image_size", "width", "latent", "members", "flow_modes", "keypoints")
    return {name: config.get(name) for name in names}

"""The learning side: transitions in, updates, weights out. Drives encoder, replay and SAC (or another
algorithm in its place); knows nothing of ROS."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from worldsample_core.config import TaskConfig
from worldsample_core.observation import PROPRIO_DIM, VIEWS, InvalidObservation, Observation
from worldsample_core.synthetic import SyntheticSegment
from worldsample_core.transition import Transition
from worldsample_policy.algorithms.algorithm import Algorithm, make_algorithm
from worldsample_policy.encoders.frozen_encoder import Frames, random_shift, shifted_copies
from worldsample_policy.learner_config import LearnerConfig
from worldsample_policy.learning import checkpoint_directory
from worldsample_policy.learning.checkpoint_directory import CheckpointError
from worldsample_policy.pacing.policy_paced_learning import PacingReport, PolicyPacedMixer
from worldsample_policy.replay.data_mixer import DataMixer, RealData
from worldsample_policy.replay.replay import Batch, FrameStore, Replay
from worldsample_policy.replay.synthetic_replay import Provenance, SyntheticReplay
from worldsample_policy.sac.agent import Agent
from worldsample_policy.sac.flat_parameters import FlatParameters
from worldsample_policy.sac.policy_export import POLICY

GRIPPER_OPENING = 6
"""Index of the gripper's opening in the proprioception."""


class Learner:
    """SAC on prior data over encoded frames (HiL-SERL's learner); with `config.algorithm`, another way to
    learn the same policy (:mod:`worldsample_policy.algorithms.algorithm`).

    Use: `add` demonstrations, `adapt_encoder`, optionally `pretrain`; then for each real transition `add`,
    then `config.utd` times `update`; now and then `actor_state` to publish and `save`.
    """

    def __init__(self, config: LearnerConfig, task: TaskConfig, mixer: DataMixer | None = None) -> None:
        self.config, self.task = config, task
        self.device = torch.device(config.device)
        agent = Agent(config, task.active, task.gamma, views=len(VIEWS), proprio=PROPRIO_DIM)
        agent.encoder.prepare()
        self.agent = agent.to(self.device)
        self.sac = sac = agent.sac
        self.shift_pixels = max(1, round(config.image_size * config.shift_fraction))
        learned = config.encoder == "learned"

        def frame_store(copies: int) -> FrameStore:
            return FrameStore(
                1 if learned else copies,
                self.agent.encoder.latent_shape,
                torch.uint8 if learned else torch.float16,
                PROPRIO_DIM,
                self.device,
            )

        self.replay = Replay(config.replay_capacity, frame_store(config.augmentations), config.seed)
        self.synthetic = SyntheticReplay(
            config.synthetic_capacity,
            frame_store(config.synthetic_augmentations),
            config.synthetic_versions,
            config.seed,
        )
        self.pacing: PolicyPacedMixer | None = None
        if config.pacing:
            self.pacing = PolicyPacedMixer(self.replay, self.synthetic, config, task)
        self.mixer: DataMixer = mixer or self.pacing or RealData(self.replay)
        self.generator = torch.Generator(self.device).manual_seed(config.seed)

        self.algorithm: Algorithm | None = make_algorithm(self)
        self.trained: dict[str, list[FlatParameters]]
        rates: dict[str, float] = {}
        if self.algorithm is not None:
            rates = self.algorithm.rates
            self.trained = {name: [self.algorithm.parameters] for name in rates}
        else:
            sac.flatten()
            self.trained = {
                "critic": [sac.flat_projection, sac.flat_critics],
                "actor": [sac.flat_actor, sac.flat_projection]
                if config.actor_trains_head
                else [sac.flat_actor],
                "temperature": [sac.flat_temperature],
            }
        self.optimizers = {
            name: torch.optim.Adam([p.flat for p in parts], rates.get(name, config.lr), fused=True)
            for name, parts in self.trained.items()
        }
        self.critic_loss, self.actor_loss = sac.critic_loss, sac.actor_loss
        if config.compile:
            self.critic_loss, self.actor_loss = torch.compile(sac.critic_loss), torch.compile(sac.actor_loss)
        if config.matmul_precision != "highest":
            torch.set_float32_matmul_precision(config.matmul_precision)
        self.updates = 0
        """Gradient updates done, skipped ones included."""
        self.skipped_updates = 0
        """Updates left out because a loss or a gradient was not finite."""
        self.real_steps = 0
        """Policy transitions (with or without intervention) in replay or evicted from it."""
        self.demo_steps = 0
        """Demonstration transitions, likewise."""
        self.checkpoint_seq = 0
        """`replay.next_seq` of the checkpoint that was loaded: add the transitions below it before the first
        update."""
        self._waiting: list[Transition] = []
        self._noise_pool: Tensor | None = None
        self._last: tuple[Transition, int] | None = None

    # --- data in --------------------------------------------------------------------------------------------

    def add(self, transition: Transition) -> bool:
        """Take one transition; False where its seq was here already. Its frames are encoded now, or once the
        encoder is.

        Raises InvalidObservation on a malformed transition, which is then not counted as received.
        """
        transition.validate()
        size = self.config.image_size
        if transition.observation.size != (size, size):
            raise InvalidObservation(
                f"images are {transition.observation.size}, the learner was made for {(size, size)}: "
                "set learner.image_size to the size that the cameras node sends"
            )
        if not self.replay.seen.add(transition.seq):
            return False
        if transition.source == "demo":
            self.demo_steps += 1
        else:
            self.real_steps += 1
        if bool(self.agent.encoder.fitted):
            self._insert(transition)
        else:
            self._waiting.append(transition)
        return True

    @torch.no_grad()
    def add_synthetic(self, segment: SyntheticSegment) -> bool:
        """Queue an imagined segment, where the guards let it in; every refusal is counted by its reason.

        Returns whether it was queued. Without Policy-Paced Learning or an algorithm that imagines, or before
        the encoder is fitted, nothing is.
        """
        pacing, algorithm = self.pacing, self.algorithm
        if (pacing is None and algorithm is None) or not bool(self.agent.encoder.fitted):
            return False
        size = self.config.image_size
        try:
            segment.validate()
            if segment.images.shape[2] != size:
                raise InvalidObservation(f"imagined images are {segment.images.shape[2]}, not {size}")
            if algorithm is not None:
                return not algorithm.imagined(segment)
            assert pacing is not None
            reason = pacing.reason_to_reject(segment)
        except InvalidObservation:
            reason = "malformed"
        if pacing is None:
            return False
        if reason:
            pacing.rejected[reason] += 1
            return False
        self.queue_segment(segment, pacing.accepted)
        pacing.accepted += 1
        return True

    @torch.no_grad()
    def queue_segment(self, segment: SyntheticSegment, number: int) -> None:
        """Encode a segment that is let in, into the synthetic replay; `number` of those so far."""
        rng = np.random.default_rng([self.config.seed, 13, number])
        copies = self.synthetic.frames.copies
        images = torch.from_numpy(segment.images)
        shifted = torch.cat([shifted_copies(frame, copies, self.shift_pixels, rng) for frame in images])
        latents = self.agent.encoder(shifted.to(self.device)).unflatten(0, (len(images), copies))
        proprio = self.agent.standardise(torch.from_numpy(segment.proprio).to(self.device))
        self.synthetic.add(
            latents,
            proprio,
            segment.actions,
            segment.rewards,
            segment.terminated,
            segment.proprio[:-1, GRIPPER_OPENING],
            segment.success,
            Provenance(segment.source_episode, segment.source_step, segment.world_model_version),
            self.sac.gamma if segment.on_policy and self.config.synthetic_returns == "multi_step" else None,
        )

    @torch.no_grad()
    def encode_frames(
        self, images: npt.NDArray[np.uint8], proprio: npt.NDArray[np.float32]
    ) -> tuple[Tensor, Tensor]:
        """Latents (N, *latent_shape) as frames are stored, and standardised proprioception (N, P), of frames
        (N, V, H, W, 3) and (N, P), unshifted."""
        latent = self.agent.encoder(torch.from_numpy(np.ascontiguousarray(images)).to(self.device))
        state = self.agent.standardise(torch.from_numpy(np.ascontiguousarray(proprio)).to(self.device))
        return latent.to(self.replay.frames.latents.dtype), state

    @staticmethod
    def floating(latent: Tensor) -> Tensor:
        """Stored latents as the networks take them (`learned`: images stay bytes)."""
        return latent if latent.dtype == torch.uint8 else latent.float()

    @property
    def detail(self) -> str:
        """What an algorithm in place of SAC did with what was imagined; "" for SAC."""
        return "" if self.algorithm is None else self.algorithm.detail

    def pacing_status(self) -> PacingReport | None:
        """What Policy-Paced Learning does at the moment; None where it is switched off."""
        return None if self.pacing is None else self.pacing.report()

    def adapt_encoder(
        self, frames: Frames | None = None, progress: Callable[[dict[str, float]], None] | None = None
    ) -> dict[str, float]:
        """Fit the encoder and the proprioception's statistics on the transitions that wait (and on `frames`
        (N, V, H, W, 3), where given), freeze both, and encode what waits.

        Returns what the training measured. Raises LookupError where there is nothing to fit on.
        """
        waiting = [t.observation for t in self._waiting]
        waiting += [t.next_observation for t in self._waiting if t.last]
        images = np.stack([o.images for o in waiting]) if waiting else None
        if frames is not None:
            images = frames if images is None else np.concatenate((images, frames))
        if images is None:
            raise LookupError("there are no frames to adapt the encoder to: add the demonstrations first")
        logs = self.agent.encoder.fit(images, progress)
        if waiting:
            self.agent.fit_proprio(np.stack([o.proprio for o in waiting]))
        transitions, self._waiting = self._waiting, []
        for transition in transitions:
            self._insert(transition)
        return logs

    def _insert(self, transition: Transition) -> None:
        observation = self._known_frame(transition)
        if observation is None:
            observation = self._encode(transition.observation, transition.seq, 0)
        next_observation = self._encode(transition.next_observation, transition.seq, 1)
        self.replay.append(
            observation,
            next_observation,
            transition.action,
            transition.reward,
            transition.terminated,
            float(transition.observation.proprio[GRIPPER_OPENING]),
            demonstration=transition.source == "demo",
            intervention=transition.intervention
            and (self.algorithm is None or self.config.imitate_interventions),
        )
        self._last = (transition, next_observation)
        if self.algorithm is not None:
            self.algorithm.took(transition)

    def _known_frame(self, transition: Transition) -> int | None:
        """The frame of the observation, where it is the next frame of the transition before."""
        if self._last is None:
            return None
        last, frame = self._last
        expected = (last.source, last.episode, last.step + 1)
        if (transition.source, transition.episode, transition.step) != expected:
            return None
        known, new = last.next_observation, transition.observation
        same = np.array_equal(known.proprio, new.proprio) and np.array_equal(known.images, new.images)
        return frame if same else None

    @torch.no_grad()
    def _encode(self, observation: Observation, seq: int, which: int) -> int:
        """Store a frame's K copies; the shifts depend on (seed, seq) only, so that a replay rebuilt is the
        same."""
        rng = np.random.default_rng([self.config.seed, seq, which])
        copies = self.replay.frames.copies
        images = shifted_copies(torch.from_numpy(observation.images), copies, self.shift_pixels, rng)
        latents = self.agent.encoder(images.to(self.device))
        proprio = self.agent.standardise(torch.from_numpy(observation.proprio).to(self.device)[None])
        return self.replay.frames.put(latents, proprio[0])

    # --- updates --------------------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether training may start: the encoder is fitted and enough real steps are there."""
        return bool(self.agent.encoder.fitted) and self.real_steps >= self.config.training_starts

    def pretrain(self, updates: int | None = None) -> dict[str, float]:
        """Full updates with behaviour cloning on what the replay holds (the demonstrations); with an
        algorithm, its imitation of them. Returns the last logs."""
        logs: dict[str, float] = {}
        for _ in range(self.config.updates_before if updates is None else updates):
            if self.algorithm is not None:
                logs = self._step("imitation", *self.algorithm.imitation_loss())
                continue
            logs = self.update(full=True, bc_weight=self.config.pretrain_bc_weight)
        return logs

    def bc_weight(self) -> float:
        """Weight of behaviour cloning at this update."""
        config = self.config
        if config.bc_weight == 0.0 or config.bc_decay_updates == 0:
            return config.bc_weight
        return config.bc_weight * max(0.0, 1.0 - self.updates / config.bc_decay_updates)

    def update(self, full: bool | None = None, bc_weight: float | None = None) -> dict[str, float]:
        """One update: the critics, and on every `critic_actor_ratio`-th (or `full`) also actor and
        temperature; with an algorithm, one of its own, {} where it has nothing to learn from yet.

        Returns the losses and statistics as floats. The update ends at the first loss or gradient that is not
        finite, without a step on it; it is counted in `skipped_updates` and the logs are {"skipped": 1.0}.
        Raises LookupError on an empty replay.
        """
        if self.algorithm is not None:
            found = self.algorithm.loss()
            if found is not None:
                return self._step(*found)
            self.updates += 1
            return {}
        sac = self.sac
        self.mixer.real_steps = self.real_steps
        mixture = self.mixer.sample(self.config.batch_size)
        real = self.augment(mixture.real)
        if full is None:
            full = (self.updates + 1) % self.config.critic_actor_ratio == 0
        self.updates += 1

        features = sac.features(real)
        loss, logs = self.critic_loss(real, features, self._noise(real))
        if mixture.synthetic is not None and mixture.rho > 0.0:
            synthetic = self.augment(mixture.synthetic)
            imagined_features = sac.features(synthetic)
            with torch.no_grad():
                q = sac.critic(imagined_features, sac.continuous(synthetic.action)).mean(0)
            selected = self.mixer.weigh(q, float(logs["q_mean"]))
            imagined, imagined_logs = self.critic_loss(
                synthetic, imagined_features, self._noise(synthetic), selected
            )
            loss = loss + mixture.rho * imagined
            logs.update({f"synthetic/{name}": value for name, value in imagined_logs.items()})
        if not self.apply("critic", loss, logs):
            return self._skip()
        sac.soft_update()

        if full:
            states = sac.features(real) if self.config.actor_trains_head else features.detach()
            weight = self.bc_weight() if bc_weight is None else bc_weight
            loss, actor_logs = self.actor_loss(real, states, self._noise(real), weight)
            logs.update(actor_logs)
            if not self.apply("actor", loss, logs):
                return self._skip()
            loss, temperature_logs = sac.temperature_loss(actor_logs["entropy"])
            logs.update(temperature_logs)
            if not self.apply("temperature", loss, logs):
                return self._skip()
            self.mixer.observe_entropy(float(actor_logs["entropy"]))
        return {name: float(value) for name, value in logs.items()}

    def _step(self, name: str, loss: Tensor, logs: dict[str, Tensor]) -> dict[str, float]:
        """An update of an algorithm's."""
        self.updates += 1
        if not self.apply(name, loss, logs):
            return self._skip()
        return {key: float(value) for key, value in logs.items()}

    def augment(self, batch: Batch) -> Batch:
        """Random shifts of images (`learned`); `latent_noise` on latents, which were shifted on arrival.

        The noise is a random stretch of one drawn pool: fresh noise would cost as much as a network.
        """
        if self.config.encoder == "learned":
            return batch._replace(
                latent=random_shift(batch.latent, self.shift_pixels, self.generator),
                next_latent=random_shift(batch.next_latent, self.shift_pixels, self.generator),
            )
        if self.config.latent_noise == 0.0:
            return batch
        size = batch.latent.numel()
        if self._noise_pool is None or len(self._noise_pool) < 4 * size:
            # Of the seed only, so that it is the same after a resume.
            generator = torch.Generator(self.device).manual_seed(self.config.seed + 1)
            self._noise_pool = torch.randn(4 * size, generator=generator, device=self.device)
        starts = torch.randint(3 * size, (2,), generator=self.generator, device=self.device).tolist()
        latent, next_latent = (
            torch.add(x, self._noise_pool[start : start + size].view_as(x), alpha=self.config.latent_noise)
            for x, start in zip((batch.latent, batch.next_latent), starts, strict=True)
        )
        return batch._replace(latent=latent, next_latent=next_latent)

    def _noise(self, batch: Batch) -> Tensor:
        return self.sac.noise(len(batch.reward), self.generator)

    def apply(self, name: str, loss: Tensor, logs: dict[str, Tensor]) -> bool:
        """One optimizer step of the parameters `name` (only) on `loss`; False, changing nothing, where the
        loss or its gradient is not finite."""
        parts = self.trained[name]
        gradients = iter(torch.autograd.grad(loss, [p for part in parts for p in part.parameters]))
        flat = [part.flatten(islice(gradients, len(part.parameters))) for part in parts]
        norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in flat]))
        if not math.isfinite(float(norm) + float(loss.detach())):
            return False
        if self.config.max_grad_norm > 0.0:
            torch._foreach_mul_(flat, (self.config.max_grad_norm / (norm + 1e-6)).clamp_max(1.0))
        for part, gradient in zip(parts, flat, strict=True):
            part.flat.grad = gradient
        self.optimizers[name].step()
        logs[f"{name}_grad_norm"] = norm
        return True

    def _skip(self) -> dict[str, float]:
        self.skipped_updates += 1
        return {"skipped": 1.0}

    # --- weights and checkpoints ----------------------------------------------------------------------------

    def published(self, version: int) -> None:
        """`actor_state`, as it is, is about to act under this version."""
        if self.algorithm is not None:
            self.algorithm.published(version)

    def architecture(self) -> dict[str, Any]:
        """What a receiver of `actor_state` must have been built as."""
        return self.agent.architecture()

    def actor_state(self) -> dict[str, npt.NDArray[Any]]:
        """The weights that acting needs, the encoder's included, for `Actor.load` and
        `worldsample_core.messages.weights.pack`.

        Raises FloatingPointError if a value is not finite: such weights are never published.
        """
        return self.agent.actor_state()

    def save(self, directory: Path, replay: bool = False) -> None:
        """Write a checkpoint, whole or not at all: all networks, optimizers, generators, counters; with
        `replay` also the replay (otherwise it is rebuilt by `add`-ing the same transitions in order of
        seq).

        Raises OSError (a full disk), leaving an older checkpoint whole; RuntimeError where `replay` is asked
        for while transitions wait for the encoder.
        """
        if replay and self._waiting:
            raise RuntimeError("the replay is not encoded yet: adapt the encoder first, or save without it")
        model = {name: value for name, value in self.agent.state_dict().items()}
        optimizer = {
            f"{name}.{index}.{key}": value
            for name, optim in self.optimizers.items()
            for index, state in optim.state_dict()["state"].items()
            for key, value in state.items()
        }
        files: dict[str, dict[str, Tensor]] = {
            "model": model,
            "optimizer": optimizer,
            "generator": {"state": self.generator.get_state()},
        }
        counters: dict[str, Any] = {
            "architecture": self.architecture(),
            "updates": self.updates,
            "skipped_updates": self.skipped_updates,
            "real_steps": self.real_steps,
            "demo_steps": self.demo_steps,
            "has_replay": replay,
            "replay": self.replay.counters(),
            "pacing": None if self.pacing is None else self.pacing.state(),
        }
        if self.algorithm is not None:
            counters["algorithm"] = self.algorithm.state()
        if replay:
            files["replay"] = self.replay.state()[0]
        checkpoint_directory.write(Path(directory), files, counters)

    def load(self, directory: Path) -> None:
        """Continue from a checkpoint exactly. Where it holds no replay, `add` the transitions with seq below
        `checkpoint_seq` again, in order, before the next update.

        Raises CheckpointError when it is damaged, incomplete or of other networks; the learner is then
        unchanged.
        """
        files, counters = checkpoint_directory.read(Path(directory))
        if counters.get("architecture") != self.architecture():
            raise CheckpointError(
                f"checkpoint {directory} is of other networks ({counters.get('architecture')}) than the "
                f"configuration describes ({self.architecture()}): use the run's own config.yaml"
            )
        if POLICY in files:
            raise CheckpointError(
                f"checkpoint {directory} is an exported policy, which acts and does not learn: resume the "
                "run that it was exported from"
            )
        try:
            self.agent.load_state_dict(files["model"])
            for name, optimizer in self.optimizers.items():
                state: dict[int, dict[str, Tensor]] = {}
                for key, value in files["optimizer"].items():
                    owner, index, field = key.split(".")
                    if owner == name:
                        state.setdefault(int(index), {})[field] = value
                optimizer.load_state_dict(
                    {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
                )
            self.generator.set_state(files["generator"]["state"])
            self.updates, self.skipped_updates = counters["updates"], counters["skipped_updates"]
            self.checkpoint_seq = counters["replay"]["next_seq"]
            self._waiting, self._last = [], None
            if self.pacing is not None and counters.get("pacing"):
                self.pacing.load_state(counters["pacing"])
            if self.algorithm is not None:
                self.algorithm.load_state(counters["algorithm"], counters["has_replay"])
            if counters["has_replay"]:
                self.replay.load_state(files["replay"], counters["replay"])
                self.real_steps, self.demo_steps = counters["real_steps"], counters["demo_steps"]
            else:
                self.replay.clear()
                self.replay.rng.bit_generator.state = counters["replay"]["rng"]
                self.real_steps = self.demo_steps = 0
        except (KeyError, RuntimeError) as error:
            raise CheckpointError(f"checkpoint {directory} does not fit this learner: {error}") from error

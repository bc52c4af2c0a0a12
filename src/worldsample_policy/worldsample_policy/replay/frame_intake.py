"""Real and imagined frames on their way into the replays: encoded once, on arrival."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from worldsample_core.observation import PROPRIO_DIM, Observation
from worldsample_core.synthetic import SyntheticSegment
from worldsample_core.transition import Transition
from worldsample_policy.encoders.random_shift import random_shift, shifted_copies
from worldsample_policy.learner_config import LearnerConfig
from worldsample_policy.replay.replay import Batch, FrameStore, Replay
from worldsample_policy.replay.synthetic_replay import Provenance, SyntheticReplay
from worldsample_policy.sac.agent import Agent

GRIPPER_OPENING = 6
"""Index of the gripper's opening in the proprioception."""


class FrameIntake:
    """The replays, and the only way into them.

    Attributes:
        agent: all networks; its encoder must be fitted before anything is stored.
        replay: real transitions. synthetic: imagined ones.
        generator: draws whatever updates need: augmentation, the policy's noise.
    """

    def __init__(self, config: LearnerConfig, agent: Agent, device: torch.device) -> None:
        self.config, self.agent, self.device = config, agent, device
        self.shift_pixels = max(1, round(config.image_size * config.shift_fraction))
        self.replay = Replay(config.replay_capacity, self._frame_store(config.augmentations), config.seed)
        self.synthetic = SyntheticReplay(
            config.synthetic_capacity,
            self._frame_store(config.synthetic_augmentations),
            config.synthetic_versions,
            config.seed,
        )
        self.generator = torch.Generator(device).manual_seed(config.seed)
        self._noise_pool: Tensor | None = None
        self._masks: Tensor | None = None
        self._last: tuple[Transition, int] | None = None

    def _frame_store(self, copies: int) -> FrameStore:
        learned = self.config.encoder == "learned"
        return FrameStore(
            1 if learned else copies,
            self.agent.encoder.latent_shape,
            torch.uint8 if learned else torch.float16,
            PROPRIO_DIM,
            self.device,
        )

    # --- real frames ----------------------------------------------------------------------------------------

    def store(self, transition: Transition, intervention: bool, failed: bool = False) -> None:
        """Append a real transition.

        `intervention`: it goes into the demonstrations, too; `failed`: of a demonstration that failed.
        """
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
            demonstration=transition.source == "demo" and not failed,
            intervention=intervention,
            intended=transition.intended,
            place=(transition.source, transition.episode, transition.step),
        )
        self._last = (transition, next_observation)

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
        """Store a frame's K copies, and return their number in the store.

        The shifts depend on (seed, seq) only, so that a replay rebuilt is the same.
        """
        rng = np.random.default_rng([self.config.seed, seq, which])
        copies = self.replay.frames.copies
        images = shifted_copies(torch.from_numpy(observation.images), copies, self.shift_pixels, rng)
        latents = self.agent.encoder(images.to(self.device))
        proprio = self.agent.standardise(torch.from_numpy(observation.proprio).to(self.device)[None])
        return self.replay.frames.put(latents, proprio[0])

    # --- imagined frames ------------------------------------------------------------------------------------

    @torch.no_grad()
    def queue(self, segment: SyntheticSegment, number: int) -> None:
        """Encode an imagined segment that is let in, into the synthetic replay; `number` of those so far."""
        rng = np.random.default_rng([self.config.seed, 13, number])
        copies = self.synthetic.frames.copies
        images = torch.from_numpy(segment.images)
        shifted = torch.cat([shifted_copies(frame, copies, self.shift_pixels, rng) for frame in images])
        latents = self.agent.encoder(shifted.to(self.device)).unflatten(0, (len(images), copies))
        proprio = self.agent.standardise(torch.from_numpy(segment.proprio).to(self.device))
        multi_step = segment.on_policy and self.config.synthetic_returns == "multi_step"
        self.synthetic.add(
            latents,
            proprio,
            segment.actions if segment.intended is None else segment.intended,
            segment.rewards,
            segment.terminated,
            segment.proprio[:-1, GRIPPER_OPENING],
            segment.success,
            Provenance(segment.source_episode, segment.source_step, segment.world_model_version),
            self.agent.sac.gamma if multi_step else None,
            segment.intended is not None,
        )

    @torch.no_grad()
    def encode(
        self, images: npt.NDArray[np.uint8], proprio: npt.NDArray[np.float32]
    ) -> tuple[Tensor, Tensor]:
        """Latents (N, *latent_shape) as frames are stored, and standardised proprioception (N, P).

        images: (N, V, H, W, 3), not shifted. proprio: (N, P).
        """
        latent = self.agent.encoder(torch.from_numpy(np.ascontiguousarray(images)).to(self.device))
        state = self.agent.standardise(torch.from_numpy(np.ascontiguousarray(proprio)).to(self.device))
        return latent.to(self.replay.frames.latents.dtype), state

    # --- batches --------------------------------------------------------------------------------------------

    def augment(self, batch: Batch) -> Batch:
        """Shift images at random (`learned`), or add `latent_noise` to latents (shifted on arrival).

        The noise is a random stretch of one drawn pool: fresh noise would cost as much as a network.
        """
        if self.config.encoder == "learned":
            return batch._replace(
                latent=random_shift(batch.latent, self.shift_pixels, self.generator),
                next_latent=random_shift(batch.next_latent, self.shift_pixels, self.generator),
            )
        if self.config.dropout > 0.0:
            batch = batch._replace(latent=self._dropped(batch.latent))
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

    def _dropped(self, latent: Tensor) -> Tensor:
        """The latents without a random share of them, the others grown by as much.

        Each row of the batch takes a random stretch of one drawn pool of masks.
        """
        size = latent[0].numel()
        if self._masks is None:
            generator = torch.Generator(self.device).manual_seed(self.config.seed + 2)
            kept = torch.rand(64 * size, generator=generator, device=self.device) >= self.config.dropout
            self._masks = kept.float() / (1.0 - self.config.dropout)
        starts = torch.randint(63 * size, (len(latent),), generator=self.generator, device=self.device)
        masks = self._masks.unfold(0, size, 1)[starts]
        return latent * masks.view_as(latent)


def floating(latent: Tensor) -> Tensor:
    """Stored latents as the networks take them (`learned`: images stay bytes)."""
    return latent if latent.dtype == torch.uint8 else latent.float()

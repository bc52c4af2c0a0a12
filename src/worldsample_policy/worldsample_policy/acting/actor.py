"""The acting side: one observation in, one action out, in a few milliseconds on one thread."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from worldsample_core.config import TaskConfig
from worldsample_core.node.cpu_account import cpu_piece
from worldsample_core.observation import PROPRIO_DIM, VIEWS, InvalidObservation, Observation
from worldsample_policy.learner_config import LearnerConfig
from worldsample_policy.sac.agent import Agent
from worldsample_policy.sac.networks import GRIPPER_COMMANDS
from worldsample_policy.sac.sac import GRIPPER


@dataclass(frozen=True)
class ActInfo:
    """Internals of the policy at one action.

    Attributes:
        log_prob: nats, of the continuous action; 0 with `deterministic`.
        entropy: nats, of the Gaussian before tanh, summed over dimensions.
        gripper_values: Q of close, hold, open, if the task has a gripper.
    """

    log_prob: float
    entropy: float
    gripper_values: tuple[float, ...] = ()


class Actor:
    """The policy as the robot runs it. Until `load`, it acts with random weights."""

    def __init__(self, config: LearnerConfig, task: TaskConfig, seed: int | None = None) -> None:
        self.config = config
        self.agent = Agent(
            config.for_acting, task.active, task.gamma, views=len(VIEWS), proprio=PROPRIO_DIM
        ).eval()
        self.agent.requires_grad_(False)
        self.active = self.agent.sac.active.numpy()
        self.seed(config.seed if seed is None else seed)

    def seed(self, seed: int) -> None:
        """Restart the exploration noise: the same seed, weights and observations give the same actions."""
        self.rng = np.random.default_rng([seed, 7])

    def architecture(self) -> dict[str, Any]:
        """Description of the networks that weights must have been made for (`messages.weights.unpack`)."""
        return self.agent.architecture()

    def load(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take weights as `Learner.actor_state` gives them.

        Raises:
            ValueError: they do not fit; the old ones stay.
        """
        self.agent.load_actor_state(state)

    @torch.inference_mode()
    @cpu_piece("acting")
    def act(
        self, observation: Observation, deterministic: bool = False
    ) -> tuple[npt.NDArray[np.float32], ActInfo]:
        """Action (7,) float32 in [-1, 1] with inactive dimensions 0.

        Raises InvalidObservation on an image of another size than the configuration's.
        """
        size = self.config.image_size
        if observation.images.shape != (len(VIEWS), size, size, 3):
            raise InvalidObservation(
                f"images are {observation.images.shape}, the policy was made for "
                f"({len(VIEWS)}, {size}, {size}, 3): "
                "set learner.image_size to the size that the cameras node sends"
            )
        agent, sac = self.agent, self.agent.sac
        latent = agent.encoder(torch.from_numpy(observation.images)[None])
        proprio = agent.standardise(torch.from_numpy(observation.proprio)[None])
        features = sac.policy_features(latent, proprio)
        mean, log_std = sac.actor(features)
        entropy = float(log_std.sum()) + 0.5 * sac.actions * math.log(2.0 * math.pi * math.e)
        action = np.zeros(7, np.float32)
        log_prob = 0.0
        if deterministic:
            action[self.active] = torch.tanh(mean)[0].numpy()
        else:
            noise = torch.from_numpy(self.rng.standard_normal((1, sac.actions), np.float32))
            sample = sac.actor.sample(features, noise)
            action[self.active] = sample.action[0].numpy()
            log_prob = float(sample.log_prob)
        values: tuple[float, ...] = ()
        if sac.gripper is not None:
            values = tuple(sac.gripper_values(latent, proprio, features)[0].tolist())
            choice = int(np.argmax(values))
            if not deterministic and self.rng.random() < self.config.gripper_epsilon:
                choice = int(self.rng.integers(len(GRIPPER_COMMANDS)))
            action[GRIPPER] = GRIPPER_COMMANDS[choice]
        return action, ActInfo(log_prob, entropy, values)

"""The policy on batches of imagined observations, for the world model."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from worldsample_core.config import TaskConfig, from_mapping
from worldsample_core.messages.weights import InvalidWeights, PackedWeights, Tensors, unpack
from worldsample_core.node.cpu_account import cpu_piece
from worldsample_core.observation import PROPRIO_DIM, VIEWS
from worldsample_core.settings import Settings
from worldsample_policy.algorithms.make_algorithm import algorithm_class
from worldsample_policy.learner_config import LearnerConfig
from worldsample_policy.sac.agent import Agent
from worldsample_policy.sac.networks import GRIPPER_COMMANDS
from worldsample_policy.sac.sac import GRIPPER

KEPT = 16
"""Versions of the weights that are kept: an episode is imagined with the weights that acted in it."""


class BatchActor:
    """See :class:`worldsample_core.imagined_policy.ImaginedPolicy`."""

    def __init__(self, config: LearnerConfig, task: TaskConfig) -> None:
        self.config = config
        self.agent = Agent(
            config.for_acting, task.active, task.gamma, views=len(VIEWS), proprio=PROPRIO_DIM
        ).eval()
        self.agent.requires_grad_(False).to(config.device)
        self._active = self.agent.sac.active.cpu().numpy()
        self._samples_gripper = algorithm_class(config.algorithm).samples_gripper
        self._kept: dict[int, Tensors] = {}
        self._used = 0

    def receive(self, packed: PackedWeights) -> None:
        """Raises InvalidWeights: damaged, not finite, or of another network; nothing has changed."""
        if packed.version in self._kept:
            return
        tensors = unpack(packed, self.agent.architecture())
        try:
            self.agent.check_actor_state(tensors)
        except ValueError as error:
            raise InvalidWeights(str(error)) from error
        self._kept[packed.version] = tensors
        for version in sorted(self._kept)[:-KEPT]:
            del self._kept[version]

    def use(self, version: int) -> int:
        """The version in use from now on; 0: none is there."""
        if not self._kept:
            return self._used
        older = [kept for kept in self._kept if kept <= version]
        chosen = max(older) if older else min(self._kept)
        if chosen != self._used:
            try:
                self.agent.load_actor_state(self._kept[chosen])
            except ValueError as error:
                raise InvalidWeights(str(error)) from error
            self._used = chosen
        return chosen

    @torch.inference_mode()
    @cpu_piece("the policy in the imagination")
    def act(
        self, images: NDArray[np.uint8], proprio: NDArray[np.float32], rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """Samples of the policy, ``(B, 7) float32``; inactive dimensions are 0."""
        agent, sac = self.agent, self.agent.sac
        device = agent.proprio_mean.device
        latent = agent.encoder(torch.from_numpy(np.ascontiguousarray(images)).to(device))
        state = agent.standardise(torch.from_numpy(proprio).to(device))
        features = sac.policy_features(latent, state)
        noise = torch.from_numpy(rng.standard_normal((len(images), sac.actions), np.float32)).to(device)
        actions = np.zeros((len(images), 7), np.float32)
        actions[:, self._active] = sac.actor.sample(features, noise).action.cpu().numpy()
        if sac.gripper is not None:
            values = sac.gripper_values(latent, state, features).cpu().numpy()
            if self._samples_gripper:  # its values are logits
                values = values + rng.gumbel(size=values.shape)
            choice = values.argmax(1)
            actions[:, GRIPPER] = np.array(GRIPPER_COMMANDS, np.float32)[choice]
        return actions


def make(settings: Settings) -> BatchActor:
    """Make the policy of a run, on the world model's device. Raises ConfigError."""
    device = settings.worldmodel.get("model", {}).get("device", "cpu")
    config = from_mapping(LearnerConfig, {**settings.learner, "device": device}, "learner")
    return BatchActor(config, settings.task)

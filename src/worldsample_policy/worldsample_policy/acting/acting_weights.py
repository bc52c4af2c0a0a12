"""The actor in use and the one being prepared: new weights never cost a control tick."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsample_core.checkpoint_error import CheckpointError
from worldsample_core.config import TaskConfig
from worldsample_core.messages.weights import InvalidWeights, PackedWeights, unpack
from worldsample_core.node.cpu_account import cpu_piece
from worldsample_core.observation import Observation
from worldsample_policy.acting.actor import Actor
from worldsample_policy.acting.weights_switch import ReadyWeights, WeightsSwitch
from worldsample_policy.learner_config import LearnerConfig
from worldsample_policy.learning import checkpoint_directory
from worldsample_policy.sac.policy_export import acting_weights_of


class ActingWeights:
    """Two actors: the one that acts, and a spare one that takes new weights.

    In real time the thread that receives weights checks them and loads them into the spare actor; the acting
    thread only swaps. In lockstep they wait for their step and are loaded there.

    Attributes:
        rejected: weights that were refused; the policy kept acting on the old ones.
        latency_ms: of the last weights: from publication to the control step that takes them (nan before).
    """

    def __init__(self, config: LearnerConfig, task: TaskConfig, switch: WeightsSwitch) -> None:
        self.switch = switch
        self._actor, self._spare = Actor(config, task), Actor(config, task)
        self._architecture = self._actor.architecture()
        self._lock = threading.Lock()
        self._arrived: deque[ReadyWeights] = deque()
        self._highest = 0
        self.rejected = 0
        self.latency_ms = math.nan

    @cpu_piece("weights in")
    def receive(self, packed: PackedWeights, published: float) -> None:
        """Check weights and prepare them. From any thread. published: s, wall clock.

        Raises:
            InvalidWeights: damaged, not finite, or of another network; nothing has changed.
        """
        if packed.version <= self._highest:
            return
        try:
            tensors = unpack(packed, self._architecture)
            if not self.switch.lockstep:
                with self._lock:
                    self._spare.load(tensors)
                    self._add(packed, None, published)
            else:
                self._spare.agent.check_actor_state(tensors)
                self._add(packed, tensors, published)
        except ValueError as error:
            self.rejected += 1
            raise InvalidWeights(str(error)) from error

    def _add(self, packed: PackedWeights, tensors: Any, published: float) -> None:
        self._highest = packed.version
        self._arrived.append(
            ReadyWeights(
                packed.version, packed.updates, packed.effective_step, tensors, time.monotonic(), published
            )
        )

    def collect(self) -> bool:
        """Hand what has arrived to the switch. Of the acting thread. True where something new had arrived."""
        new = False
        while self._arrived:
            new = self.switch.offer(self._arrived.popleft()) or new
        return new

    def load_due(self, real_steps: int) -> None:
        """Take the weights that are due at ``real_steps``. Of the acting thread."""
        self.collect()
        if self.switch.lockstep:
            weights = self.switch.due(real_steps)
            if weights is not None:
                self._actor.load(weights.tensors)
                self._note(weights)
            return
        if not self._lock.acquire(blocking=False):
            return  # the next ones are being loaded: take them at the next tick
        try:
            self.collect()
            weights = self.switch.due(real_steps)
            if weights is not None:
                self._actor, self._spare = self._spare, self._actor
                self._actor.rng = self._spare.rng
                self._note(weights)
        finally:
            self._lock.release()

    def _note(self, weights: ReadyWeights) -> None:
        self.latency_ms = 1e3 * (time.time() - weights.published)

    def act(self, observation: Observation, deterministic: bool) -> tuple[NDArray[np.float32], int]:
        """(action (7,), version of the weights)."""
        action, _ = self._actor.act(observation, deterministic)
        return action, self.switch.version

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Copies of the weights that act now, by name."""
        return self._actor.agent.actor_state()

    def seed(self, seed: int) -> None:
        """Restart the exploration noise."""
        self._actor.seed(seed)

    def warm_up(self, image_size: int) -> None:
        """The first inference allocates; do it before the robot waits for it."""
        observation = Observation(
            np.zeros((2, image_size, image_size, 3), np.uint8), np.zeros(10, np.float32)
        )
        for actor in (self._actor, self._spare):
            for _ in range(3):
                actor.act(observation, deterministic=True)
            actor.seed(actor.config.seed)

    def load_checkpoint(self, directory: Path) -> None:
        """Act on the weights of a checkpoint, or of an exported policy, from now on.

        Raises:
            CheckpointError: it is damaged, or of another network.
        """
        files, counters = checkpoint_directory.read(directory)
        if counters.get("architecture") != self._architecture:
            raise CheckpointError(
                f"checkpoint {directory} is of other networks ({counters.get('architecture')}) than the "
                f"configuration describes ({self._architecture}): evaluate it with the config.yaml of its run"
            )
        try:
            self._actor.load(acting_weights_of(files))
        except (KeyError, ValueError, RuntimeError) as error:
            raise CheckpointError(f"checkpoint {directory} does not fit: {error}") from error
        self.switch.newest = self.switch.version = 1
        self.switch.updates = int(counters["updates"])

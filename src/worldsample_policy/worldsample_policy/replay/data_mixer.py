"""The seam where data sources meet: it composes the batch of one update.

Policy-Paced Learning is a mixer with a synthetic part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from worldsample_policy.replay.replay import Batch, Replay


@dataclass(frozen=True)
class Mixture:
    """Data of one update: critic loss = E_real[l] + rho E_syn[w l]; the actor learns on real states."""

    real: Batch
    synthetic: Batch | None = None
    """Imagined transitions; their latents come from the same frozen encoder."""
    rho: float = 0.0


class DataMixer(Protocol):
    """Gives each update its data."""

    real_steps: int
    """Real steps in replay, told before each update."""

    def sample(self, batch_size: int) -> Mixture: ...

    def weigh(self, q: Tensor, q_real: float) -> Tensor | None:
        """Weights w of the synthetic batch that was sampled last, from its values q; None: all 1."""

    def observe_entropy(self, entropy: float) -> None:
        """The policy's entropy on the real batch, nats."""


class RealData:
    """Real transitions only: RLPD's half demonstrations, half online."""

    def __init__(self, replay: Replay) -> None:
        self.replay = replay
        self.real_steps = 0

    def sample(self, batch_size: int) -> Mixture:
        return Mixture(self.replay.sample(batch_size))

    def weigh(self, q: Tensor, q_real: float) -> Tensor | None:
        return None

    def observe_entropy(self, entropy: float) -> None:
        pass

"""Where data sources meet: what one update is made of. Policy-Paced Learning is a mixer with a synthetic
part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from worldsample_policy.replay import Batch, Replay


@dataclass(frozen=True)
class Mixture:
    """Data of one update: critic loss = E_real[l] + rho E_syn[w l]; the actor learns on real states."""

    real: Batch
    synthetic: Batch | None = None
    """Imagined transitions; their latents come from the same frozen encoder."""
    synthetic_weight: Tensor | None = None
    """w (B_syn,), None: 1."""
    rho: float = 0.0


class DataMixer(Protocol):
    """Gives each update its data."""

    def sample(self, batch_size: int) -> Mixture: ...


class RealData:
    """Real transitions only: RLPD's half demonstrations, half online."""

    def __init__(self, replay: Replay) -> None:
        self.replay = replay

    def sample(self, batch_size: int) -> Mixture:
        return Mixture(self.replay.sample(batch_size))

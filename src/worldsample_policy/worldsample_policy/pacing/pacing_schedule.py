"""Weight of imagined data: the uncertainty-guided schedule of Policy-Paced Learning.

    h = clip((H - H_target) / (H_start - H_target), 0, 1)     1 at the start, 0 when certain
    rho(h) = rho_max / (1 + kappa h^p)                         0 in warm-up and while the world model fails

H is the policy's entropy on *real* states, smoothed. The entropy of a tanh-Gaussian can be negative, which is
why it is normalised first. Source: WorldSample (arXiv 2607.02431), as noted by a reader: rho_max = 0.30.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class PacingSchedule:
    """Turns the policy's entropy into rho.

    Attributes:
        rho_max: weight of the synthetic loss for a policy that is certain.
        kappa, power: of the formula; a policy that has learned nothing gets rho_max / (1 + kappa).
        target: H_target, nats; smoothing: weight of the old value per observed entropy.
        start: H_start, nats: the largest smoothed entropy so far; None before the first one.
        entropy: the smoothed entropy, nats.
    """

    rho_max: float = 0.30
    kappa: float = 1.0
    power: float = 1.0
    target: float = -1.5
    smoothing: float = 0.99
    start: float | None = None
    entropy: float | None = None

    def observe(self, entropy: float) -> None:
        """Take the policy's entropy on a batch of real states, nats."""
        if self.entropy is None or self.start is None:
            self.entropy = self.start = entropy
            return
        self.entropy = self.smoothing * self.entropy + (1.0 - self.smoothing) * entropy
        self.start = max(self.start, self.entropy)

    @property
    def normalised(self) -> float:
        """Normalised entropy h in [0, 1]; 1 before anything is known."""
        if self.entropy is None or self.start is None or self.start <= self.target:
            return 1.0 if self.entropy is None else 0.0
        return min(1.0, max(0.0, (self.entropy - self.target) / (self.start - self.target)))

    @property
    def rho(self) -> float:
        """rho(h)."""
        return self.rho_max / (1.0 + self.kappa * self.normalised**self.power)

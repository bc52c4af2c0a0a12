"""Policy-Paced Learning: imagined data enter training in proportion to the policy's readiness.

    L = E_real[l] + rho E_syn[w_Q l]

rho comes from :mod:`pacing_schedule`, the composition of the synthetic batch and w_Q from :mod:`q_selection`,
the transitions from :mod:`synthetic_replay`. Each half can be switched off on its own, for ablation. Source:
WorldSample (arXiv 2607.02431).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from worldsample_core.config import TaskConfig
from worldsample_core.synthetic import SyntheticSegment
from worldsample_policy.learner_config import LearnerConfig
from worldsample_policy.pacing.pacing_schedule import PacingSchedule
from worldsample_policy.pacing.q_selection import importance_weights, success_share
from worldsample_policy.pacing.synthetic_guards import reason_to_reject
from worldsample_policy.replay.data_mixer import Mixture
from worldsample_policy.replay.replay import Replay
from worldsample_policy.replay.synthetic_replay import SyntheticReplay

Q_SMOOTHING = 0.98
"""Weight of the old value in the running means of Q, per update."""


@dataclass(frozen=True)
class PacingReport:
    """State of the pacing: the fields of the PacingStatus message, under the names that they have there."""

    enabled: bool
    detail: str
    rho: float
    rho_max: float
    entropy: float
    entropy_normalised: float
    q_real: float
    q_success: float
    q_failure: float
    q_gap: float
    p_success: float
    queue_success: int
    queue_failure: int
    accepted: int
    rejected_uncertainty: int
    rejected_bounds: int
    rejected_label: int
    rejected_stale: int
    rejected_malformed: int


class PolicyPacedMixer:
    """The mixer of WorldSample: real data as RLPD has them, and a paced, selected synthetic batch."""

    def __init__(
        self, replay: Replay, synthetic: SyntheticReplay, config: LearnerConfig, task: TaskConfig
    ) -> None:
        self.replay, self.synthetic, self.config, self.task = replay, synthetic, config, task
        active = sum(bool(a) for a in task.active[:6])
        target = -active / 2 if config.target_entropy is None else config.target_entropy
        self.schedule = PacingSchedule(
            config.rho_max, config.pacing_kappa, config.pacing_power, target, config.pacing_smoothing
        )
        self.world_model_ready = True
        """True if the newest world model passed its held-out gate; otherwise rho is 0."""
        self.real_steps = 0
        """Real steps so far, told by the learner, for the warm-up."""
        self.accepted = 0
        self.rejected: Counter[str] = Counter()
        self.q_real: float | None = None
        self.q_success: float | None = None
        self.q_failure: float | None = None
        self.q_gap = 0.0
        self.p_success = 0.0
        self._successes = 0

    # --- what is admitted -----------------------------------------------------------------------------------

    def reason_to_reject(self, segment: SyntheticSegment) -> str:
        """The guards' reason against a segment: uncertainty, bounds, label or stale; "" if they accept it."""
        return reason_to_reject(segment, self.config, self.task, self.synthetic.newest)

    # --- what an update is made of --------------------------------------------------------------------------

    @property
    def closed_because(self) -> str:
        """Why rho is zero; "" where it is not."""
        if not self.config.pacing:
            return "switched off"
        if self.real_steps < self.config.pacing_warmup:
            return f"warm-up: {self.real_steps} of {self.config.pacing_warmup} real steps"
        if not self.world_model_ready:
            return "the world model fails its held-out gate"
        if len(self.synthetic) < self.config.synthetic_batch:
            return f"{len(self.synthetic)} of {self.config.synthetic_batch} imagined transitions are there"
        return ""

    @property
    def rho(self) -> float:
        """Weight of the synthetic loss now."""
        if self.closed_because:
            return 0.0
        return self.schedule.rho if self.config.pacing_schedule else self.config.rho_max

    def sample(self, batch_size: int) -> Mixture:
        """Real data, and synthetic ones where they may count."""
        real = self.replay.sample(batch_size)
        rho = self.rho
        if rho <= 0.0:
            return Mixture(real)
        count = self.config.synthetic_batch
        successes, failures = len(self.synthetic.success), len(self.synthetic.failure)
        if not successes or not failures:
            share = float(successes > 0)
        elif self.config.pacing_selection and None not in (self.q_real, self.q_success, self.q_failure):
            share = success_share(
                self.q_real or 0.0,
                self.q_success or 0.0,
                self.q_failure or 0.0,
                self.config.success_share_min,
                self.config.success_share_max,
            )
        else:
            share = successes / (successes + failures)
        self.p_success = share
        self._successes = round(share * count)
        synthetic = self.synthetic.sample(self._successes, count - self._successes)
        return Mixture(real, synthetic, rho)

    def weigh(self, q: Tensor, q_real: float) -> Tensor | None:
        """w_Q (B_syn,) of the batch that was sampled last, None for 1.

        Args:
            q: (B_syn,), the critics' mean on it. q_real: mean Q of the real batch of the same update.
        """
        self.q_real = _running(self.q_real, q_real)
        if self._successes:
            self.q_success = _running(self.q_success, float(q[: self._successes].mean()))
        if self._successes < len(q):
            self.q_failure = _running(self.q_failure, float(q[self._successes :].mean()))
        if not self.config.pacing_selection:
            self.q_gap = abs(float(q.mean()) - q_real)
            return None
        weight = importance_weights(q, self.q_real, self.config.q_gap_limit)
        self.q_gap = abs(float((weight * q).mean()) - self.q_real)
        return weight

    def observe_entropy(self, entropy: float) -> None:
        """The policy's entropy on a batch of real states, nats."""
        self.schedule.observe(entropy)

    # --- for people and for checkpoints ---------------------------------------------------------------------

    def report(self) -> PacingReport:
        """The current figures; 0 where nothing is known yet."""
        return PacingReport(
            enabled=self.config.pacing,
            detail=self.closed_because,
            rho=self.rho,
            rho_max=self.config.rho_max,
            entropy=self.schedule.entropy or 0.0,
            entropy_normalised=self.schedule.normalised,
            q_real=self.q_real or 0.0,
            q_success=self.q_success or 0.0,
            q_failure=self.q_failure or 0.0,
            q_gap=self.q_gap,
            p_success=self.p_success,
            queue_success=len(self.synthetic.success),
            queue_failure=len(self.synthetic.failure),
            accepted=self.accepted,
            rejected_uncertainty=self.rejected["uncertainty"],
            rejected_bounds=self.rejected["bounds"],
            rejected_label=self.rejected["label"],
            rejected_stale=self.rejected["stale"],
            rejected_malformed=self.rejected["malformed"],
        )

    def state(self) -> dict[str, Any]:
        """JSON-able, for a checkpoint. The queues are not in it: they are filled again."""
        return {
            "start": self.schedule.start,
            "entropy": self.schedule.entropy,
            "q": [self.q_real, self.q_success, self.q_failure],
            "accepted": self.accepted,
            "rejected": dict(self.rejected),
            "rng": self.synthetic.rng.bit_generator.state,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """The inverse of :meth:`state`."""
        self.schedule.start, self.schedule.entropy = state["start"], state["entropy"]
        self.q_real, self.q_success, self.q_failure = state["q"]
        self.accepted, self.rejected = state["accepted"], Counter(state["rejected"])
        self.synthetic.rng.bit_generator.state = state["rng"]


def _running(old: float | None, new: float) -> float:
    return new if old is None else Q_SMOOTHING * old + (1.0 - Q_SMOOTHING) * new

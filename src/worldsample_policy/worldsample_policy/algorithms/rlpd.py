"""RLPD: soft actor-critic on prior data, with a paced share of imagined transitions.

HiL-SERL is this without imagined data, WorldSample is this with them. One update:

    critics      L = E_real[l] + rho E_syn[w_Q l],   l = sum_e (Q_e(s, a) - y)^2
    targets      theta' <- (1 - tau) theta' + tau theta
    actor        L = E_real[alpha log pi(a|s) - mean_e Q_e(s, a)] + w_bc E_demo[-log pi(a_demo|s)]
                   + w_im w_bc E_correction[-log pi(a_intended|s)]
                   + rho w_a E_syn[alpha log pi(a|s) - mean_e Q_e(s, a)]
    temperature  L = alpha (H - H_target)

Critics and targets learn at every update, actor and temperature at every `critic_actor_ratio`-th. Half of the
real batch are demonstrations and interventions. rho and w_Q come from Policy-Paced Learning
(:mod:`worldsample_policy.pacing`). The losses stand in :mod:`worldsample_policy.sac.sac`.

Sources: RLPD (ikostrikov/rlpd), HiL-SERL (rail-berkeley/hil-serl), WorldSample (arXiv 2607.02431).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from worldsample_core.config import TaskConfig
from worldsample_core.node.cpu_account import cpu_piece
from worldsample_core.synthetic import SyntheticSegment
from worldsample_policy.algorithms.algorithm import Algorithm
from worldsample_policy.pacing.policy_paced_learning import PacingReport, PolicyPacedMixer
from worldsample_policy.replay.data_mixer import DataMixer, RealData
from worldsample_policy.replay.frame_intake import FrameIntake
from worldsample_policy.replay.replay import Batch
from worldsample_policy.sac.optimiser_step import OptimiserStep
from worldsample_policy.sac.sac import Logs


class RLPD(Algorithm):
    """SAC on prior data; with `learner.pacing` also on what world models imagine.

    Attributes:
        pacing: Policy-Paced Learning; None where it is switched off.
        mixer: what each update is made of.
    """

    name = "sac"

    def __init__(self, intake: FrameIntake, task: TaskConfig) -> None:
        super().__init__(intake, task)
        sac, config = self.sac, self.config
        self.pacing: PolicyPacedMixer | None = None
        if config.pacing:
            self.pacing = PolicyPacedMixer(intake.replay, intake.synthetic, config, task)
        self.mixer: DataMixer = self.pacing or RealData(intake.replay)
        sac.flatten()
        shared = config.actor_trains_head and not config.policy_head
        self.trained = {
            "critic": [sac.flat_projection, sac.flat_critics],
            "actor": [sac.flat_actor, sac.flat_projection] if shared else [sac.flat_actor],
            "temperature": [sac.flat_temperature],
        }
        self.critic_loss, self.actor_loss = sac.critic_loss, sac.actor_loss
        if config.compile:
            self.critic_loss, self.actor_loss = torch.compile(sac.critic_loss), torch.compile(sac.actor_loss)

    # --- updates --------------------------------------------------------------------------------------------

    def pretrain(self, step: OptimiserStep) -> Logs:
        """Clone the demonstrations; where the heads are the critics', with a full update around it."""
        if not self.config.policy_head:
            return self._update(step, full=True, bc_weight=self.config.pretrain_bc_weight)
        sac = self.sac
        batch = self.intake.augment(self.mixer.sample(self.config.batch_size).real)
        states = sac.actor_states(batch, None, self.generator)
        loss = self.config.pretrain_bc_weight * sac.cloning_loss(batch, states)
        logs = {"bc_loss": loss.detach()}
        step.apply("actor", loss, logs)
        sac.average_actor()
        return logs

    def update(self, step: OptimiserStep, number: int, real_steps: int) -> Logs:
        """Do the update `number`; every `critic_actor_ratio`-th is a full one."""
        self.mixer.real_steps = real_steps
        full = number % self.config.critic_actor_ratio == 0
        with cpu_piece("updates, full" if full else "updates, critics only"):
            return self._update(step, full, self.bc_weight(number))

    def _update(self, step: OptimiserStep, full: bool, bc_weight: float) -> Logs:
        sac, config = self.sac, self.config
        mixture = self.mixer.sample(self.config.batch_size)
        real = self.intake.augment(mixture.real)

        # Critics: L = E_real[l] + rho E_syn[w_Q l]
        features = sac.features(real, self.generator)
        loss, logs = self.critic_loss(real, features, self._noise(real))
        imagined: tuple[Batch, Tensor] | None = None
        if mixture.synthetic is not None and mixture.rho > 0.0:
            synthetic = self.intake.augment(mixture.synthetic)
            imagined = synthetic, sac.features(synthetic, self.generator)
            with torch.no_grad():
                q = sac.critic(imagined[1], sac.continuous(synthetic.action)).mean(0)
            w_q = self.mixer.weigh(q, float(logs["q_mean"]))
            imagined_loss, imagined_logs = self.critic_loss(*imagined, self._noise(synthetic), w_q)
            loss = loss + mixture.rho * imagined_loss
            logs.update({f"synthetic/{name}": value for name, value in imagined_logs.items()})
        step.apply("critic", loss, logs)

        # Targets: theta' <- (1 - tau) theta' + tau theta
        sac.soft_update()
        if not full:
            return logs

        # Actor: L = E_real[alpha log pi - Q] + w_bc E_demo[-log pi(a_demo|s)], and of imagined states
        loss, actor_logs = self._actor_loss(real, features, bc_weight)
        logs.update(actor_logs)
        if imagined is not None and config.imagined_actor > 0.0:
            on_imagined, imagined_logs = self._actor_loss(*imagined, 0.0)
            loss = loss + mixture.rho * config.imagined_actor * on_imagined
            logs.update({f"synthetic/{name}": value for name, value in imagined_logs.items()})
        if self.clones_corrections:
            shown = self.intake.augment(self.intake.synthetic.sample_corrections(config.correction_batch))
            cloning = sac.cloning_loss(shown, sac.actor_states(shown, None, self.generator))
            loss = loss + config.imagined_cloning * bc_weight * cloning
            logs["synthetic/bc_loss"] = cloning.detach()
        step.apply("actor", loss, logs)
        sac.average_actor()

        # Temperature: L = alpha (H - H_target)
        loss, temperature_logs = sac.temperature_loss(actor_logs["entropy"])
        logs.update(temperature_logs)
        step.apply("temperature", loss, logs)
        self.mixer.observe_entropy(float(actor_logs["entropy"]))
        return logs

    def _actor_loss(self, batch: Batch, features: Tensor, bc_weight: float) -> tuple[Tensor, Logs]:
        """The actor's loss on a batch's states; features (B, F): those of the critics there."""
        states = self.sac.actor_states(batch, features, self.generator)
        values_of = features.detach() if self.config.policy_head else None
        return self.actor_loss(batch, states, self._noise(batch), bc_weight, values_of)

    @property
    def clones_corrections(self) -> bool:
        """True if corrections are cloned: enough are there, of a world model that passes its test."""
        if self.pacing is None or not self.config.imagined_cloning or not self.pacing.world_model_ready:
            return False
        return len(self.intake.synthetic.corrections) >= self.config.correction_batch

    def bc_weight(self, number: int) -> float:
        """Weight of behaviour cloning at the update `number`: falls to 0 over `bc_decay_updates`, if set."""
        config = self.config
        if config.bc_weight == 0.0 or config.bc_decay_updates == 0:
            return config.bc_weight
        return config.bc_weight * max(0.0, 1.0 - number / config.bc_decay_updates)

    def _noise(self, batch: Batch) -> Tensor:
        return self.sac.noise(len(batch.reward), self.generator)

    # --- data -----------------------------------------------------------------------------------------------

    @property
    def imitates_interventions(self) -> bool:
        """True: an intervention enters the demonstrations and the online buffer [HiL-SERL]."""
        return True

    def admit(self, segment: SyntheticSegment) -> bool:
        """Queue an imagined segment where the guards let it in; count every refusal by its reason."""
        if self.pacing is None or (segment.intended is not None and not self.config.imagined_cloning):
            return False
        reason = self.pacing.reason_to_reject(segment)
        if reason:
            self.pacing.rejected[reason] += 1
            return False
        self.intake.queue(segment, self.pacing.accepted)
        self.pacing.accepted += 1
        return True

    def refused_malformed(self) -> None:
        """Count an imagined segment that was malformed."""
        if self.pacing is not None:
            self.pacing.rejected["malformed"] += 1

    def gate(self, is_open: bool) -> None:
        """Note whether the newest world model passes its held-out test; rho is 0 while it does not."""
        if self.pacing is not None:
            self.pacing.world_model_ready = is_open

    # --- for people, and for checkpoints --------------------------------------------------------------------

    def pacing_report(self) -> PacingReport | None:
        """Figures of Policy-Paced Learning at the moment; None where it is switched off."""
        return None if self.pacing is None else self.pacing.report()

    def counters(self) -> dict[str, Any]:
        """State of the pacing."""
        return {"pacing": None if self.pacing is None else self.pacing.state()}

    def load_counters(self, counters: dict[str, Any], with_replay: bool) -> None:
        """Take what `counters` gave; a checkpoint without pacing leaves the pacing at its start."""
        if self.pacing is not None and counters.get("pacing"):
            self.pacing.load_state(counters["pacing"])

"""The dynamics: an ensemble of recurrent networks that follow the actions in a small latent state.

Every member predicts the proprioception of each step as a Gaussian, and carries what the pixels need to know
(does the finger touch, how deep is it pressed) in its hidden state. A segment is imagined with one member
from its beginning to its end: equal actions may end differently where the members do not agree, which is
where the future is uncertain. Training follows the means, so the deviation of step h is that of the whole
error after h steps. Where ``noise`` is set, it is drawn once per segment and added to the mean of each step,

    x_h = mean_h + noise * sigma_h z,   z ~ N(0, 1) once per segment,

and never fed back, where it would be counted again at every step.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldsample_core.observation import ACTION_DIM, PROPRIO_DIM, VIEWS
from worldsample_worldmodel.model.abduction import Evidence


class State(NamedTuple):
    """State of M members: hidden ``(M, B, L)``, proprio ``(M, B, 10)``, standardised."""

    hidden: Tensor
    proprio: Tensor


class Step(NamedTuple):
    """One step of M members, in standardised proprioception.

    Attributes:
        hidden: ``(M, B, L)``.
        mean, log_deviation: ``(M, B, 10)``.
        sample: ``(M, B, 10)``, drawn from them.
    """

    hidden: Tensor
    mean: Tensor
    log_deviation: Tensor
    sample: Tensor

    @property
    def state(self) -> State:
        """State at which the next step begins."""
        return State(self.hidden, self.mean)


class Rollout(NamedTuple):
    """H of them: hidden ``(M, B, H, L)``; mean, log_deviation and sample ``(M, B, H, 10)``."""

    hidden: Tensor
    mean: Tensor
    log_deviation: Tensor
    sample: Tensor


POSITION = 3


def known_inputs(proprio: Tensor, action: Tensor, before: Tensor | None, after: Tensor | None) -> Tensor:
    """Inputs of a member's linear part, (B, 23).

    They are proprio (B, 10), action (B, 7), the motion that is asked for (3), and the motion that had been
    asked for and was not done (3). The motions go from the arm's position to the positions (B, 3) that are
    commanded ``before`` and ``after`` the action, standardised (:mod:`worldsample_core.arm.command_law`). So
    the networks know how far the arm is asked to go, and that it stops at a wall or at the end of its reach;
    an arm far behind its command is held by something. If no command is known: the action itself, and
    nothing.
    """
    at = proprio[..., :POSITION]
    action = action.expand(*proprio.shape[:-1], ACTION_DIM)
    if before is None or after is None:
        return torch.cat([proprio, action, action[..., :POSITION], torch.zeros_like(at)], -1)
    return torch.cat([proprio, action, after - at, before - at], -1)


INPUTS = PROPRIO_DIM + ACTION_DIM + 2 * POSITION


LEAST_STEP = 0.02
"""Smallest unit in which changes are learned, in standardised proprioception."""


class Member(nn.Module):
    """One recurrent network: (hidden, proprio, action) -> hidden, and the proprioception that follows."""

    def __init__(self, latent: int, summary: int) -> None:
        super().__init__()
        self.start = nn.Sequential(
            nn.Linear(summary * len(VIEWS) + 2 * PROPRIO_DIM, latent), nn.LayerNorm(latent), nn.SiLU(),
            nn.Linear(latent, latent), nn.Tanh(),
        )  # fmt: skip
        self.cell = nn.GRUCell(INPUTS, latent)
        self.change = nn.Sequential(
            nn.Linear(latent + INPUTS, latent),
            nn.SiLU(),
            nn.Linear(latent, 2 * PROPRIO_DIM),
        )
        nn.init.normal_(self.change[2].weight, std=0.01)  # type: ignore[arg-type]
        nn.init.zeros_(self.change[2].bias)  # type: ignore[arg-type]
        self.linear = nn.Linear(INPUTS, PROPRIO_DIM)  # see Dynamics.identify
        self.linear.requires_grad_(False)
        self.register_buffer("step", torch.ones(PROPRIO_DIM))

    step: Tensor


class Ensemble(NamedTuple):
    """The weights of all M members side by side: one batched product computes what M small ones would.

    Matrices are ``(M, inputs, outputs)``, vectors ``(M, 1, outputs)``. ``known_weight`` joins what sees the
    known inputs: the gates of the GRU, the first layer of the change, and the linear part.
    """

    start_weight: Tensor
    start_bias: Tensor
    norm_weight: Tensor
    norm_bias: Tensor
    latent_weight: Tensor
    latent_bias: Tensor
    known_weight: Tensor
    known_bias: Tensor
    gate_weight: Tensor
    gate_bias: Tensor
    hidden_weight: Tensor
    change_weight: Tensor
    change_bias: Tensor
    step: Tensor

    def begin(self, summary: Tensor, proprio: Tensor, first_proprio: Tensor) -> State:
        """Start B segments: summary (B, 2 * 256), proprio and first_proprio (B, 10), standardised."""
        seen = torch.cat([summary, proprio, first_proprio], 1).expand(len(self.step), -1, -1)
        latent = torch.baddbmm(self.start_bias, seen, self.start_weight)
        latent = F.layer_norm(latent, latent.shape[-1:]) * self.norm_weight + self.norm_bias
        hidden = torch.baddbmm(self.latent_bias, F.silu(latent), self.latent_weight).tanh()
        return State(hidden, proprio.expand(len(hidden), *proprio.shape))

    def advance(self, hidden: Tensor, known: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Take one step with inputs ``known`` (M, B, 23).

        Returns: hidden (M, B, L); change of proprioception and log deviation, (M, B, 10).
        """
        latent = hidden.shape[-1]
        gates, new, first, linear = torch.baddbmm(self.known_bias, known, self.known_weight).split(
            [2 * latent, latent, latent, PROPRIO_DIM], -1
        )
        own_gates, own_new = torch.baddbmm(self.gate_bias, hidden, self.gate_weight).split(
            [2 * latent, latent], -1
        )
        reset, update = (gates + own_gates).sigmoid().chunk(2, -1)
        hidden = torch.lerp((new + reset * own_new).tanh(), hidden, update)
        first = F.silu(torch.baddbmm(first, hidden, self.hidden_weight))
        change, log_deviation = torch.baddbmm(self.change_bias, first, self.change_weight).chunk(2, -1)
        log_deviation = self.step.log() - 1.0 + 2.5 * torch.tanh(log_deviation / 2.5)
        return hidden, linear + self.step * change, log_deviation

    def follow(
        self,
        state: State,
        action: Tensor,
        noise: Tensor | None = None,
        before: Tensor | None = None,
        after: Tensor | None = None,
        evidence: Evidence | None = None,
    ) -> Step:
        """Take one step with all members.

        Args:
            action: ``(B, 7)``. noise: ``(B, 10)``, z; None for the mean.
            before, after: ``(B, 3)``, the positions that are commanded before and after the action,
                standardised; None where they are not known.
            evidence: of the segments' own episodes, if any.
        """
        known = known_inputs(state.proprio, action, before, after)
        hidden, change, log_deviation = self.advance(state.hidden, known)
        mean = state.proprio + change
        if evidence is not None:
            mean = mean + evidence.correction(known)
        return Step(
            hidden, mean, log_deviation, mean if noise is None else mean + log_deviation.exp() * noise
        )


class Dynamics(nn.Module):
    """The ensemble."""

    def __init__(self, latent: int, summary: int, members: int) -> None:
        super().__init__()
        self.members = nn.ModuleList(Member(latent, summary) for _ in range(members))

    @property
    def each(self) -> list[Member]:
        """The members, by their type."""
        return [member for member in self.members if isinstance(member, Member)]

    @torch.no_grad()
    def identify(
        self,
        proprio: Tensor,
        actions: Tensor,
        following: Tensor,
        varied: Tensor,
        before: Tensor | None = None,
        after: Tensor | None = None,
    ) -> None:
        """Identify the linear system: the least-squares change of proprioception (N, 10, standardised).

        The inputs are proprioception, action (N, 7) and commanded positions (N, 3). The networks learn what
        the fit leaves, in units of one step's motion: already two frames of the simulator whose arm is 1 mm
        apart are only 30 dB alike.

        A straight line through a value that hardly varied tells nothing, and leads far away where the value
        varies more. So the fit uses the proprioception that ``varied`` (10,), and not the motion that was not
        done.
        """
        change = following - proprio
        inputs = torch.cat(
            [known_inputs(proprio, actions, before, after), torch.ones_like(proprio[:, :1])], 1
        ).double()
        told = torch.ones(inputs.shape[1], dtype=torch.bool, device=inputs.device)
        told[:PROPRIO_DIM], told[INPUTS - POSITION : INPUTS] = varied, False
        inputs = inputs * told
        ridge = 1e-4 * len(inputs) * torch.eye(inputs.shape[1], dtype=torch.double, device=inputs.device)
        solution = torch.linalg.solve(inputs.T @ inputs + ridge, inputs.T @ change.double()).float()
        for member in self.each:
            member.linear.weight.copy_(solution[:-1].T)
            member.linear.bias.copy_(solution[-1])
            member.step.copy_(change.std(0).clamp_min(LEAST_STEP))

    def ensemble(self) -> Ensemble:
        """Put the members' weights side by side; gradients flow back to each member's own."""
        each = self.each

        def matrix(name: str) -> Tensor:
            return torch.stack([member.get_parameter(name) for member in each]).transpose(1, 2)

        def vector(name: str) -> Tensor:
            return torch.stack([member.get_parameter(name) for member in each])[:, None]

        latent = each[0].cell.hidden_size
        first = matrix("change.0.weight")
        return Ensemble(
            start_weight=matrix("start.0.weight"),
            start_bias=vector("start.0.bias"),
            norm_weight=vector("start.1.weight"),
            norm_bias=vector("start.1.bias"),
            latent_weight=matrix("start.3.weight"),
            latent_bias=vector("start.3.bias"),
            known_weight=torch.cat([matrix("cell.weight_ih"), first[:, latent:], matrix("linear.weight")], 2),
            known_bias=torch.cat([vector("cell.bias_ih"), vector("change.0.bias"), vector("linear.bias")], 2),
            gate_weight=matrix("cell.weight_hh"),
            gate_bias=vector("cell.bias_hh"),
            hidden_weight=first[:, :latent],
            change_weight=matrix("change.2.weight"),
            change_bias=vector("change.2.bias"),
            step=torch.stack([member.step for member in each])[:, None],
        )

    @torch.no_grad()
    def errors(
        self, summary: Tensor, proprio: Tensor, first_proprio: Tensor, known: Tensor, following: Tensor
    ) -> Tensor:
        """Measure how much further real segments went than each member says: ``(N, H, M, 10)``.

        Args:
            summary: ``(N, 2 * 256)``, of the segments' starts. proprio, first_proprio: ``(N, 10)``.
            known: ``(N, H, 23)``, what each real step began with. following: ``(N, H, 10)``, what it led to;
                both from real proprioception.
        """
        ensemble = self.ensemble()
        hidden, errors = ensemble.begin(summary, proprio, first_proprio).hidden, []
        moved = following - known[..., :PROPRIO_DIM]
        for step in range(known.shape[1]):
            hidden, change, _ = ensemble.advance(hidden, known[:, step].expand(len(hidden), -1, -1))
            errors.append(moved[:, step] - change)
        return torch.stack(errors, 2).permute(1, 2, 0, 3)

    @property
    def step(self) -> Tensor:
        """One step's motion, (10,) in standardised proprioception."""
        return self.each[0].step

    def forward(
        self,
        summary: Tensor,
        proprio: Tensor,
        first_proprio: Tensor,
        actions: Tensor,
        noise: Tensor | None = None,
        targets: Tensor | None = None,
        evidence: Evidence | None = None,
    ) -> Rollout:
        """Follow the actions ``(B, H, 7)`` from the start.

        Targets ``(B, H + 1, 3)``, commanded before, between and after the actions, or None; the rest as of
        :meth:`Ensemble.begin` and :meth:`Ensemble.follow`.
        """
        ensemble = self.ensemble()
        state, steps = ensemble.begin(summary, proprio, first_proprio), []
        commanded = [None] * (actions.shape[1] + 1) if targets is None else targets.unbind(1)
        for number, action in enumerate(actions.unbind(1)):
            steps.append(
                ensemble.follow(state, action, noise, commanded[number], commanded[number + 1], evidence)
            )
            state = steps[-1].state
        hidden, mean, log_deviation = (torch.stack(part, 2) for part in list(zip(*steps, strict=True))[:3])
        sample = mean if noise is None else torch.stack([step.sample for step in steps], 2)
        return Rollout(hidden, mean, log_deviation, sample)

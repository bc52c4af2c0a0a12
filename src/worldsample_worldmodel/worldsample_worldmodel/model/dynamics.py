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
    at = proprio[:, :POSITION]
    if before is None or after is None:
        return torch.cat([proprio, action, action[:, :POSITION], torch.zeros_like(at)], 1)
    return torch.cat([proprio, action, after - at, before - at], 1)


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

    def begin(self, summary: Tensor, proprio: Tensor, first_proprio: Tensor) -> Tensor:
        """Hidden state (B, L) where a segment starts."""
        return self.start(torch.cat([summary, proprio, first_proprio], 1))

    def advance(self, hidden: Tensor, known: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One step with inputs ``known`` (B, 23): hidden, change of proprioception, log deviation (B, 10)."""
        hidden = self.cell(known, hidden)
        change, log_deviation = self.change(torch.cat([hidden, known], 1)).chunk(2, 1)
        log_deviation = self.step.log() - 1.0 + 2.5 * torch.tanh(log_deviation / 2.5)
        return hidden, self.linear(known) + self.step * change, log_deviation


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

    @torch.no_grad()
    def errors(
        self, summary: Tensor, proprio: Tensor, first_proprio: Tensor, known: Tensor, following: Tensor
    ) -> Tensor:
        """Errors of the members that follow N real segments of H steps: (N, H, M, 10).

        An error is how much further a real step went than the member says.

        summary (N, 2 * 256) and proprio (N, 10) of their starts, first_proprio (N, 10); known (N, H, 23) and
        following (N, H, 10), what each real step began with and led to, both from real proprioception.
        """
        errors = []
        for member in self.each:
            hidden, own = member.begin(summary, proprio, first_proprio), []
            for step in range(known.shape[1]):
                hidden, change, _ = member.advance(hidden, known[:, step])
                own.append(following[:, step] - known[:, step, :PROPRIO_DIM] - change)
            errors.append(torch.stack(own, 1))
        return torch.stack(errors, 2)

    @property
    def step(self) -> Tensor:
        """One step's motion, (10,) in standardised proprioception."""
        return self.each[0].step

    def begin(self, summary: Tensor, proprio: Tensor, first_proprio: Tensor) -> State:
        """State at the start of B segments.

        summary (B, 2 * 256), proprio and first_proprio (B, 10), standardised.
        """
        hidden = [member.begin(summary, proprio, first_proprio) for member in self.each]
        return State(torch.stack(hidden), proprio.expand(len(hidden), *proprio.shape))

    def follow(
        self,
        state: State,
        action: Tensor,
        noise: Tensor | None = None,
        before: Tensor | None = None,
        after: Tensor | None = None,
        evidence: Evidence | None = None,
    ) -> Step:
        """One step of all members.

        Args:
            action: (B, 7). noise: (B, 10), z, or None for the mean.
            before, after: the positions (B, 3) that are commanded before and after the action, standardised,
                or None.
            evidence: of the segments' own episodes, or None.
        """
        outs = []
        for number, member in enumerate(self.each):
            proprio = state.proprio[number]
            known = known_inputs(proprio, action, before, after)
            hidden, change, log_deviation = member.advance(state.hidden[number], known)
            mean = proprio + change
            if evidence is not None:
                mean = mean + evidence.correction(known, number)
            sample = mean if noise is None else mean + log_deviation.exp() * noise
            outs.append((hidden, mean, log_deviation, sample))
        return Step(*(torch.stack(part) for part in zip(*outs, strict=True)))

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
        """Follow the actions (B, H, 7) from the start.

        The targets (B, H + 1, 3) are commanded before, between and after the actions, or None. The other
        arguments are those of :meth:`begin` and :meth:`follow`.
        """
        state, steps = self.begin(summary, proprio, first_proprio), []
        for number in range(actions.shape[1]):
            before, after = (None, None) if targets is None else targets[:, number : number + 2].unbind(1)
            steps.append(self.follow(state, actions[:, number], noise, before, after, evidence))
            state = steps[-1].state
        return Rollout(*(torch.stack(part, 2) for part in zip(*steps, strict=True)))

"""The simulated cell tick by tick: which commands move it, when a tick may go out, what its status says.

Free of ROS. Lockstep: a command with the stamp of the tick advances the world by one control period, and the
next tick is held until the learner follows. Real time: each control period executes the newest command.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from a1x_sim.lockstep import LearnerPacing
from a1x_sim.sim_config import SimConfig
from worldsample_core.arm.motion_command import Command, Motion, RejectedCommand, check_command
from worldsample_core.node.single_writer import SingleWriter

if TYPE_CHECKING:  # it needs MuJoCo
    from a1x_sim.cell import Cell

FIRST_STAMP = 1_000_000_000
"""Stamp of the first tick in lockstep, ns; zero would read as "no time" in ROS."""
MODES = ("demo", "train", "eval", "label")
NO_MOTION = Motion(np.zeros(3), np.zeros(3), 0, clipped=False)


class RefusedReset(ValueError):
    """A reset that must not be done.

    Attributes:
        taken: another run drives the arm.
    """

    def __init__(self, message: str, taken: bool) -> None:
        super().__init__(message)
        self.taken = taken


class TickingCell:
    """The cell and its current tick.

    Args:
        pacing: in lockstep, paces virtual time; None: real time.
        seed: of the scene before the first reset. stamp: ns, of the first tick.
        now: s, monotonic, as everywhere here.

    Attributes:
        observation: at this tick. stamp: of this tick, ns.
        held: lockstep: this tick has not gone out yet, and commands do not count.
        mode, episode, resets: of the last reset; "" before the first.
        applied, clipped, rejected: counts of commands.
        complaint: why the last command was rejected; "" where it was not.
    """

    def __init__(
        self,
        cell: Cell,
        config: SimConfig,
        pacing: LearnerPacing | None,
        seed: int,
        stamp: int,
        now: float,
    ) -> None:
        self.cell, self._config, self.pacing = cell, config, pacing
        self.observation = cell.reset(seed)
        self.stamp = stamp
        self.held = False
        self.mode, self.episode, self.resets = "", 0, 0
        self.applied = self.clipped = self.rejected = 0
        self.complaint = ""
        self._period_ns = round(cell.config.control_period * 1e9)
        self._pending: Motion | None = None
        self._command_at = now
        self._writer = SingleWriter()

    @property
    def state(self) -> dict[str, float]:
        """The truth at this tick: the cell's state, and which episode it is in."""
        return {
            **self.cell.state(),
            "step": float(self.cell.steps),
            "mode": float(MODES.index(self.mode)) if self.mode else -1.0,
            "episode": float(self.episode),
            "resets": float(self.resets),
        }

    def command(self, command: Command, now: float) -> str:
        """Take a command. Returns why it is rejected; "" where it is not.

        In lockstep the answer to an earlier tick, and the same answer again, are passed over.
        """
        if self.pacing is not None and (command.stamp != self.stamp or self.held):
            return ""
        try:
            motion = self._checked(command)
        except RejectedCommand as problem:
            self.rejected += 1
            self.complaint = f"command rejected: {problem}"
            return self.complaint
        self._command_at, self.complaint = now, ""
        self._writer.seen(now)
        if self.pacing is None:
            self._pending = motion
            return ""
        self._advance(motion)
        self.stamp += self._period_ns
        self.held = True
        if self.mode == "train":
            self.pacing.step_done()
        return ""

    def _checked(self, command: Command) -> Motion:
        age = (self.stamp - command.stamp) * 1e-9
        if self.pacing is None and age > self._config.command_timeout:
            raise RejectedCommand(f"the command answers an observation {age:.2f} s old")
        return check_command(
            command.translation, command.rotation, command.gripper, command.frame, self.cell.config
        )

    def _advance(self, motion: Motion) -> None:
        self.observation = self.cell.move(motion.translation, motion.rotation, motion.gripper)
        if motion is not NO_MOTION:
            self.applied += 1
            self.clipped += motion.clipped or self.cell.at_box_limit or self.cell.at_joint_limit

    def reset(
        self,
        run: str,
        seed: int,
        mode: str,
        episode: int,
        now: float,
        clock: int,
        commanders: frozenset[bytes] = frozenset(),
        asker: bytes = b"",
    ) -> None:
        """Start an episode, whose first tick has not gone out yet.

        Args:
            clock: ns, of this machine; the stamp of the tick in real time.
            commanders: identities of those who publish commands.
            asker: the process that asks for it; b"" where it is not known.

        Raises:
            RefusedReset: unknown mode, or another run or program drives the arm.
        """
        if mode not in MODES:
            raise RefusedReset(f"unknown mode {mode!r}: expected one of {', '.join(MODES)}", taken=False)
        if reason := self._writer.refuses(run, now, commanders, asker):
            raise RefusedReset(reason, taken=True)
        self.mode, self.episode = mode, episode
        self.resets += 1
        self.observation = self.cell.reset(seed)
        self._pending = None
        if self.pacing is None:
            self._stamp_by(clock)
        else:
            self.stamp += self._period_ns
            self.held = True

    def control_period(self, clock: int) -> None:
        """Real time: execute the newest command, or hold the pose. clock: ns, of this machine."""
        motion, self._pending = self._pending or NO_MOTION, None
        self._advance(motion)
        self._stamp_by(clock)

    def _stamp_by(self, clock: int) -> None:
        self.stamp = max(clock, self.stamp + 1)

    def release(self, awake: float) -> bool:
        """Lockstep: true if the held tick is to go out now. It is not held any longer then.

        Args:
            awake: s, of the clock by which the learner is waited for.
        """
        if self.pacing is None or not self.held or not self.pacing.may_go_on(awake):
            return False
        self.held = False
        return True

    def silent_for(self, now: float) -> float:
        """Seconds without a command, where the arm holds its pose because of them; else 0. Real time only."""
        silence = now - self._command_at
        return silence if self.pacing is None and silence > self._config.command_timeout else 0.0

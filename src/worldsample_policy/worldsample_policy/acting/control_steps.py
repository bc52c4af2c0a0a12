"""Control steps: a whole observation in, a command out, in lockstep or at the control rate."""

from __future__ import annotations

import time
from collections.abc import Callable

from worldsample_core.messages.conversions import motion_to_message
from worldsample_msgs.msg import CommandResult, EndEffectorCommand, RobotStatus
from worldsample_policy.acting.acknowledgement import Acknowledgement
from worldsample_policy.acting.cell_input import CellInput
from worldsample_policy.acting.observation_assembly import Tick
from worldsample_policy.acting.policy_loop import PolicyLoop
from worldsample_policy.acting.tick_timing import TickTiming

ANSWER_PATIENCE = 1.5
"""Control periods within which the arm must have answered a command."""


class ControlSteps:
    """Acts while an episode runs; between episodes nothing is sent and the arm holds.

    Args:
        loop: what acts. cell: where observations come from.
        send: publishes a command.
        clock: s, monotonic.
        observed: called with the time, s, when an observation is taken.
        stepped: called after each control step; True where the episode has ended with it.
        answered: whether there is an arm that answers commands (``a1x/executed``).

    Attributes:
        fault: of the arm, in words; "" for none. hold: why the arm holds in real time; "" where it does not.
        timing: how regular the steps are.
        refused: steps that are not recorded, because the arm did not execute their command.
    """

    def __init__(
        self,
        loop: PolicyLoop,
        cell: CellInput,
        send: Callable[[EndEffectorCommand], None],
        clock: Callable[[], float],
        observed: Callable[[float], None],
        stepped: Callable[[bool], None],
        answered: Callable[[], bool] = lambda: False,
    ) -> None:
        self._loop, self._cell, self._send, self._clock = loop, cell, send, clock
        self._observed, self._stepped, self._answered = observed, stepped, answered
        self._lockstep, self._scale = loop.settings.run.lockstep, loop.settings.task.scale
        self.timing = TickTiming(None if self._lockstep else loop.settings.task.control_period)
        period = loop.settings.task.control_period
        self._answer_to_command = Acknowledgement(self._scale[:6], ANSWER_PATIENCE * period)
        self._postponed = False
        self.refused = 0
        self.fault = self.hold = ""
        self._waiting: Tick | None = None
        self._answer: EndEffectorCommand | None = None

    def pause(self) -> None:
        """An episode has ended: the time until the next step is a reset's."""
        self.timing.pause()
        self._answer_to_command.forget()
        self._postponed = False
        self._answer = self._waiting = None

    def on_message(self) -> None:
        """Lockstep: act as soon as a tick is complete."""
        if not self._lockstep or self._loop.state != "running" or self._waiting is not None:
            return
        tick = self._cell.take()
        if tick is not None:
            self._step(tick)

    def on_repeat(self) -> None:
        """Lockstep: the simulator asks for the answer to the last tick again."""
        if self._answer is not None and self._loop.state == "running":
            self._send(self._answer)

    def on_period(self) -> None:
        """Real time: act on the newest messages, if fresh; else the arm gets no command and holds."""
        if self._loop.state != "running":
            return
        self.timing.tick(time.monotonic())
        self._act()

    def on_result(self, message: CommandResult) -> None:
        """Real time: note what the arm has made of a command; act where that was waited for."""
        self._answer_to_command.heard(message)
        if self._postponed and self._loop.state == "running":
            self._act()

    def _act(self) -> None:
        answer = self._answer_to_command
        self._postponed = answer.open(time.monotonic())
        if self._postponed:
            return
        tick = None if self.fault else self._cell.take()
        if answer.refusal or (tick is None and self.fault):
            self.refused += self._loop.drop_step()
        if tick is None:
            self.hold = self.fault or f"holding: {self._cell.explain_missing()}"
            return
        self.hold = f"a step is not recorded: {answer.refusal}" if answer.refusal else ""
        if answer.executed is not None:
            self._loop.take_executed(answer.executed)
        answer.forget()
        self._step(tick)

    def on_robot(self, message: RobotStatus) -> None:
        """Note the state of the arm."""
        fault = message.state == RobotStatus.FAULT
        self.fault = f"the arm reports a fault: {message.detail}" if fault else ""

    def go_on(self) -> None:
        """Act on a tick that waits for weights, if they have come or have been waited for long enough."""
        if self._waiting is not None:
            self._step(self._waiting)

    def _step(self, tick: Tick) -> None:
        now = self._clock()
        self._observed(now)
        self._waiting = tick if self._loop.must_wait(now) else None
        if self._waiting is not None:
            return
        if self._lockstep:
            self.timing.tick(time.monotonic())
        action = self._loop.on_tick(tick)
        if action is None:
            self._answer = None
        else:
            self._answer = motion_to_message(action * self._scale, int(action[6]), tick.stamp)
            self._send(self._answer)
            if not self._lockstep and self._answered():
                self._answer_to_command.sent(tick.stamp, time.monotonic())
        self._stepped(action is None)

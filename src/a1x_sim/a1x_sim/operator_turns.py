"""The scripted operator's answers to the ticks of the simulated cell, episode after episode. Free of ROS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import get_args

from a1x_sim.operator import OperatorConfig, OperatorSignal, Phase, ScriptedOperator
from a1x_sim.tasks import make_task
from worldsample_core.config import from_mapping
from worldsample_core.settings import Settings

PHASES: tuple[Phase, ...] = get_args(Phase)


class OperatorTurns:
    """Takes the state of each tick, notices where an episode begins or ends, and gives the operator's signal.

    Args:
        settings: of the run.
    """

    def __init__(self, settings: Settings) -> None:
        """Raises :class:`ConfigError` where the section ``operator`` cannot be used."""
        config = from_mapping(OperatorConfig, settings.operator, "operator")
        self._operator = ScriptedOperator(
            make_task(settings.task.name, settings.task), settings.run.seed, config
        )
        self._judged = settings.run.judged_by_classifier  # then nobody tells of the simulator's own success
        self._resets = -1.0
        self._phase: Phase = "eval"
        self._succeeded = False

    def answer(self, state: Mapping[str, float]) -> OperatorSignal | None:
        """The signal at a tick; None before the first episode.

        Args:
            state: see :attr:`a1x_sim.ticking_cell.TickingCell.state`.
        """
        mode = int(state["mode"])
        if mode < 0:  # nobody has started an episode yet
            return None
        if state["resets"] != self._resets:
            if self._resets >= 0:
                self._operator.end_episode(self._succeeded, self._phase)
            self._resets, self._phase, self._succeeded = state["resets"], PHASES[mode], False
            self._operator.start_episode(mode, int(state["episode"]))
        signal = self._operator.act(dict(state), self._phase)
        self._succeeded = self._succeeded or signal.success
        hidden = self._judged and self._phase == "train"
        return replace(signal, success=False) if hidden else signal

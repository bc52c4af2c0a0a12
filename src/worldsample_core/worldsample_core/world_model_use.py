"""Settings of the world model that the learner and the graph also need."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from worldsample_core.config import from_mapping
from worldsample_core.units import RealSteps, Seconds


@dataclass(frozen=True)
class WorldModelUse:
    """The part of the section ``worldmodel`` that the learner and the graph read."""

    enabled: bool = False
    """The graph has a world model."""
    nodes: int = 1
    """World-model processes that share the generation; each trains a model of its own."""
    lag: RealSteps = 0
    """Lockstep: time after an episode's end at which the learner uses what was imagined from it. 0: twice the
    task's horizon, rounded up to tens."""
    patience: Seconds = 5.0
    """Lockstep: a world model whose status has not changed for this time is no longer waited for by the
    learner."""
    start_patience: Seconds = 60.0
    """Lockstep: how long the learner waits for the world model's first status after its own start."""

    def __post_init__(self) -> None:
        if not 1 <= self.nodes <= 64:
            raise ValueError(f"nodes must be 1 to 64, got {self.nodes}")
        if self.lag < 0 or self.patience <= 0.0 or self.start_patience <= 0.0:
            raise ValueError("lag must be at least 0, patience and start_patience positive")

    def effective_lag(self, horizon: int) -> int:
        """The lag in real steps, for a task of ``horizon`` control steps."""
        return self.lag or -(-2 * horizon // 10) * 10


def world_model_use(section: Mapping[str, Any]) -> WorldModelUse:
    """Read this part of the section ``worldmodel``.

    Raises:
        ConfigError: a value has the wrong type or is out of range.
    """
    names = {field.name for field in dataclasses.fields(WorldModelUse)}
    known = {name: value for name, value in section.items() if name in names}
    return from_mapping(WorldModelUse, known, "worldmodel")

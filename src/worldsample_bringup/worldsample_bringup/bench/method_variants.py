"""Variants to compare: a method, with settings that take a part of it away; the paper's ablation."""

from __future__ import annotations

import re
from dataclasses import dataclass

from worldsample_bringup.run.configuration import known
from worldsample_core.config import ConfigError, choose

BASELINE, OURS = "hil_serl", "worldsample"
CONTROL = "rlpd_plus"
"""WorldSample without imagination: what OURS has beyond it, its world model has given."""
TASKS = ("pushing", "insertion", "sorting", "pick_place", "assembly")
METHODS = ("vlaw", "wmpo", BASELINE, CONTROL, OURS)
"""Rows of the table: those of the paper in its order, and the control that it lacks."""

NO_SCHEDULE = "learner.pacing_schedule=false"
"""rho stays at its maximum instead of following the policy's entropy."""
NO_SELECTION = "learner.pacing_selection=false"
"""The synthetic batch is drawn uniformly instead of being selected by Q."""


@dataclass(frozen=True)
class Variant:
    """One column of a comparison.

    Attributes:
        name: in tables and results.
        method: a file of config/methods.
        overrides: settings beyond the method's, ``section.key=value``.
    """

    name: str
    method: str
    overrides: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        """Its part of a run folder's name. The plain method's run is the same in every comparison."""
        if not self.overrides:
            return self.method
        return f"{self.method}-{re.sub(r'[^A-Za-z0-9_.-]+', '_', self.name)}"


ABLATION = (
    Variant("full", OURS),
    Variant("no_schedule", OURS, (NO_SCHEDULE,)),
    Variant("no_selection", OURS, (NO_SELECTION,)),
    Variant("neither", OURS, (NO_SCHEDULE, NO_SELECTION)),
    Variant("hil_serl", BASELINE),
)


def method_variants(names: str) -> tuple[Variant, ...]:
    """Methods by their names, separated by commas; ``name+section.key=value`` is one with another setting.

    Raises:
        ConfigError: an unknown one, one named twice, or none.
    """
    methods = [name.strip() for name in names.split(",") if name.strip()]
    if not methods or len(set(methods)) != len(methods):
        raise ConfigError(f"--methods names every method once, separated by commas, got {names!r}")
    variants = []
    for name in methods:
        method, *settings = name.split("+")
        variants.append(Variant(name, choose(method, known("methods"), "method"), tuple(settings)))
    return tuple(variants)


def task_names(names: str) -> tuple[str, ...]:
    """Some of the paper's tasks, by their names, separated by commas; "": all.

    Raises:
        ConfigError: an unknown one.
    """
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    return tuple(choose(name, TASKS, "task") for name in wanted) or TASKS

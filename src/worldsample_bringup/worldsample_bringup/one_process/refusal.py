"""Runs that only the node graph can do are refused in one process, before torch is imported."""

from __future__ import annotations

from worldsample_core.config import ConfigError
from worldsample_core.settings import Settings


def refuse_what_needs_the_graph(settings: Settings) -> None:
    """Raises :class:`ConfigError` where only the node graph can do what is asked."""
    run = settings.run
    if run.has_person:
        raise ConfigError("--one-process has no person who drives: leave out --operator, or --one-process")
    if run.mode != "train" or not run.sim or not run.lockstep:
        raise ConfigError(
            "--one-process trains in the simulated cell, in lockstep: leave out --real and --realtime, or "
            "--one-process"
        )
    nodes = int(settings.worldmodel.get("nodes", 1))
    if nodes > 1:
        raise ConfigError(f"--one-process has one world model, not {nodes}: leave out worldmodel.nodes")

"""The run that is under way, for commands that join it: on which ROS domain it is, and in which folder."""

from __future__ import annotations

import os
from pathlib import Path

from worldsample_bringup.graph.domain import named_domain, runs_on_this_machine
from worldsample_bringup.run.run_folder import RunFolder
from worldsample_core.config import ConfigError


def domain_to_join(run: RunFolder | None) -> int:
    """The ROS domain where a run is: ROS_DOMAIN_ID, or that of the run on this machine, or 0.

    Raises:
        ConfigError: several runs are under way here, or ROS_DOMAIN_ID is not a domain.
    """
    named = named_domain()
    if named is not None:
        return named
    here = runs_on_this_machine()
    if run is not None:
        here = {domain: owner for domain, owner in here.items() if owner.endswith(f" in {run.path}")} or here
    if len(here) > 1:
        lines = [f"  ROS_DOMAIN_ID={domain}: {owner}" for domain, owner in here.items()]
        raise ConfigError("several runs are under way; choose one:\n" + "\n".join(lines))
    if here:
        os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    return next(iter(here), 0)


def run_of_domain(domain: int) -> RunFolder | None:
    """The folder of the run that holds a domain on this machine; None where there is none."""
    path = Path(runs_on_this_machine().get(domain, "").partition(" in ")[2])
    return RunFolder(path) if path.name and (path / "config.yaml").is_file() else None

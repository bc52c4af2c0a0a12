"""``worldsample bench safety``: a run with stand-ins, which :mod:`a1x_driver.safety_measurement` measures."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from worldsample_bringup.graph.domain import claim_domain
from worldsample_bringup.run.options import Request
from worldsample_bringup.run.prepare import plan

SEQUENCES = 10_000
SETTINGS = ("driver.standin=true", "run.demos=1000", "task.horizon=1000")


def measure(
    sequences: int = SEQUENCES, jobs: int = 1, say: Callable[[str], object] = print
) -> dict[str, Any]:
    """All figures of the safety bench.

    Args:
        sequences: of commands. jobs: processes for them, side by side.
        say: is told how far it is, for people.

    Raises:
        DomainTaken: the ROS domain is in use.
    """
    from a1x_driver import safety_measurement  # loads ROS

    claim = claim_domain("bench safety")
    os.environ["ROS_DOMAIN_ID"] = str(claim.domain)
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    try:
        with tempfile.TemporaryDirectory() as folder:
            request = Request(
                "demos",
                out=str(Path(folder, "run")),
                machine="cpu",
                quick=True,
                real=True,
                overrides=SETTINGS,
            )
            prepared = plan(request, Path(folder))
            prepared.begin().close()
            return safety_measurement.measure(prepared.folder.config, sequences, jobs, say)
    finally:
        claim.release()

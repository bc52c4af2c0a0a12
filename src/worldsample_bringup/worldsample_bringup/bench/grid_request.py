"""The options that every grid of runs has: how many, how long, where they go and where their result goes."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from worldsample_bringup.selftest import find_checkout
from worldsample_core.config import ConfigError


@dataclass(frozen=True, kw_only=True)
class GridRequest:
    """A measurement that makes a grid of runs.

    Attributes:
        seeds: how many. first_seed: the first of them.
        eval_every: real steps between evaluations; None: 250, or 60 where everything is tiny.
        jobs: runs side by side.
        graph: each run is the node graph, and not one process; the results are the same.
        quick: everything tiny.
        settings: ``section.key=value`` for every run.
        out: where the run folders go; "": the default.
        results: the result's file; "": the default.
        command: to be noted in the result.
        runs, quick_runs: the default folders of the run folders.
    """

    runs: ClassVar[Path]
    quick_runs: ClassVar[Path]

    seeds: int = 3
    first_seed: int = 0
    eval_every: int | None = None
    jobs: int = 1
    graph: bool = False
    quick: bool = False
    settings: tuple[str, ...] = ()
    out: str = ""
    results: str = ""
    command: str = ""

    @property
    def seed_numbers(self) -> range:
        """The seeds."""
        return range(self.first_seed, self.first_seed + self.seeds)

    @property
    def root(self) -> Path:
        """Folder of the run folders."""
        return Path(self.out) if self.out else self.quick_runs if self.quick else self.runs

    @property
    def result_name(self) -> str:
        """Name of the result's file where a person gave none."""
        raise NotImplementedError

    @property
    def results_file(self) -> Path:
        """File of the result.

        It replaces the published one of the checkout only where no setting was changed.
        """
        if self.results:
            return Path(self.results)
        if not (self.quick or self.settings or self.out):
            with contextlib.suppress(ConfigError):  # an installation without a checkout
                return find_checkout() / "benchmarks" / "results" / self.result_name
        return self.root / self.result_name

"""CPU time of a process and of all that it starts, by name and by phase of a run, as the kernel counts it."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
"""The kernel's units of CPU time per second."""
NODE_NAME = "__node:="
"""Begins the argument that names a node's process."""


@dataclass
class ProcessTime:
    """CPU time of one process.

    Attributes:
        name: of its node; of what it runs where it is no node.
        seconds: of CPU time so far, user and system, without its children.
        charged: how much of it has been charged to a phase.
    """

    name: str
    seconds: float = 0.0
    charged: float = 0.0


@dataclass
class ProcessWatch:
    """Looks at a tree of processes now and then; of one that ends, the last look counts.

    Args:
        root: id of the first process. Its descendants are found as long as their parents live.

    Attributes:
        times: of every process that was seen, by its id.
        phases: CPU seconds by name of the phase, then of the process.
    """

    root: int
    times: dict[int, ProcessTime] = field(default_factory=dict)
    phases: dict[str, Counter[str]] = field(default_factory=dict)

    def look(self) -> None:
        """Read the CPU time of every process of the tree that is there now."""
        parents, seconds = _all_processes()
        known = {self.root}
        grown = True
        while grown:
            more = {pid for pid, parent in parents.items() if parent in known} - known
            grown = bool(more)
            known |= more
        for pid in known & seconds.keys():
            process = self.times.get(pid)
            if process is None or process.name == _UNNAMED:  # forked, and not yet what it will become
                seen = self.times.setdefault(pid, ProcessTime(_UNNAMED))
                seen.name = "runner" if pid == self.root else name_of(pid)
            self.times[pid].seconds = max(self.times[pid].seconds, seconds[pid])

    def charge(self, phase: str) -> None:
        """Charge what was used since the last call to ``phase``."""
        for process in self.times.values():
            used = self.phases.setdefault(phase, Counter())
            used[process.name] += process.seconds - process.charged  # type: ignore[assignment]
            process.charged = process.seconds

    def by_name(self) -> Counter[str]:
        """CPU seconds of each name."""
        sums: Counter[str] = Counter()
        for process in self.times.values():
            sums[process.name] += process.seconds  # type: ignore[assignment]
        return sums


_UNNAMED = "other"


def name_of(pid: int) -> str:
    """The node's name in the command line of a process; ``other`` where there is none."""
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return _UNNAMED
    named = [argument.partition(NODE_NAME)[2] for argument in arguments if argument.startswith(NODE_NAME)]
    return named[0] if named else _UNNAMED


def _all_processes() -> tuple[dict[int, int], dict[int, float]]:
    """Parent, and CPU seconds, of every process of this machine that can be seen."""
    parents, seconds = {}, {}
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            fields = Path(entry.path, "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        pid = int(entry.name)
        parents[pid] = int(fields[1])
        seconds[pid] = (int(fields[11]) + int(fields[12])) / TICK
    return parents, seconds


def machine_seconds() -> float:
    """CPU seconds that all processors of this machine have worked since it started."""
    fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    user, nice, system = (int(value) for value in fields[:3])
    return (user + nice + system) / TICK

"""Load of this machine beside what is measured: a speed without it cannot be compared."""

from __future__ import annotations

import os
import platform
import resource
import time
from typing import Any

from worldsample_bringup.bench.process_watch import machine_seconds

IDLE = 0.1
"""Cores that other processes may use on a machine that counts as idle."""


def own_seconds() -> float:
    """CPU seconds of this process and of its children that have ended."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def processor() -> str:
    """The processor's name; the architecture where the kernel does not say it."""
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
        return names[0] if names else platform.machine()
    except OSError:
        return platform.machine()


class MachineLoad:
    """Watches what other processes use from its making on."""

    def __init__(self) -> None:
        self._began, self._machine, self._own = time.monotonic(), machine_seconds(), own_seconds()

    def others(self) -> float:
        """Cores that other processes have used since, on average."""
        wall = max(time.monotonic() - self._began, 1e-9)
        others = (machine_seconds() - self._machine) - (own_seconds() - self._own)
        return max(0.0, others / wall)

    def describe(self) -> dict[str, Any]:
        """Facts for a result: processor, cores, others_cores, idle, and a note for people."""
        others = round(self.others(), 3)
        idle = others <= IDLE
        cores = os.cpu_count() or 1
        busy = "otherwise idle" if idle else f"NOT idle: other processes used {others:.2f} cores"
        return {
            "processor": processor(),
            "cores": cores,
            "others_cores": others,
            "idle": idle,
            "note": f"{cores} CPU cores, {busy}",
        }

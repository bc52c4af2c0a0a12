"""Memory, descriptors and shared memory of processes, as the kernel counts them, and how they grow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

SHARED = Path("/dev/shm")


@dataclass(frozen=True)
class MemorySample:
    """One look at a process. Times in s, memory in MB (10^6 bytes).

    Attributes:
        at: since the measurement began.
        resident: memory of the process that is in RAM, shared memory included.
        shared: the part of it that is shared memory.
        descriptors: open files, sockets and pipes.
    """

    at: float
    resident: float
    shared: float
    descriptors: int


def read_sample(pid: int, at: float) -> MemorySample | None:
    """A look at a process now; None where it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        descriptors = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return None
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    if "VmRSS" not in fields:  # it ends, and its memory is gone already
        return None
    resident, shared = (1.024e-3 * int(fields[name].split()[0]) for name in ("VmRSS", "RssShmem"))
    return MemorySample(at, resident, shared, descriptors)


def shared_memory_mb() -> float:
    """All that stands in the machine's shared memory, MB."""
    return sum(path.stat().st_blocks * 512 for path in _files(SHARED)) / 1e6


def _files(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from (path for path in folder.iterdir() if path.is_file())


@dataclass
class MemoryTrack:
    """The samples of one node, of its newest process.

    Attributes:
        restarts: how often another process took its place.
    """

    pid: int = 0
    restarts: int = 0
    samples: list[MemorySample] = field(default_factory=list)

    def look(self, pid: int, at: float) -> None:
        """Take a sample; those of an earlier process are dropped."""
        sample = read_sample(pid, at)
        if sample is None:
            return
        if pid != self.pid:
            self.restarts += bool(self.pid)
            self.pid, self.samples = pid, []
        self.samples.append(sample)

    def figures(self, warm_up: float) -> dict[str, Any]:
        """Growth after ``warm_up`` s; None where there are too few samples for a slope."""
        used = [sample for sample in self.samples if sample.at >= warm_up]
        if not used:
            return {"samples": 0, "restarts": self.restarts, "mb_per_minute": None}
        first, last = used[0], used[-1]
        return {
            "samples": len(used),
            "restarts": self.restarts,
            "mb_per_minute": slope_per_minute([(s.at, s.resident) for s in used]),
            "resident_mb": [round(first.resident, 1), round(last.resident, 1)],
            "resident_mb_max": round(max(s.resident for s in used), 1),
            "shared_mb": [round(first.shared, 1), round(last.shared, 1)],
            "descriptors": [first.descriptors, last.descriptors],
        }


def slope_per_minute(points: Sequence[tuple[float, float]]) -> float | None:
    """Least-squares slope of (s, value) points, per minute; None of fewer than three."""
    if len(points) < 3:
        return None
    times, values = np.array(points).T
    return round(60.0 * float(np.polyfit(times - times[0], values, 1)[0]), 3)

"""``worldsample bench fuzz``: mutated inputs for every decoder at a boundary, and what became of them.

Two things must never happen: an error that a decoder does not declare (``uncaught``), and damage to what is
on disk that no check finds (``silent``). Equal seeds give equal inputs, each from its decoder's name and its
number alone, so that one can be tried again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, TextIO

from worldsample_bringup.bench.fuzz.fuzzed_decoder import FuzzedDecoder, FuzzVerdict
from worldsample_bringup.bench.machine_load import MachineLoad
from worldsample_bringup.dashboard.progress import duration
from worldsample_bringup.graph.terminal import Console
from worldsample_bringup.run.provenance import git_revision

INPUTS = 100_000
EXAMPLES = 5
"""Inputs of each decoder and kind of fault that the result names."""
WARM_UP = 0.1
"""Share of the inputs after which memory counts."""


@dataclass
class DecoderCount:
    """The fate of one decoder's inputs, counted."""

    results: Counter[str] = field(default_factory=Counter)
    bits: int = 0
    bits_found: int = 0
    slowest: float = 0.0

    def add(self, verdict: FuzzVerdict) -> None:
        """Count one input."""
        self.results[verdict.result] += 1
        self.slowest = max(self.slowest, verdict.seconds)
        if verdict.one_bit:
            self.bits += 1
            self.bits_found += verdict.result == "refused"

    def as_mapping(self) -> dict[str, Any]:
        """The counts for a result; seconds as milliseconds."""
        flips = {"one_bit": self.bits, "one_bit_found": self.bits_found} if self.bits else {}
        named = {name: self.results[name] for name in ("refused", "accepted", "uncaught", "silent")}
        return {
            "inputs": self.results.total(),
            **named,
            **flips,
            "slowest_ms": round(1e3 * self.slowest, 1),
        }


class Fuzzing:
    """Feeds decoders, and keeps the account.

    Args:
        decoders: each gets inputs in proportion to its share.
        seed: of all inputs.

    Attributes:
        counts: by the decoder's name. examples: the first faults, for people.
    """

    def __init__(self, decoders: Sequence[FuzzedDecoder[Any]], seed: int) -> None:
        self.decoders, self.seed = decoders, seed
        self.counts = {decoder.name: DecoderCount() for decoder in decoders}
        self.examples: dict[str, list[str]] = {}

    def order(self, inputs: int) -> Iterator[tuple[FuzzedDecoder[Any], int]]:
        """(decoder, number) of each input: all decoders in turn, by their shares."""
        total = sum(decoder.share for decoder in self.decoders)
        given = dict.fromkeys(self.counts, 0)
        for index in range(1, inputs + 1):
            chosen = max(self.decoders, key=lambda d: index * d.share / total - given[d.name])
            yield chosen, given[chosen.name]
            given[chosen.name] += 1

    def feed(self, decoder: FuzzedDecoder[Any], number: int) -> FuzzVerdict:
        """Try one input."""
        verdict = decoder.try_one(Random(f"{self.seed}/{decoder.name}/{number}"))
        self.counts[decoder.name].add(verdict)
        if verdict.detail:
            examples = self.examples.setdefault(f"{verdict.result} in {decoder.name}", [])
            if len(examples) < EXAMPLES:
                examples.append(f"input {number}: {verdict.detail}")
        return verdict

    def total(self, result: str) -> int:
        """Inputs of all decoders that ended so."""
        return sum(count.results[result] for count in self.counts.values())


def all_decoders(folder: Path) -> list[FuzzedDecoder[Any]]:
    """Every decoder under test; those of files work in ``folder``."""
    from worldsample_bringup.bench.fuzz.fuzzed_files import fuzzed_files
    from worldsample_bringup.bench.fuzz.fuzzed_messages import fuzzed_messages

    return [*fuzzed_messages(), *fuzzed_files(folder)]


def measure(inputs: int = INPUTS, seed: int = 0) -> dict[str, Any]:
    """Feed all decoders; Ctrl-C ends it with what was done so far (``finished`` is false then).

    Returns:
        inputs, decoders (by name: inputs, refused, accepted, uncaught, silent, slowest_ms), uncaught, silent,
        one_bit and one_bit_found (of files with checksums), rss_growth_mb (peak over the memory after a tenth
        of the inputs), examples.
    """
    load, began, finished = MachineLoad(), time.monotonic(), True
    with tempfile.TemporaryDirectory(prefix="worldsample-fuzz-") as name, quiet() as seen:
        console = Console(seen)
        fuzzing = Fuzzing(all_decoders(Path(name)), seed)
        memory = MemoryPeak()
        try:
            for index, (decoder, number) in enumerate(fuzzing.order(inputs)):
                fuzzing.feed(decoder, number)
                if index == int(WARM_UP * inputs):
                    memory.begin()
                if index % 200 == 199:
                    memory.look()
                    _show(console, fuzzing, index + 1, inputs, time.monotonic() - began)
        except KeyboardInterrupt:
            finished = False
        memory.look()
        console.close_live()
    counts = fuzzing.counts.values()
    return {
        "inputs": sum(count.results.total() for count in counts),
        "uncaught": fuzzing.total("uncaught"),
        "silent": fuzzing.total("silent"),
        "one_bit": sum(count.bits for count in counts),
        "one_bit_found": sum(count.bits_found for count in counts),
        "rss_growth_mb": memory.growth_mb,
        "finished": finished,
        "seed": seed,
        "seconds": round(time.monotonic() - began, 1),
        "decoders": {name: count.as_mapping() for name, count in fuzzing.counts.items()},
        "examples": fuzzing.examples,
        "git_revision": git_revision(),
        "machine": load.describe(),
    }


class MemoryPeak:
    """Memory of this process beyond what it had when counting began."""

    def __init__(self) -> None:
        self._base: float | None = None
        self._before = self._peak = 0.0

    def begin(self) -> None:
        """Count from here on."""
        self._base, self._before = _resident_mb(), _highest_mb()

    def look(self) -> None:
        """Take in what is used now, and the highest that the kernel has seen since."""
        if self._base is not None:
            highest = _highest_mb()
            self._peak = max(self._peak, _resident_mb(), highest if highest > self._before else 0.0)

    @property
    def growth_mb(self) -> float | None:
        """MB above the beginning, at the peak; None where nothing was counted."""
        return None if self._base is None else round(max(0.0, self._peak - self._base), 1)


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _highest_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


@contextlib.contextmanager
def quiet() -> Iterator[TextIO]:
    """Without the warnings about damage that decoders write by the thousand, those of C libraries included.

    Yields standard error as it was, for what is to be seen all the same.
    """
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere, os.fdopen(os.dup(kept), "w") as seen:
        os.dup2(nowhere.fileno(), 2)
        try:
            yield seen
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            logging.disable(before)


def _show(console: Console, fuzzing: Fuzzing, done: int, inputs: int, seconds: float) -> None:
    left = duration(seconds * (inputs / done - 1.0))
    faults = f"{fuzzing.total('uncaught')} uncaught, {fuzzing.total('silent')} silent"
    console.live(f"fuzz {done:,}/{inputs:,} inputs · {faults} · ETA {left}")


def table(result: Mapping[str, Any]) -> str:
    """The result for people."""
    rows = [
        f"{'':<22}{'inputs':>9}{'refused':>9}{'accepted':>9}{'uncaught':>9}{'silent':>9}{'slowest ms':>12}"
    ]
    for name, count in result["decoders"].items():
        cells = (count[key] for key in ("inputs", "refused", "accepted", "uncaught", "silent"))
        rows.append(f"{name:<22}" + "".join(f"{cell:>9,}" for cell in cells) + f"{count['slowest_ms']:>12}")
    for kind, words in result["examples"].items():
        rows += [f"{kind}: {each}" for each in words]
    rows.append(f"one-bit flips of files: {result['one_bit_found']} of {result['one_bit']} found")
    rows.append(f"memory: at most {result['rss_growth_mb']} MB more; machine: {result['machine']['note']}")
    return "\n".join(rows if result["finished"] else [*rows, "stopped early by Ctrl-C"])

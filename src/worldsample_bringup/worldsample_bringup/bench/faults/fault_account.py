"""Counts what faults have cost: recorded steps beside those that were heard and those that were learned."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from worldsample_bringup.bench.faults.fault import Fault
from worldsample_bringup.bench.faults.graph_ears import signature
from worldsample_core.episodes.episode_bag import read_transitions
from worldsample_core.episodes.episode_store import EpisodeStore, find_bags
from worldsample_core.messages.conversions import transition_to_message

NUMBERS = re.compile(r"(?<![\w.])\d[\d.,:]*(?![a-z])")
"""Numbers in a warning; without them the same warning is the same text."""
TOLD = 4
"""Warnings that are kept of a group."""


class RecordedStep(NamedTuple):
    """A step on disk: number, signature, and whether the robot learned from it."""

    seq: int
    signature: int
    real: bool


def recorded_steps(run: Path) -> list[RecordedStep]:
    """All steps of a run folder in the order of the bags; an interrupted episode becomes one first."""
    EpisodeStore(run, run.name, min_free_bytes=0).close()  # as the next session of the run would do it
    return [
        RecordedStep(each.seq, signature(transition_to_message(each)), each.source == "policy")
        for bag in find_bags(run)
        for each in read_transitions(bag)
    ]


def account(faults: Sequence[Fault], recorded: Sequence[RecordedStep], heard: Mapping[int, int]) -> int:
    """Charge each lost and doubled transition to the newest fault before it.

    Lost: heard or numbered, and not on disk; or on disk, and not in the learner's counts when it learned
    again. Doubled: twice on disk, or counted more often by the learner than it is on disk.

    Returns:
        the number of steps that differ on disk from what was heard.
    """
    begins = [fault.next_seq for fault in faults]
    numbers = [step.seq for step in recorded]
    there = set(numbers)

    def charged(seq: int) -> Fault:
        return faults[max(0, bisect_right(begins, seq) - 1)]

    for seq in sorted(set(range(max(there, default=-1) + 1)) | heard.keys()):
        if faults and seq not in there:
            charged(seq).lost += 1
    for seq in _repeated(numbers):
        if faults:
            charged(seq).doubled += 1
    for fault in faults:
        if fault.learner is not None:
            next_seq, real, demo = fault.learner
            have = [step.real for step in recorded if step.seq < next_seq]
            for counted, expected in ((real, sum(have)), (demo, len(have) - sum(have))):
                fault.lost += max(0, expected - counted)
                fault.doubled += max(0, counted - expected)
    return sum(step.signature != heard.get(step.seq, step.signature) for step in recorded)


def _repeated(numbers: Sequence[int]) -> Iterable[int]:
    seen: set[int] = set()
    for number in numbers:
        if number in seen:
            yield number
        seen.add(number)


def recoveries(faults: Sequence[Fault]) -> dict[str, dict[str, Any]]:
    """By kind, and by kind and target: what it cost, how soon it was over, and what the person was told.

    Seconds until acting and learning again, p50 and p95; ``told``: the most frequent warnings;
    ``told_nothing``: faults after which there was none.
    """
    groups: dict[str, list[Fault]] = {}
    for fault in faults:
        groups.setdefault(fault.kind, []).append(fault)
        if fault.target:
            groups.setdefault(fault.name, []).append(fault)
    return {name: _recovery(groups[name]) for name in sorted(groups)}


def _recovery(faults: Sequence[Fault]) -> dict[str, Any]:
    figures: dict[str, Any] = {"n": len(faults), "ended_run": sum(fault.ended_run for fault in faults)}
    for what in ("lost", "doubled", "silent"):
        figures[what] = sum(getattr(fault, what) for fault in faults)
    for what in ("acting_s", "learning_s"):
        seconds = [value for fault in faults if (value := getattr(fault, what)) is not None]
        for q in (50, 95):
            figures[f"{what}_p{q}"] = round(float(np.percentile(seconds, q)), 2) if seconds else None
    told = [{NUMBERS.sub("…", line) for line in fault.told} for fault in faults]
    sentences = Counter(words for of_one in told for words in of_one)
    figures["told"] = [words for words, _ in sentences.most_common(TOLD)]
    figures["told_nothing"] = sum(not fault.told for fault in faults)
    return figures

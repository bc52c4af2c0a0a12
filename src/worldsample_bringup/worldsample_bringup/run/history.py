"""A run's past, rebuilt from its metrics for the live line, the summary and the report.

A record is one line of ``metrics.jsonl``: a flat mapping with ``kind`` ("start", "episode", "learner",
"policy", "pacing", "worldmodel", "done") and ``t``, wall seconds since the run began, interruptions left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from worldsample_bringup.run.metrics_record import MAX_LINE, Record, read_record
from worldsample_core.episodes.label_count import LabelCount

WINDOW = 20
"""Episodes over which success and intervention rates are taken."""


@dataclass(frozen=True)
class EvaluationRecord:
    """Consecutive evaluation episodes of one policy."""

    real_steps: int
    episodes: int
    successes: int
    final: bool = False

    @property
    def success_rate(self) -> float:
        return self.successes / self.episodes


@dataclass
class History:
    """Records, sorted by what they tell."""

    train: list[Record] = field(default_factory=list)
    demos: list[Record] = field(default_factory=list)
    labels: list[Record] = field(default_factory=list)
    evals: list[Record] = field(default_factory=list)
    statuses: dict[str, list[Record]] = field(default_factory=dict)
    starts: list[Record] = field(default_factory=list)
    done: Record | None = None
    wall_seconds: float = 0.0
    _by_number: dict[tuple[str, int], Record] = field(default_factory=dict, repr=False)

    def _episodes_of(self, kind: str) -> list[Record]:
        return {"train": self.train, "demo": self.demos, "label": self.labels}.get(kind, self.evals)

    def find(self, kind: str, episode: int) -> Record | None:
        """The record of an episode; None where there is none."""
        return self._by_number.get((kind, episode))

    def drop(self, record: Record) -> None:
        """Forget the record of an episode that was never recorded."""
        self._episodes_of(record["episode_kind"]).remove(record)
        del self._by_number[record["episode_kind"], record["episode"]]

    def add(self, record: Record) -> None:
        """Take in one record; unknown kinds (of a later version) are kept apart under their name."""
        self.wall_seconds = max(self.wall_seconds, float(record.get("t", 0.0)))
        kind = record.get("kind")
        if kind == "episode":
            episodes = self._episodes_of(record["episode_kind"])
            key = (record["episode_kind"], record["episode"])
            if (known := self._by_number.get(key)) is not None:  # a correction
                known.clear()
                known.update(record)
                return
            self._by_number[key] = record
            episodes.append(record)
            if len(episodes) > 1 and episodes[-2]["episode"] > record["episode"]:  # heard of late
                episodes.sort(key=lambda each: int(each["episode"]))
        elif kind == "start":
            self.starts.append(record)
            self.done = None  # a finished run that is trained further is not finished
        elif kind == "done":
            self.done = record
        else:
            self.statuses.setdefault(str(kind), []).append(record)

    def latest(self, kind: str) -> Record:
        """The newest status of a kind, {} where there is none."""
        records = self.statuses.get(kind)
        return records[-1] if records else {}

    def total(self, kind: str, key: str) -> int | None:
        """Total of a status's counter over all publishers; None where nobody publishes it.

        A publisher that was restarted counts on from wherever its counter begins again.
        """
        last: dict[str, int] = {}
        result: int | None = None
        for record in self.statuses.get(kind, []):
            if record.get(key) is None:
                continue
            publisher, value = str(record.get("publisher", "")), int(record[key])
            grown = value - last[publisher] if publisher in last else value
            result = (result or 0) + max(0, grown)
            last[publisher] = value
        return result

    def latest_measured(self, kind: str, key: str) -> float | None:
        """The newest value of a figure that is 0 until it is measured; None before."""
        for record in reversed(self.statuses.get(kind, [])):
            if record.get(key):
                return float(record[key])
        return None

    @property
    def real_steps(self) -> int:
        """Real training steps."""
        return max(
            (int(r["real_steps"]) for r in (*self.train[-1:], self.latest("policy")) if "real_steps" in r),
            default=0,
        )

    @property
    def demo_successes(self) -> int:
        """Demonstrations that succeeded: the others are kept, and no run uses them."""
        return sum(bool(record["success"]) for record in self.demos)

    @property
    def demo_steps(self) -> int:
        return sum(int(record["steps"]) for record in self.demos)

    @property
    def label_count(self) -> LabelCount:
        """Frames in the kept episodes of labels."""
        count = LabelCount()
        for record in self.labels:
            if not record["aborted"]:
                count = count.plus(int(record["steps"]), float(record["return"]))
        return count

    @property
    def intervention_rate(self) -> float | None:
        """Fraction of all training steps that the operator drove."""
        return intervention_rate(self.train)

    def evaluations(self, final_episodes: int) -> list[EvaluationRecord]:
        """The evaluations in order, each of one number of real steps.

        Args:
            final_episodes: how many belong to the last evaluation of a finished run.
        """
        episodes = list(self.evals)
        final = episodes[-final_episodes:] if self.done is not None and final_episodes else []
        blocks: list[list[Record]] = []
        for record in episodes[: len(episodes) - len(final)]:
            if not blocks or blocks[-1][0]["real_steps"] != record["real_steps"]:
                blocks.append([])
            blocks[-1].append(record)
        result = [_evaluation(block, final=False) for block in blocks]
        return [*result, _evaluation(final, final=True)] if final else result


def _evaluation(block: Sequence[Record], final: bool) -> EvaluationRecord:
    return EvaluationRecord(
        int(block[-1]["real_steps"]), len(block), sum(bool(r["success"]) for r in block), final
    )


def success_rate(episodes: Sequence[Record]) -> float | None:
    """Fraction of successful episodes; None of none."""
    return sum(bool(record["success"]) for record in episodes) / len(episodes) if episodes else None


def intervention_rate(episodes: Sequence[Record]) -> float | None:
    """Fraction of steps that the operator drove; None of none."""
    steps = sum(int(record["steps"]) for record in episodes)
    return sum(int(record["intervention_steps"]) for record in episodes) / steps if steps else None


def read_records(path: Path) -> Iterable[Record]:
    """The records of ``metrics.jsonl``; a torn last line, or a damaged one, is passed over."""
    if not path.exists():
        return
    with path.open("rb") as file:
        while line := file.readline(MAX_LINE + 1):
            record = read_record(line)
            if record is not None:
                yield record


def count_damaged(path: Path) -> int:
    """Number of whole lines of ``metrics.jsonl`` that are no records."""
    if not path.exists():
        return 0
    with path.open("rb") as file:
        return sum(line.endswith(b"\n") and read_record(line) is None for line in file)


def read_tail(path: Path, size: int = 262_144) -> list[Record]:
    """The records in the last ``size`` bytes of ``metrics.jsonl``: what a run is doing, at little cost."""
    if not path.exists():
        return []
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - size))
        lines = file.read().splitlines()
    # the first line may be cut by the seek, the last one may still be being written
    return [record for line in lines if (record := read_record(line)) is not None]


def read_history(path: Path) -> History:
    """The history in a ``metrics.jsonl``; an empty one where the file is missing."""
    history = History()
    for record in read_records(path):
        history.add(record)
    return history

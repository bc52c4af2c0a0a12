"""The real episodes of a run on disk: nothing that the robot did is lost, and the numbering goes on exactly.

While an episode runs, each finished step is appended to ``episodes/NNNNNN.journal``
(:mod:`worldsample_core.episodes.journal`). At its end it becomes the bag ``episodes/episode_NNNNNN``
(:mod:`worldsample_core.episodes.episode_bag`), written in the background; only then the journal goes. Opening
the store closes what a crash left behind. What cannot be read is moved to ``episodes/damaged``.
"""

from __future__ import annotations

import bisect
import dataclasses
import fcntl
import logging
import queue
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from worldsample_core.arm.joint_reading import JointReading
from worldsample_core.config import ConfigError, from_mapping
from worldsample_core.episodes.episode_bag import (
    DamagedBag,
    check_bag,
    data_file,
    decode_transition,
    encode_transition,
    read_information,
    read_joints,
    read_metadata,
    read_records,
    true_summary,
    write_bag,
)
from worldsample_core.episodes.episode_numbering import (
    Numbering,
    keep_numbering,
    missing_numbers,
    read_numbering,
)
from worldsample_core.episodes.joint_log import (
    JointLog,
    read_joint_log,
    remove_journal,
    remove_without_journal,
)
from worldsample_core.episodes.journal import Journal, StorageError, disk_full, read_journal
from worldsample_core.episodes.standard_messages import StandardMessages
from worldsample_core.node.cpu_account import cpu_piece
from worldsample_core.observation import InvalidObservation
from worldsample_core.transition import EpisodeKind, EpisodeSummary, Transition

log = logging.getLogger(__name__)

FOLDER = "episodes"
BAG_NAME = re.compile(r"episode_(\d{6,})$")
"""Name of an episode's bag folder."""
_DAMAGED = re.compile(r"(?:episode_(\d{6,})|(\d{6,})\.journal)(?:\.\d+)?$")
_JOURNAL = re.compile(r"(\d{6,})\.journal$")


def bag_name(episode: int) -> str:
    """Name of an episode's bag folder."""
    return f"episode_{episode:06d}"


def find_bags(folder: Path) -> list[Path]:
    """The episodes' bags in a run folder, or in its ``episodes`` folder, by number."""
    if (folder / FOLDER).is_dir():
        folder = folder / FOLDER
    if not folder.is_dir():
        return []
    bags = [(int(m[1]), p) for p in folder.iterdir() if (m := BAG_NAME.match(p.name)) and p.is_dir()]
    return [path for _, path in sorted(bags)]


def damaged_episodes(folder: Path) -> set[int]:
    """Numbers of the episodes that were set aside in an ``episodes`` folder."""
    damaged = folder / "damaged"
    if not damaged.is_dir():
        return set()
    names = [_DAMAGED.match(path.name) for path in damaged.iterdir()]
    return {int(name[1] or name[2]) for name in names if name}


def _information(path: Path) -> dict[str, Any] | None:
    try:
        return read_information(path)
    except DamagedBag:
        return None


@dataclasses.dataclass(slots=True)
class _Open:
    """The episode that is running, or whose bag is being written."""

    summary: EpisodeSummary
    journal: Path
    steps: int = 0
    joints: list[JointReading | None] = dataclasses.field(default_factory=list)


class EpisodeStore:
    """The episodes of one run. Appending belongs to one thread; reading may come from any.

    Args:
        run_folder: its ``episodes`` folder is made where it is missing.
        run: name of the run, for summaries.
        custom: strings for each bag's metadata (task, image size).
        standard: makes what viewers need in each bag; None: bags hold transitions alone.
        durable: flush each step to the disk: for robots that may lose power.
        min_free_bytes: what must be free on the disk to begin an episode.
        on_closed: called, from the writing thread, with each episode whose bag is complete.

    Attributes:
        problems: what had to be set aside, for people.

    Raises:
        StorageError: the folder cannot be used.
    """

    def __init__(
        self,
        run_folder: Path,
        run: str,
        *,
        custom: Mapping[str, str] | None = None,
        standard: StandardMessages | None = None,
        durable: bool = False,
        min_free_bytes: int = 64_000_000,
        on_closed: Callable[[EpisodeSummary], None] | None = None,
    ) -> None:
        self.run_folder, self.run = run_folder, run
        self.folder = run_folder / FOLDER
        self.custom, self.durable, self.min_free_bytes = dict(custom or {}), durable, min_free_bytes
        self.standard, self.on_closed = standard, on_closed
        self.problems: list[str] = []
        self._lock = threading.RLock()
        self._summaries: list[EpisodeSummary] = []
        self._first_seqs: list[int] = []
        self._open: dict[int, _Open] = {}  # by episode: running, or waiting for its bag
        self._journal: Journal | None = None
        self._joint_log: JointLog | None = None
        self._current: _Open | None = None
        self._cache: tuple[int, list[bytes]] = (-1, [])
        self._error: StorageError | None = None
        self.next_seq = 0
        """Number (seq) of the next transition."""
        self.next_episode = 0
        """Index of the next episode."""
        self.real_steps = 0
        """Training steps on disk (demonstrations are not counted)."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"cannot use the run folder {run_folder}: {error.strerror}") from error
        self._lock_folder()
        self.check_space()
        self._load()
        self._closing: queue.Queue[_Open | None] = queue.Queue()
        self._writer = threading.Thread(target=self._write_bags, name="episode-bags", daemon=True)
        self._writer.start()

    def _lock_folder(self) -> None:
        self._lock_file = (self.folder / ".lock").open("w")
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock_file.close()
            raise StorageError(
                f"another process writes to the run folder {self.run_folder}: wait for that run to end, "
                "or give this one another name"
            ) from error

    # --- opening ------------------------------------------------------------------------------------------

    def _load(self) -> None:
        shutil.rmtree(self.folder / ".writing", ignore_errors=True)
        found: list[EpisodeSummary] = []
        self._numbers = read_numbering(self.folder)
        for path in find_bags(self.folder):
            summary = self._read_bag(path)
            if summary is not None:
                found.append(summary)
        for path in sorted(self.folder.iterdir()):
            match = _JOURNAL.match(path.name)
            if match is None:
                continue
            if any(summary.episode == int(match[1]) for summary in found):
                remove_journal(path)  # its bag was complete
                continue
            before = sum(s.steps for s in found if s.kind == "train" and s.episode < int(match[1]))
            summary = self._close_journal(path, before)
            if summary is not None:
                found.append(summary)
        remove_without_journal(self.folder)
        found.sort(key=lambda s: s.episode)
        self._number(found)
        known = damaged_episodes(self.folder)
        self.next_episode = max([self.next_episode, *(episode + 1 for episode in known)])
        for problem in missing_numbers(found, self.next_seq, known):
            self._report(problem)
        self._keep_numbering()

    def _number(self, summaries: list[EpisodeSummary]) -> None:
        """Number what comes next above everything that was ever recorded, also where that is damaged."""
        self._summaries = summaries
        self._first_seqs = [summary.first_seq for summary in summaries]
        ends = [summary.first_seq + summary.steps for summary in summaries]
        self.next_seq = max([self._numbers.next_seq, *ends])
        self.next_episode = max([self._numbers.next_episode, *(s.episode + 1 for s in summaries)])
        self.real_steps = sum(s.steps for s in summaries if s.kind == "train")

    def _keep_numbering(self) -> None:
        """Remember which numbers are given away. Raises :class:`StorageError`."""
        keep_numbering(self.folder, Numbering(self.next_seq, self.next_episode))

    def _read_bag(self, path: Path) -> EpisodeSummary | None:
        try:
            summary = check_bag(path)
            if path.name != bag_name(summary.episode):
                raise DamagedBag(f"the bag {path} holds episode {summary.episode}")
            return summary
        except DamagedBag as problem:
            self._note_damage(path)
            return self._mend(path, problem)

    def _mend(self, path: Path, problem: DamagedBag) -> EpisodeSummary | None:
        """Rebuild a bag from its data file, if that is whole; else set it aside."""
        try:
            records = read_records(path)
            transitions = [decode_transition(record) for record in records]
            summary, joints = true_summary(path, transitions), read_joints(path)
        except (DamagedBag, InvalidObservation):
            self._set_aside(path, str(problem))
            return None
        rescued = self.folder / "damaged" / f"{path.name}.mcap"
        rescued.parent.mkdir(exist_ok=True)
        shutil.copyfile(data_file(path, _information(path)), rescued)
        shutil.rmtree(path)
        self._write_bag(path, records, summary, joints)
        self._report(f"{problem}; rebuilt from its data file")
        return summary

    def _note_damage(self, path: Path) -> None:
        """Remember the numbers of a damaged bag's steps, as far as it tells them: they are not used again."""
        try:
            summary, _ = read_metadata(path)
        except DamagedBag:
            return
        self._numbers = self._numbers.above(summary.first_seq + summary.steps, summary.episode + 1)

    def _close_journal(
        self, path: Path, real_steps: int, joints: Sequence[JointReading | None] = ()
    ) -> EpisodeSummary | None:
        """Turn the journal of an unfinished episode into a bag.

        Args:
            path: the journal.
            real_steps: number of training steps before this episode.
            joints: one for each observation; empty: those beside the journal, as after a crash.
        """
        try:
            contents = read_journal(path)
            if not contents.records and not contents.damaged:
                remove_journal(path)
                return None
            summary = from_mapping(EpisodeSummary, contents.header, str(path))
        except (StorageError, ConfigError) as problem:
            self._set_aside(path, str(problem))
            return None
        if contents.damaged:
            self._set_aside(
                path, f"{path} is damaged after {len(contents.records)} steps, which are kept", copy=True
            )
        if not contents.records:
            remove_journal(path)
            return None
        try:
            transitions = [decode_transition(record) for record in contents.records]
        except InvalidObservation as problem:
            self._numbers = self._numbers.above(
                summary.first_seq + len(contents.records), summary.episode + 1
            )
            self._set_aside(path, f"{path}: {problem}")
            return None
        last = transitions[-1]
        records = list(contents.records)
        if not last.last:  # the run ended inside the episode
            last = dataclasses.replace(last, truncated=True)
            records[-1] = encode_transition(last)
        steps = len(records)
        summary = dataclasses.replace(
            summary,
            steps=steps,
            first_seq=transitions[0].seq,
            episode_return=sum(t.reward for t in transitions),
            success=last.success,
            truncated=last.truncated,
            aborted=not transitions[-1].last,
            intervention_steps=sum(t.intervention for t in transitions),
            policy_version=last.policy_version,
            real_steps=real_steps + (steps if summary.kind == "train" else 0),
            path=f"{FOLDER}/{bag_name(summary.episode)}",
        )
        known = joints if len(joints) == steps + 1 else read_joint_log(path, steps + 1)
        self._write_bag(self.folder / bag_name(summary.episode), records, summary, known)
        remove_journal(path)
        return summary

    def _set_aside(self, path: Path, problem: str, copy: bool = False) -> None:
        target = self.folder / "damaged" / path.name
        target.parent.mkdir(exist_ok=True)
        number = 1
        while target.exists():
            target = target.with_name(f"{path.name}.{number}")
            number += 1
        if copy:
            shutil.copyfile(path, target)
        else:
            path.rename(target)
        self._report(f"{problem} (set aside as {target})")

    def _report(self, problem: str) -> None:
        self.problems.append(problem)
        log.warning("%s", problem)

    # --- writing ------------------------------------------------------------------------------------------

    def check_space(self) -> None:
        """Raise :class:`DiskFull` if less than ``min_free_bytes`` is free."""
        free = shutil.disk_usage(self.folder).free
        if free < self.min_free_bytes:
            raise disk_full(self.folder, free)

    def begin(self, kind: EpisodeKind, seed: int = 0) -> int:
        """Open the next episode's journal; returns the episode's index.

        Raises:
            StorageError: also one that writing an earlier bag met in the background; DiskFull.
        """
        self.check()
        self.check_space()
        if self._current is not None:
            raise RuntimeError("the episode before is still open")
        self._keep_numbering()
        with self._lock:
            episode = self.next_episode
            summary = EpisodeSummary(
                kind,
                episode,
                steps=0,
                episode_return=0.0,
                success=False,
                truncated=False,
                first_seq=self.next_seq,
                seed=seed,
                run=self.run,
            )
            path = self.folder / f"{episode:06d}.journal"
            self._journal = Journal(path, dataclasses.asdict(summary), durable=self.durable)
            self._current = self._open[episode] = _Open(summary, path)
            self._joint_log = JointLog(path)
            self.next_episode += 1
        return episode

    @cpu_piece("recording")
    def append(
        self, record: bytes, before: JointReading | None = None, after: JointReading | None = None
    ) -> None:
        """Keep one finished step: CDR bytes of the transition with seq ``next_seq``.

        When this returns, a crash of the process does not lose the step.

        Args:
            record: the step.
            before: joints at its observation; after: at the one that it led to; None: not known.
        """
        if self._journal is None or self._current is None:
            raise RuntimeError("no episode is open")
        readings = [after] if self._current.joints else [before, after]
        if self._joint_log is not None:
            for reading in readings:
                self._joint_log.append(reading)
        self._journal.append(record)
        with self._lock:
            self._current.steps += 1
            self._current.joints += readings
            self.next_seq += 1
            if self._current.summary.kind == "train":
                self.real_steps += 1

    @cpu_piece("recording")
    def finish(self, summary: EpisodeSummary) -> EpisodeSummary:
        """Close the episode, and return its summary with numbers and path filled in.

        The bag is written in the background. An episode without steps leaves nothing, and its index is used
        again.
        """
        current = self._current
        if current is None or self._journal is None:
            raise RuntimeError("no episode is open")
        self._close_files()
        with self._lock:
            if not current.steps:
                remove_journal(current.journal)
                del self._open[current.summary.episode]
                self.next_episode = current.summary.episode
                return dataclasses.replace(summary, steps=0)
            current.summary = dataclasses.replace(
                summary,
                kind=current.summary.kind,
                episode=current.summary.episode,
                run=self.run,
                first_seq=current.summary.first_seq,
                steps=current.steps,
                seed=current.summary.seed,
                real_steps=self.real_steps,
                path=f"{FOLDER}/{bag_name(current.summary.episode)}",
            )
        self._closing.put(current)
        return current.summary

    def interrupt(self) -> EpisodeSummary | None:
        """Close the running episode as truncated and aborted; its summary, or None if it has no steps."""
        current = self._current
        if current is None or self._journal is None:
            return None
        self._close_files()
        steps = current.steps if current.summary.kind == "train" else 0
        summary = self._close_journal(current.journal, self.real_steps - steps, current.joints)
        with self._lock:
            del self._open[current.summary.episode]
            if summary is None:
                self.next_episode = current.summary.episode
            else:
                self._summaries.append(summary)
                self._first_seqs.append(summary.first_seq)
        return summary

    def _close_files(self) -> None:
        """Close the running episode's files; no episode runs then."""
        if self._journal is not None:
            self._journal.close()
        if self._joint_log is not None:
            self._joint_log.close()
        self._journal = self._joint_log = self._current = None

    def _write_bag(
        self,
        path: Path,
        records: Sequence[bytes],
        summary: EpisodeSummary,
        joints: Sequence[JointReading | None] = (),
    ) -> None:
        write_bag(path, records, summary, self.custom, self.standard, joints)

    def _write_bags(self) -> None:
        while (item := self._closing.get()) is not None:
            self._write_one(item)
            self._closing.task_done()

    @cpu_piece("recording")
    def _write_one(self, item: _Open) -> None:
        try:
            records = read_journal(item.journal).records
            path = self.folder / bag_name(item.summary.episode)
            self._write_bag(path, records, item.summary, item.joints)
            with self._lock:
                self._summaries.append(item.summary)
                self._first_seqs.append(item.summary.first_seq)
                del self._open[item.summary.episode]
            remove_journal(item.journal)
        except (StorageError, OSError) as error:  # the journal stays, and becomes a bag at the next start
            self._error = error if isinstance(error, StorageError) else StorageError(str(error))
            log.error("%s", error)
            return
        if self.on_closed is not None:
            self.on_closed(item.summary)

    def drain(self) -> None:
        """Wait until the bags of all finished episodes are written."""
        self._closing.join()

    def check(self) -> None:
        """Raise the error that the background thread met while it wrote a bag, if there was one."""
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Write the bags that are due, and stop.

        The journal of an open episode stays on disk and becomes a bag at the next start.
        """
        self._close_files()
        if self._writer.is_alive():
            self._closing.put(None)
            self._writer.join()
        try:
            self._keep_numbering()
        except StorageError as problem:  # the bags tell the numbers, too
            self._report(str(problem))
        self._lock_file.close()

    # --- reading ------------------------------------------------------------------------------------------

    @property
    def summaries(self) -> list[EpisodeSummary]:
        """Summaries of the episodes whose bags are complete, in order."""
        with self._lock:
            return list(self._summaries)

    def fetch(self, from_seq: int, max_count: int, max_bytes: int = 1 << 62) -> list[bytes]:
        """CDR bytes of the transitions from ``from_seq`` on, in order of seq.

        If any exists, at least one is returned; at most ``max_count`` and about ``max_bytes``. If the first
        has a greater seq than ``from_seq``, the transitions between cannot be read any more.
        """
        result: list[bytes] = []
        size = 0
        while len(result) < max_count:
            episode, first_seq, records = self._records_from(from_seq)
            if episode < 0:
                break
            for record in records[max(0, from_seq - first_seq) :]:
                if result and (size + len(record) > max_bytes or len(result) == max_count):
                    return result
                result.append(record)
                size += len(record)
            from_seq = first_seq + len(records)
        return result

    def _records_from(self, seq: int) -> tuple[int, int, list[bytes]]:
        """The first episode with transitions at or after ``seq``: (episode, its first seq, its records).

        (-1, 0, []) where there is none.
        """
        while True:
            with self._lock:
                found = self._find(seq)
                if found is None:
                    return -1, 0, []
                episode, first_seq, steps, journal = found
                if self._cache[0] == episode:
                    return episode, first_seq, self._cache[1]
            try:
                if journal is not None:
                    return episode, first_seq, read_journal(journal).records[:steps]
                records = read_records(self.folder / bag_name(episode))
                if len(records) < steps:
                    raise DamagedBag(f"the bag of episode {episode} holds {len(records)} of {steps} steps")
            except FileNotFoundError:
                continue  # the journal became a bag meanwhile
            except DamagedBag as problem:
                with self._lock:
                    self._summaries = [s for s in self._summaries if s.episode != episode]
                    self._first_seqs = [s.first_seq for s in self._summaries]
                    self._set_aside(self.folder / bag_name(episode), str(problem))
                continue
            with self._lock:
                self._cache = (episode, records)
            return episode, first_seq, records

    def _find(self, seq: int) -> tuple[int, int, int, Path | None] | None:
        """The first episode with a step at or after ``seq``: (episode, first seq, steps, journal).

        ``journal`` is None if the episode has a bag.
        """
        index = max(0, bisect.bisect_right(self._first_seqs, seq) - 1)
        candidates: list[tuple[int, int, int, Path | None]] = [
            (s.episode, s.first_seq, s.steps, None) for s in self._summaries[index : index + 2]
        ]
        candidates += [
            (item.summary.episode, item.summary.first_seq, item.steps, item.journal)
            for item in self._open.values()
        ]
        return min((c for c in candidates if seq < c[1] + c[2]), key=lambda c: c[1], default=None)

    def transitions(self, from_seq: int = 0) -> Iterator[Transition]:
        """All transitions from ``from_seq`` on, in order."""
        while records := self.fetch(from_seq, 256):
            for record in records:
                transition = decode_transition(record)
                from_seq = transition.seq + 1
                yield transition

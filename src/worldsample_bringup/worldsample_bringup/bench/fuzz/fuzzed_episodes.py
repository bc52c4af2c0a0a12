"""Decoders of recorded episodes: bags, journals, and a whole folder of them as a run opens it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import yaml

from worldsample_bringup.bench.fuzz.byte_mutations import CUT, ONE_BIT, flip, mutate
from worldsample_bringup.bench.fuzz.fuzzed_decoder import FuzzedDecoder
from worldsample_bringup.bench.fuzz.fuzzed_run import FolderCopy, open_store
from worldsample_bringup.bench.fuzz.value_mutations import spoil
from worldsample_bringup.run.run_folder import RunFolder
from worldsample_bringup.run.verify_run import verify, worst
from worldsample_core.episodes.episode_bag import (
    DIGEST,
    METADATA,
    DamagedBag,
    check_bag,
    read_metadata,
    read_transitions,
)
from worldsample_core.episodes.episode_numbering import FILE as NUMBERING
from worldsample_core.episodes.episode_numbering import read_numbering
from worldsample_core.episodes.episode_store import find_bags
from worldsample_core.episodes.journal import StorageError, read_journal
from worldsample_core.messages.conversions import transition_to_message
from worldsample_core.observation import InvalidObservation
from worldsample_core.transition import Transition


class DamagedFiles(NamedTuple):
    """Files of a folder with other contents; None: the file is missing. kind: of the mutation."""

    kind: str
    changes: Mapping[str, bytes | None]


def messages_of(transitions: Sequence[Transition]) -> list[Any]:
    """Transitions in a form that is compared field by field."""
    return [transition_to_message(each) for each in transitions]


class FuzzedBag(FuzzedDecoder[DamagedFiles]):
    """One episode's bag, data and metadata. Half of the inputs have one changed bit, which must be found."""

    name, share = "episode bags", 10.0
    declared = (DamagedBag, InvalidObservation)

    def __init__(self, run: RunFolder, place: Path) -> None:
        bag, other = find_bags(run.path)[:2]
        self.path = place / bag.name
        shutil.copytree(bag, self.path)
        self._copy = FolderCopy(self.path)
        self._others = [path.read_bytes() for path in sorted(other.iterdir())]
        self._data = f"{bag.name}.mcap"
        self._other_data = (other / f"{other.name}.mcap").read_bytes()
        self._truth = messages_of(read_transitions(self.path)), read_metadata(self.path)

    def mutate(self, dice: Random) -> DamagedFiles:
        name = dice.choice((self._data, METADATA))
        data = self._copy.files[name]
        way = dice.random()
        if way < 0.5:
            return DamagedFiles(ONE_BIT, {name: flip(data, dice).data})
        if way < 0.8:
            kind, changed = (mutated := mutate(data, self._others, dice)).kind, mutated.data
            return DamagedFiles(kind if changed != data else "none", {name: changed})
        return dice.choice((self._exchanged, self._missing, self._one_more, self._rewritten))(name, dice)

    def _exchanged(self, name: str, dice: Random) -> DamagedFiles:
        return DamagedFiles("data of another episode", {self._data: self._other_data})

    def _missing(self, name: str, dice: Random) -> DamagedFiles:
        return DamagedFiles("missing", {name: None})

    def _one_more(self, name: str, dice: Random) -> DamagedFiles:
        return DamagedFiles("one more", {dice.choice(("episode_000009.mcap", "a.mcap")): self._other_data})

    def _rewritten(self, name: str, dice: Random) -> DamagedFiles:
        """Metadata with other values, without a digest or with the old one."""
        body, mark, digest = self._copy.files[METADATA].rpartition(DIGEST.encode())
        values = spoil(yaml.safe_load(body), dice)
        text = yaml.dump(values).encode("utf-8", "surrogatepass")
        return DamagedFiles("rewritten", {METADATA: text + (mark + digest if dice.random() < 0.5 else b"")})

    def decode(self, made: DamagedFiles) -> str:
        self._copy.write(made.changes)
        summary = check_bag(self.path)
        got = messages_of(read_transitions(self.path)), read_metadata(self.path)
        if made.kind == ONE_BIT:
            return f"one changed bit of {next(iter(made.changes))} was not found"
        same = got == self._truth and summary == got[1][0]
        return "" if same else f"{made.kind}: the episode differs, and no check found it"

    def is_one_bit(self, made: DamagedFiles) -> bool:
        return made.kind == ONE_BIT


class FuzzedJournal(FuzzedDecoder[DamagedFiles]):
    """The journal of an episode that was interrupted: what follows damage is missing, and it says so."""

    name, share = "journals", 8.0
    declared = (StorageError,)

    def __init__(self, run: RunFolder, place: Path) -> None:
        (journal,) = run.episodes.glob("*.journal")
        self._path = place / journal.name
        self._bytes = journal.read_bytes()
        self._truth = read_journal(journal)

    def mutate(self, dice: Random) -> DamagedFiles:
        if dice.random() < 0.5:
            return DamagedFiles(ONE_BIT, {"": flip(self._bytes, dice).data})
        mutated = mutate(self._bytes, (), dice)
        return DamagedFiles(mutated.kind, {"": mutated.data})

    def decode(self, made: DamagedFiles) -> str:
        data = made.changes[""] or b""
        self._path.write_bytes(data)
        got = read_journal(self._path)
        kept = len(got.records)
        if got.records != self._truth.records[:kept] or (kept and got.header != self._truth.header):
            return f"{made.kind}: a record differs"
        whole = len(self._truth.records)
        cut_off = self._bytes.startswith(data)  # as a crash leaves it
        unfinished = made.kind != ONE_BIT and got.torn_bytes and kept == whole - 1
        told = got.damaged or cut_off or unfinished
        return "" if told or kept == whole else f"{made.kind}: records are missing"

    def is_one_bit(self, made: DamagedFiles) -> bool:
        return False  # what is behind the last whole record is passed over


class FuzzedNumbering(FuzzedDecoder[bytes]):
    """The numbers that a run has given away: damage gives none, never others."""

    name, share = "numbering", 1.0

    def __init__(self, run: RunFolder, place: Path) -> None:
        self._folder = place
        self._bytes = (run.episodes / NUMBERING).read_bytes()
        self._truth = read_numbering(run.episodes)

    def mutate(self, dice: Random) -> bytes:
        return mutate(self._bytes, (), dice).data

    def decode(self, made: bytes) -> str:
        (self._folder / NUMBERING).write_bytes(made)
        got = read_numbering(self._folder)
        return "" if got in (self._truth, type(got)()) else f"the numbers are {got}"


class FuzzedEpisodes(FuzzedDecoder[DamagedFiles]):
    """A folder of episodes as a run opens it: it gives what was recorded, and says what is lost."""

    name, share = "episode folders", 2.0
    declared = (StorageError,)

    def __init__(self, run: RunFolder, place: Path) -> None:
        self._run = RunFolder(place / "run")
        shutil.copytree(run.episodes, self._run.episodes)
        self._copy = FolderCopy(self._run.episodes)
        store = open_store(self._run.path)
        self._truth = {each.seq: transition_to_message(each) for each in store.transitions()}
        self._last = {each.seq for each in store.transitions() if each.episode == store.next_episode - 1}
        store.close()
        self._names = [name for name in self._copy.files if not name.endswith(".lock")]

    def mutate(self, dice: Random) -> DamagedFiles:
        changes: dict[str, bytes | None] = {}
        cut = False
        for name in dice.sample(self._names, dice.choice((1, 1, 2))):
            mutated = mutate(self._copy.files[name], (), dice)
            changes[name] = mutated.data if dice.random() < 0.9 else None
            journal = name.endswith(".journal")
            cut |= journal and (changes[name] is None or mutated.kind in (CUT, "noise", "removed"))
        return DamagedFiles(CUT if cut else "damaged", changes)

    def decode(self, made: DamagedFiles) -> str:
        self._copy.write(made.changes)
        state = worst(verify(self._run))
        store = open_store(self._run.path)
        try:
            got = list(store.transitions())
            told = list(store.problems)
        finally:
            store.close()
        for each in got:
            message = transition_to_message(each)
            known = self._truth.get(each.seq)
            if known is None or not _same_step(message, known):
                return f"step {each.seq} differs in {sorted(made.changes)}"
        lost = self._truth.keys() - {each.seq for each in got}
        if made.kind == CUT:  # a journal that ends early is one of an episode that did
            lost -= self._last
        if lost and not told:
            return f"steps {sorted(lost)} are lost without a word, by {sorted(made.changes)}"
        return f"verify found nothing of {sorted(lost)}" if lost and state == "whole" else ""


def _same_step(left: Any, right: Any) -> bool:
    """Equal, but for the end of an interrupted episode, which may be at an earlier step."""
    left.truncated = right.truncated
    return bool(left == right)


def fuzzed_episodes(run: RunFolder, place: Path) -> list[FuzzedDecoder[Any]]:
    """The decoders of episodes; they work in ``place``."""
    kinds = (FuzzedBag, FuzzedJournal, FuzzedNumbering, FuzzedEpisodes)
    made: list[FuzzedDecoder[Any]] = []
    for kind in kinds:
        own = place / kind.__name__
        own.mkdir(parents=True)
        made.append(kind(run, own))
    return made

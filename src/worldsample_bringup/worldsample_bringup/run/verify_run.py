"""``worldsample verify RUN``: what of a run folder is whole, what can be mended, and what is lost.

It reads everything and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from shlex import quote
from typing import Any, Literal

from worldsample_bringup.run.history import count_damaged
from worldsample_bringup.run.run_folder import RunFolder
from worldsample_bringup.run.summary_record import read_summary_text
from worldsample_core.checkpoint_error import CheckpointError
from worldsample_core.command_name import command_name
from worldsample_core.config import ConfigError
from worldsample_core.episodes.episode_bag import DamagedBag, check_bag, read_records, read_summary
from worldsample_core.episodes.episode_numbering import missing_numbers, read_numbering
from worldsample_core.episodes.episode_store import bag_name, damaged_episodes, find_bags
from worldsample_core.episodes.journal import StorageError, read_journal
from worldsample_core.kept_counts import read_counts, whole_counts
from worldsample_core.transition import EpisodeSummary

State = Literal["whole", "mended", "lost"]
EXIT_CODES: dict[State, int] = {"whole": 0, "lost": 1, "mended": 3}
"""Exit code of the command by the worst that was found."""


@dataclass(frozen=True)
class FileFinding:
    """One thing in a run folder.

    Attributes:
        what: relative path, or a range of steps.
        state: whole; mended: damaged, and rebuilt without loss as the run goes on; lost: something is gone.
        detail: for people, what is wrong and what follows from it; "" where it is whole.
    """

    what: str
    state: State
    detail: str = ""


def verify(folder: RunFolder) -> list[FileFinding]:
    """Look at everything that stands in a run folder."""
    return [
        *_configuration(folder),
        *_episodes(folder),
        *_checkpoints(folder),
        *_world_models(folder),
        *_counts(folder),
        *_derived(folder),
    ]


def worst(findings: list[FileFinding]) -> State:
    """The worst state among the findings."""
    states = {finding.state for finding in findings}
    return "lost" if "lost" in states else "mended" if "mended" in states else "whole"


def as_mapping(folder: RunFolder, findings: list[FileFinding]) -> dict[str, Any]:
    """The result for ``--json``."""
    result: dict[str, Any] = {"run_dir": str(folder.path), "state": worst(findings)}
    for state in EXIT_CODES:
        chosen = [finding for finding in findings if finding.state == state]
        result[state] = len(chosen)
        if state != "whole":
            result[f"{state}_parts"] = [asdict(finding) for finding in chosen]
    return result


def in_words(findings: list[FileFinding]) -> str:
    """The result for people."""
    lines = [
        f"{finding.state:<7} {finding.what}: {finding.detail}"
        for finding in findings
        if finding.state != "whole"
    ]
    count = sum(finding.state == "whole" for finding in findings)
    return "\n".join([*lines, f"{count} of {len(findings)} parts are whole"])


def _configuration(folder: RunFolder) -> Iterator[FileFinding]:
    try:
        folder.settings()
        yield FileFinding("config.yaml", "whole")
    except ConfigError as problem:
        yield FileFinding("config.yaml", "lost", str(problem))


def _episodes(folder: RunFolder) -> Iterator[FileFinding]:
    found: list[EpisodeSummary] = []
    known = damaged_episodes(folder.episodes)
    for bag in find_bags(folder.path):
        what = f"episodes/{bag.name}"
        try:
            summary = check_bag(bag)
            if bag.name != bag_name(summary.episode):
                raise DamagedBag(f"it holds episode {summary.episode}")
            yield FileFinding(what, "whole")
            found.append(summary)
        except DamagedBag as problem:
            try:
                read_records(bag)
                found.append(read_summary(bag))
                yield FileFinding(
                    what, "mended", f"{problem}; its data are whole, and it is rebuilt from them"
                )
            except DamagedBag:
                known.add(int(bag.name.rpartition("_")[2]))
                yield FileFinding(what, "lost", f"{problem}; its steps are left out")
    journals = sorted(folder.episodes.glob("*.journal")) if folder.episodes.is_dir() else []
    for journal in journals:
        known.add(int(journal.stem) if journal.stem.isdigit() else -1)
        yield _journal(journal)
    damaged = folder.episodes / "damaged"
    for path in sorted(damaged.iterdir()) if damaged.is_dir() else []:
        if path.suffix != ".mcap":  # those are copies of what was rebuilt
            yield FileFinding(
                f"episodes/damaged/{path.name}", "lost", "set aside, because it could not be read"
            )
    found.sort(key=lambda summary: summary.episode)
    for gap in missing_numbers(found, read_numbering(folder.episodes).next_seq, known):
        yield FileFinding("episodes", "lost", gap)


def _journal(path: Path) -> FileFinding:
    what = f"episodes/{path.name}"
    try:
        contents = read_journal(path)
    except (StorageError, OSError) as problem:
        return FileFinding(what, "lost", str(problem))
    if contents.damaged:
        return FileFinding(what, "lost", f"damaged after {len(contents.records)} steps, which are kept")
    return FileFinding(
        what, "mended", f"an unfinished episode of {len(contents.records)} steps becomes a bag"
    )


def _checkpoints(folder: RunFolder) -> Iterator[FileFinding]:
    from worldsample_policy.learning import checkpoint_directory

    paths = [folder.checkpoints / f"step_{step}" for step in folder.checkpoint_steps()]
    again = "the learner trains again from the recorded episodes"
    yield from _newest_whole(folder, paths, checkpoint_directory.read, again)
    if folder.checkpoints.is_dir():
        yield from _left_behind(folder, folder.checkpoints)


def _world_models(folder: RunFolder) -> Iterator[FileFinding]:
    from worldsample_worldmodel.model import model_file

    for publisher in sorted(folder.path.glob("worldmodel*")):
        if publisher.is_dir():
            paths = sorted(publisher.glob("step_*.safetensors"))
            again = "the world model is trained again from the recorded episodes"
            yield from _newest_whole(folder, paths, model_file.read, again)
            yield from _left_behind(folder, publisher)
    for path in folder.path.glob("reward_model.safetensors"):
        again = "the classifier is fitted again to the labels"
        yield from _newest_whole(folder, [path], model_file.read, again)


def _newest_whole(
    folder: RunFolder, paths: list[Path], read: Callable[[Path], Any], again: str
) -> Iterator[FileFinding]:
    """Checkpoints, oldest first: a damaged one costs what was learned since the whole one before it."""
    whole = 0
    for path in paths:
        what = str(path.relative_to(folder.path))
        try:
            read(path)
            whole += 1
            yield FileFinding(what, "whole")
        except CheckpointError as problem:
            remedy = "the checkpoint before it is used" if whole else again
            yield FileFinding(what, "mended", f"{problem}; {remedy}")


def _left_behind(folder: RunFolder, place: Path) -> Iterator[FileFinding]:
    for path in sorted(place.glob(".*.tmp")):
        what = str(path.relative_to(folder.path))
        yield FileFinding(what, "mended", "left behind by a process that was killed; the next one removes it")


def _counts(folder: RunFolder) -> Iterator[FileFinding]:
    """Counts of what was published; each file has a copy."""
    from worldsample_policy.learning.learner_checkpoints import WEIGHTS_VERSION
    from worldsample_worldmodel.running.world_model_checkpoints import PUBLISHED, Published

    files: dict[Path, tuple[str, ...]] = {folder.checkpoints / WEIGHTS_VERSION: ("version",)}
    for path in sorted(folder.path.glob(f"worldmodel*/{PUBLISHED}")):
        files[path] = tuple(vars(Published()))
    for path, names in files.items():
        if not path.exists():
            continue
        what = str(path.relative_to(folder.path))
        if whole_counts(path, names) is not None:
            yield FileFinding(what, "whole")
        elif read_counts(path, names) is not None:
            yield FileFinding(what, "mended", "damaged; its copy is used")
        else:
            yield FileFinding(what, "lost", "damaged, and so is its copy: it counts from 0 again")


def _derived(folder: RunFolder) -> Iterator[FileFinding]:
    """Files that are written anew from others."""
    if folder.metrics.exists():
        damaged = count_damaged(folder.metrics)
        detail = f"{damaged} damaged lines; episodes are read from their bags, statuses are left out"
        yield FileFinding("metrics.jsonl", "mended" if damaged else "whole", detail if damaged else "")
    if (folder.path / "evaluations.jsonl").exists():
        from worldsample_policy.acting.run_plan import EvaluationLog

        damaged = EvaluationLog(folder.path, mend=False).damaged
        detail = f"{damaged} damaged lines; those evaluations are repeated" if damaged else ""
        yield FileFinding("evaluations.jsonl", "mended" if damaged else "whole", detail)
    if folder.summary.exists():
        try:
            read_summary_text(folder.summary.read_bytes())
            yield FileFinding("summary.json", "whole")
        except ValueError as problem:
            detail = (
                f"unreadable ({problem}): `{command_name()} report {quote(str(folder.path))}` writes it again"
            )
            yield FileFinding("summary.json", "mended", detail)

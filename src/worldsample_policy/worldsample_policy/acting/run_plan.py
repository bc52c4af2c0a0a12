"""The order of a run: demonstrations, training episodes, evaluations, the end.

It is decided from what is on disk only, so that a resumed run goes on exactly where it was.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from worldsample_core.config import ConfigError, TaskConfig, from_mapping
from worldsample_core.episodes.journal import explain
from worldsample_core.episodes.label_count import label_count
from worldsample_core.settings import RunConfig
from worldsample_core.transition import EpisodeKind, EpisodeSummary

EVALUATIONS = "evaluations.jsonl"
FINAL = 1_000_000
"""Index of the first scene of a last evaluation: the same scenes whenever it is, so that ``worldsample eval``
repeats it from a checkpoint."""
MAX_DEMO_FAILURES = 3
"""Failed demonstrations per wanted one (and ten) after which recording gives up."""
MAX_UNLABELLED = 20
"""Frames of failure per wanted frame after which a recording of labels without a single success gives up."""


KINDS: tuple[EpisodeKind, ...] = ("train", "demo", "eval", "label")


def episode_seed(run_seed: int, kind: EpisodeKind, index: int, attempt: int = 0) -> int:
    """Seed of an episode's reset: 62 bits of a hash and two bits of its kind.

    The bits of the kind make sure that an evaluation never has a training seed.
    """
    name = f"{run_seed}/{kind}/{index}" + (f"/{attempt}" if attempt else "")
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "little") & ~3) % (1 << 63) | KINDS.index(kind)


@dataclass(frozen=True)
class EvaluatedEpisode:
    """One finished evaluation episode.

    ``real_steps`` of its summary tells when it ran. ``final``: it belongs to the last evaluation.
    """

    summary: EpisodeSummary
    final: bool


def _read_evaluation(line: bytes, where: str) -> EvaluatedEpisode | None:
    """The evaluation in a line; None where it is damaged: that evaluation is repeated."""
    try:
        entry = from_mapping(EvaluatedEpisode, json.loads(line), where)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None
    summary = entry.summary
    counts = (summary.episode, summary.steps, summary.real_steps, summary.intervention_steps)
    whole = line.endswith(b"\n") and summary.kind == "eval" and all(0 <= n < 1 << 53 for n in counts)
    return entry if whole else None


class EvaluationLog:
    """The run's evaluation episodes, one JSON line each: they are not among the real episodes on disk.

    Attributes:
        damaged: lines that could not be read; those evaluations are repeated.
    """

    def __init__(self, run_folder: Path, mend: bool = True) -> None:
        """Read the file of a run folder.

        Args:
            run_folder: the folder.
            mend: write a damaged file anew with the lines that are whole; for the process that appends.
        """
        self.path = run_folder / EVALUATIONS
        self.entries: list[EvaluatedEpisode] = []
        self.damaged = 0
        data = self.path.read_bytes() if self.path.exists() else b""
        kept = []
        for line in data.splitlines(keepends=True):
            entry = _read_evaluation(line, str(self.path))
            if entry is None:  # a crash may have torn the last line
                self.damaged += line.endswith(b"\n")
                continue
            self.entries.append(entry)
            kept.append(line)
        if mend and b"".join(kept) != data:
            temporary = self.path.with_suffix(".part")
            temporary.write_bytes(b"".join(kept))
            os.replace(temporary, self.path)

    def append(self, summary: EpisodeSummary, final: bool) -> None:
        """Keep one episode. Raises StorageError, DiskFull among them."""
        entry = EvaluatedEpisode(summary, final)
        try:
            with self.path.open("ab") as file:
                file.write(json.dumps(dataclasses.asdict(entry)).encode() + b"\n")
        except OSError as error:
            raise explain(error, self.path) from error
        self.entries.append(entry)


@dataclass(frozen=True)
class NextEpisode:
    """An episode to run.

    Attributes:
        kind: train, demo, eval or label.
        index: within training and demonstrations, or within evaluations.
        seed: of the reset, drawn from the index, or from the position in a last evaluation.
        number, of: position in its phase, from 0, and how many the phase has (0: not limited).
        max_steps: control steps until it is truncated.
        final: of the last evaluation.
    """

    kind: EpisodeKind
    index: int
    seed: int
    number: int
    of: int
    max_steps: int
    final: bool = False


class RunPlan:
    """The order of a run's episodes (one phase after the other, evaluations between training episodes)."""

    def __init__(self, run: RunConfig, task: TaskConfig) -> None:
        self.run, self.task = run, task

    def next(
        self,
        episodes: Sequence[EpisodeSummary],
        evaluations: Sequence[EvaluatedEpisode],
        next_episode: int,
        real_steps: int,
        attempt: int = 0,
    ) -> NextEpisode | None:
        """The next episode; None when the run is done.

        Args:
            episodes: finished training episodes and demonstrations.
            evaluations: finished evaluation episodes.
            next_episode: index of the next real episode.
            real_steps: training steps so far.
            attempt: how many episodes in a row ended before their first step; each is drawn anew.

        Raises:
            ConfigError: demonstrations keep failing.
        """
        run = self.run

        def episode(
            kind: EpisodeKind, index: int, number: int, of: int, max_steps: int, final: bool = False
        ) -> NextEpisode:
            seed = episode_seed(run.seed, kind, FINAL + number if final else index, attempt)
            return NextEpisode(kind, index, seed, number, of, max_steps, final)

        if run.mode in ("train", "demos"):
            demos = sum(e.kind == "demo" and e.success for e in episodes)
            if demos < run.demos:
                failed = sum(e.kind == "demo" and not e.success for e in episodes)
                if failed > 10 + MAX_DEMO_FAILURES * run.demos:
                    raise ConfigError(
                        f"{failed} demonstrations did not succeed ({demos} did): check the task and the "
                        "operator's success button"
                    )
                return episode("demo", next_episode, demos, run.demos, self.task.horizon)
        if run.mode == "demos":
            return None
        if run.mode == "label":
            count = label_count(episodes)
            if count.complete(run.labels):
                return None
            if not count.successes and count.failures > MAX_UNLABELLED * run.labels:
                raise ConfigError(
                    f"{count.failures} frames, and not one is labelled a success: hold the operator's "
                    "success button while the task is solved (teleop.buttons.success)"
                )
            return episode(
                "label", next_episode, sum(e.kind == "label" for e in episodes), 0, self.task.horizon
            )
        if run.mode == "train" and real_steps < self.task.max_real_steps and not self.solved(evaluations):
            if run.eval_every and run.eval_episodes:
                round_ = real_steps // run.eval_every
                done = sum(
                    not e.final and e.summary.real_steps // run.eval_every == round_ for e in evaluations
                )
                if round_ and done < run.eval_episodes:
                    return episode("eval", len(evaluations), done, run.eval_episodes, self.task.horizon)
            steps = min(self.task.horizon, self.task.max_real_steps - real_steps)
            return episode("train", next_episode, sum(e.kind == "train" for e in episodes), 0, steps)
        # A finished run that is trained further gets a new last evaluation.
        done = sum(e.final and e.summary.real_steps == real_steps for e in evaluations)
        if done < run.final_eval_episodes:
            of = run.final_eval_episodes
            return episode("eval", len(evaluations), done, of, self.task.horizon, final=True)
        return None

    def solved(self, evaluations: Sequence[EvaluatedEpisode]) -> bool:
        """True if the last ``stop_when_solved`` complete evaluations all reached ``solved_success``."""
        run = self.run
        if not (run.stop_when_solved and run.eval_every and run.eval_episodes):
            return False
        rounds: dict[int, list[bool]] = {}
        for evaluation in evaluations:
            if not evaluation.final:
                rounds.setdefault(evaluation.summary.real_steps // run.eval_every, []).append(
                    evaluation.summary.success
                )
        complete = [results for results in rounds.values() if len(results) >= run.eval_episodes]
        last = complete[-run.stop_when_solved :]
        return len(last) == run.stop_when_solved and all(sum(r) / len(r) >= run.solved_success for r in last)

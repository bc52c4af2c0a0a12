"""Evaluations beside training, in a process that has a simulator of its own.

A run in lockstep would otherwise stand still for a quarter of its time while its policy is evaluated in the
cell. The policy hands over its weights and the scenes; the other process answers with the results, in order.
Both stand on disk until the results are there, so that a killed run goes on with what it still owes.

The process reads lines from its standard input and writes lines to its standard output, JSON both::

    {"id": 3, "weights": "/run/evaluations/120.safetensors", "seed": 17, "max_steps": 60, "real_steps": 500}
    {"id": 3, "success": true, "steps": 41}
"""

from __future__ import annotations

import dataclasses
import json
import os
import queue
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from worldsample_core.config import ConfigError, from_mapping
from worldsample_core.episodes.journal import explain
from worldsample_core.node.parent_death import die_with_parent
from worldsample_core.node.stopping import RunFailed
from worldsample_core.transition import EpisodeSummary
from worldsample_policy.acting.run_plan import EvaluatedEpisode, NextEpisode

FOLDER = "evaluations"
"""Folder of a run for weights that wait for their evaluation."""
PENDING = "pending.json"
PATIENCE = 180.0
"""Seconds without an answer after which the process counts as dead: one episode takes one."""
MAX_DEATHS = 3
"""Deaths in a row, without an answer in between, after which the run fails."""


@dataclass(frozen=True)
class AwaitedEpisode:
    """An evaluation episode whose result is not there yet.

    Attributes:
        plan: the episode. real_steps: of the run when it was asked for. version: of the weights that act.
    """

    plan: NextEpisode
    real_steps: int
    version: int

    def ended(self, run: str, success: bool, steps: int) -> EvaluatedEpisode:
        """The entry of the log, once the episode has ended."""
        summary = EpisodeSummary(
            kind="eval",
            episode=self.plan.index,
            steps=steps,
            episode_return=float(success),
            success=success,
            truncated=not success and steps >= self.plan.max_steps,
            policy_version=self.version,
            real_steps=self.real_steps,
            seed=self.plan.seed,
            run=run,
        )
        return EvaluatedEpisode(summary, self.plan.final)


class EvaluationBeside:
    """Owner of the process that evaluates, and of the episodes that it still owes.

    Args:
        command: starts the process.
        run_folder, run: of the run.
        weights: gives the weights that act now, as arrays by name.
        warn: tells people.
    """

    def __init__(
        self,
        command: Sequence[str],
        run_folder: Path,
        run: str,
        weights: Callable[[], Mapping[str, NDArray[Any]]],
        warn: Callable[[str], None],
    ) -> None:
        self._command, self._run, self._weights, self._warn = tuple(command), run, weights, warn
        self._folder = run_folder / FOLDER
        self._awaited: deque[AwaitedEpisode] = deque()
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.SimpleQueue[tuple[int, str]] = queue.SimpleQueue()
        self._generation = self._deaths = 0
        self._heard = 0.0

    # --- what is owed ---

    @property
    def outstanding(self) -> int:
        """Episodes whose results are not there yet."""
        return len(self._awaited)

    def awaited(self) -> list[EvaluatedEpisode]:
        """Entries in place of those that the log will have, in its order; their success is not known."""
        return [episode.ended(self._run, False, 0) for episode in self._awaited]

    def restore(self, finished: Sequence[EvaluatedEpisode]) -> None:
        """Take up what an earlier life of the run still owed; ``finished``: the log."""
        try:
            listed = json.loads((self._folder / PENDING).read_text())
            if not (isinstance(listed, list) and all(isinstance(entry, dict) for entry in listed)):
                raise ValueError("it is no list of episodes")
            episodes = [from_mapping(AwaitedEpisode, entry, PENDING) for entry in listed]
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, ConfigError) as error:
            self._warn(f"evaluations that were still owed are lost, their list is damaged: {error}")
            return
        known = {(e.summary.seed, e.summary.real_steps, e.final) for e in finished}
        for episode in episodes:
            key = (episode.plan.seed, episode.real_steps, episode.plan.final)
            if key not in known and self._file(episode.version).exists():
                self._awaited.append(episode)

    def post(self, episodes: Sequence[NextEpisode], real_steps: int, version: int, now: float) -> None:
        """Ask for episodes with the weights that act now, of that version. now: s, monotonic.

        Raises:
            StorageError: the disk does not take the weights.
        """
        file = self._file(version)
        try:
            self._folder.mkdir(exist_ok=True)
            if not file.exists():
                arrays = {name: np.ascontiguousarray(array) for name, array in self._weights().items()}
                partial = file.with_suffix(".partial")
                save_file(arrays, partial)
                partial.replace(file)
        except OSError as error:
            raise explain(error, file) from error
        if not self._awaited:
            self._heard = now
        asked = [AwaitedEpisode(plan, real_steps, version) for plan in episodes]
        self._awaited.extend(asked)
        self._keep()
        if self._process is not None:
            self._send(asked)

    # --- results ---

    def collect(self, now: float) -> Iterator[EvaluatedEpisode]:
        """The results that have come, in the order of the log. now: s, monotonic.

        Raises:
            RunFailed: the process dies again and again.
        """
        if self._awaited and self._process is None:
            self._start(now)
        while self._awaited:
            try:
                generation, line = self._lines.get_nowait()
            except queue.Empty:
                break
            if generation != self._generation:
                continue
            result = self._result(line)
            if result is None:
                self._died(now, "its process has ended" if not line else f"it answered {line[:80]!r}")
                break
            self._heard, self._deaths = now, 0
            yield result
            self._awaited.popleft()  # after it stands in the log
            self._keep()
        if self._awaited and now - self._heard > PATIENCE:
            self._died(now, f"it has said nothing for {PATIENCE:.0f} s")
        self._clear()

    def _result(self, line: str) -> EvaluatedEpisode | None:
        """The entry that a line tells of; None where it is not the answer that is due."""
        try:
            said = json.loads(line)
            if said["id"] != self._awaited[0].plan.index:
                return None
            steps, success = said["steps"], said["success"]
        except (ValueError, KeyError, TypeError):
            return None
        if not (isinstance(steps, int) and isinstance(success, bool) and steps >= 0):
            return None
        return self._awaited[0].ended(self._run, success, steps)

    # --- the process ---

    def _start(self, now: float) -> None:
        self._generation += 1
        self._heard = now
        self._process = process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            preexec_fn=_alone(die_with_parent()),
        )
        threading.Thread(target=self._read, args=(process, self._generation), daemon=True).start()
        self._send(list(self._awaited))

    def _read(self, process: subprocess.Popen[str], generation: int) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self._lines.put((generation, line))
        self._lines.put((generation, ""))

    def _send(self, episodes: Sequence[AwaitedEpisode]) -> None:
        assert self._process is not None and self._process.stdin is not None
        try:
            for episode in episodes:
                plan = episode.plan
                weights = str(self._file(episode.version).absolute())
                job = {"id": plan.index, "weights": weights, "seed": plan.seed, "max_steps": plan.max_steps}
                job["real_steps"] = episode.real_steps
                self._process.stdin.write(json.dumps(job) + "\n")
            self._process.stdin.flush()
        except OSError:
            pass  # it has died: the reader tells

    def _died(self, now: float, why: str) -> None:
        self._stop()
        self._deaths += 1
        if self._deaths >= MAX_DEATHS:
            raise RunFailed(
                f"evaluations beside training failed {self._deaths} times: {why}",
                "look at the policy's log; run.evaluate_beside=false evaluates in the run's own cell",
            )
        self._warn(f"evaluations beside training start again: {why}")
        self._start(now)

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        """End the process. What it still owed stays on disk."""
        self._stop()

    # --- on disk ---

    def _file(self, version: int) -> Path:
        return self._folder / f"{version}.safetensors"

    def _keep(self) -> None:
        partial = self._folder / f"{PENDING}.partial"
        try:
            partial.write_text(json.dumps([dataclasses.asdict(episode) for episode in self._awaited]))
            partial.replace(self._folder / PENDING)
        except OSError as error:
            raise explain(error, self._folder / PENDING) from error

    def _clear(self) -> None:
        """Remove weights that no episode waits for any more; at last the folder."""
        if not self._folder.is_dir():
            return
        wanted = {self._file(episode.version).name for episode in self._awaited} | {PENDING}
        for file in self._folder.iterdir():
            if file.name not in wanted or not self._awaited:
                file.unlink(missing_ok=True)
        if not self._awaited:
            self._folder.rmdir()


def _alone(die_with_parent: Callable[[], None]) -> Callable[[], None]:
    """A ``preexec_fn``: Ctrl-C at the terminal is for the policy, which ends its processes itself."""

    def prepare() -> None:
        die_with_parent()
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    return prepare

"""A small run folder whose files are damaged: episodes, a journal, checkpoints, metrics, configuration."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from worldsample_bringup.dashboard.metrics import MetricsLog
from worldsample_bringup.report.report import write_report
from worldsample_bringup.run.configuration import layers, make_settings, write_config
from worldsample_bringup.run.run_folder import RunFolder
from worldsample_core.config import merge
from worldsample_core.episodes.episode_bag import encode_transition
from worldsample_core.episodes.episode_store import EpisodeStore
from worldsample_core.transition import EpisodeSummary
from worldsample_policy.acting.run_plan import EvaluationLog
from worldsample_policy.tiny_learner import make_episode

SIZE = 16
"""Side of the images, pixels."""
STEPS = 3
"""Steps of each episode."""
EPISODES = 3
"""Finished episodes; one more is still running."""
RUN = "r"
SUMMARY = EpisodeSummary("train", 0, 0, 1.0, success=True, truncated=False)


def make_run(path: Path) -> RunFolder:
    """A run folder with finished episodes, one that was interrupted, and what is made of them."""
    folder = RunFolder(path)
    folder.path.mkdir(parents=True)
    said = {"run": {"name": RUN, "directory": str(folder.path), "mode": "train"}}
    settings = make_settings(merge(layers("cpu", "hil_serl", "pushing", True), said))
    write_config(folder.config, settings)
    store = open_store(folder.path)
    for number in range(EPISODES + 1):
        record_episode(store, finish=number < EPISODES)
    store.drain()
    log = MetricsLog(folder)
    log.start(False, "abc")
    for summary in store.summaries:
        log.episode(summary)
        log.status("learner", {"updates": 10 * summary.real_steps, "critic_loss": 0.5, "state": "training"})
        log.status("policy", {"real_steps": summary.real_steps, "phase": "train"})
    evaluations = EvaluationLog(folder.path)
    for number in range(4):
        evaluation = dataclasses.replace(SUMMARY, kind="eval", episode=number, steps=9, real_steps=9)
        evaluations.append(evaluation, final=number > 1)
        log.episode(evaluation)
    log.close()
    store.close()
    write_report(folder)
    return folder


def open_store(path: Path) -> EpisodeStore:
    """The episodes of a run folder."""
    return EpisodeStore(path, RUN, custom={"task": "pushing"}, min_free_bytes=0)


def record_episode(store: EpisodeStore, finish: bool) -> None:
    """Record an episode of random steps."""
    episode = store.begin("train")
    rng = np.random.default_rng(episode)
    for step in make_episode(rng, STEPS, episode=episode, first_seq=store.next_seq, size=SIZE):
        store.append(encode_transition(dataclasses.replace(step, run=RUN)))
    if finish:
        store.finish(SUMMARY)


class FolderCopy:
    """The files of a folder, kept in memory, to be damaged and put back."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: Mapping[str, bytes] = {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }

    def write(self, changes: Mapping[str, bytes | None]) -> None:
        """Put all files back, but those in ``changes`` with other contents; None leaves a file out."""
        shutil.rmtree(self.folder)
        for name, data in {**self.files, **changes}.items():
            if data is not None:
                path = self.folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)


def lines_of(data: bytes) -> list[dict[str, object]]:
    """The values of the lines of a ``.jsonl``."""
    return [json.loads(line) for line in data.splitlines()]

"""Writes imported episodes as a folder of demonstrations, as ``worldsample demos`` leaves one."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from worldsample_bringup.dataset.recorded_episode import RecordedEpisode
from worldsample_bringup.run.configuration import write_config
from worldsample_bringup.run.run_folder import RunFolder
from worldsample_core.config import ConfigError
from worldsample_core.episodes.episode_bag import encode_transition
from worldsample_core.episodes.episode_store import EpisodeStore
from worldsample_core.episodes.recorded_with import recorded_with
from worldsample_core.episodes.standard_messages import StandardMessages
from worldsample_core.settings import Settings
from worldsample_core.transition import EpisodeSummary


def write_demonstrations(
    folder: RunFolder, settings: Settings, episodes: Iterable[RecordedEpisode], told: Callable[[str], None]
) -> tuple[int, int]:
    """Write ``episodes`` into the new ``folder``, for ``train --demos-from``.

    Args:
        folder: is made; nothing is left there where an episode cannot be used.
        settings: of the folder; its task and image size are the episodes'.
        episodes: each is written as soon as it comes.
        told: called with a line of progress after each episode.

    Returns:
        (episodes, successes).

    Raises:
        ConfigError: an episode cannot be used, or there is none. StorageError: the disk is full.
    """
    part = folder.path.with_name(f"{folder.path.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    custom = recorded_with(settings)
    counts = [0, 0]
    try:
        standard = StandardMessages.of(settings)
        store = EpisodeStore(part, settings.run.name, custom=custom, standard=standard)
        try:
            for episode in episodes:
                succeeded = _write(store, episode)
                counts[0] += 1
                counts[1] += succeeded
                result = "success" if succeeded else "no success"
                told(f"episode {counts[0]}: {len(episode)} steps, {result}")
        finally:
            store.close()
        store.check()
        if not counts[0]:
            raise ConfigError("there is no episode to import")
        write_config(part / "config.yaml", settings)
        part.rename(folder.path)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return counts[0], counts[1]


def _write(store: EpisodeStore, episode: RecordedEpisode) -> bool:
    """Append one episode. Returns True if it shows a success."""
    number = store.begin("demo")
    succeeded = bool(episode.success[-1])
    for step in episode.transitions(store.next_seq, number, store.run):
        store.append(encode_transition(step))
    store.finish(
        EpisodeSummary(
            "demo",
            number,
            len(episode),
            float(episode.rewards.sum()),
            succeeded,
            bool(episode.truncated[-1]),
            intervention_steps=int(episode.intervention.sum()),
            run=store.run,
        )
    )
    return succeeded


def size_on_disk(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

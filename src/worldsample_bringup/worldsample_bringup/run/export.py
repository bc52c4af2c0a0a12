"""``worldsample export``: a trained policy as a small run folder, to keep, to share, and to act with.

It has the ``config.yaml``, the ``summary.json`` (``exported`` is true there) and one checkpoint with the
weights that act, 1 MB at 64x64; of a real cell's run also the reward classifier, by which evaluations judge
success. No episodes, no optimizer, and no path of the machine that trained it: ``eval --run-dir`` takes it
anywhere.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

from worldsample_bringup.run.configuration import write_config
from worldsample_bringup.run.labels import FILE
from worldsample_bringup.run.run_folder import RunFolder, free_path
from worldsample_core.config import ConfigError


def export_run(trained: RunFolder, out: str = "", choice: str = "") -> RunFolder:
    """Export the policy of a run.

    Args:
        trained: the run.
        out: the folder to make (default: the run's name and ``-policy`` beside it, -2, -3 ... added).
        choice: of the checkpoint, as :meth:`RunFolder.checkpoint` takes it.

    Raises:
        ConfigError: there is no such checkpoint, it is damaged, or the folder is there already.
        OSError: it cannot be written; nothing of it stays.
    """
    from worldsample_core.checkpoint_error import CheckpointError  # torch is slow to import
    from worldsample_policy.sac.policy_export import export_policy

    settings, checkpoint = trained.settings(), trained.checkpoint(choice)
    beside = trained.path.with_name(f"{trained.path.name}-policy")
    exported = RunFolder(Path(out) if out else free_path(beside))
    if exported.exists():
        raise ConfigError(f"{exported.path} exists already and is not overwritten: name another folder")
    partial = RunFolder(exported.path.with_name(f".{exported.path.name}.partial"))
    shutil.rmtree(partial.path, ignore_errors=True)
    try:
        export_policy(checkpoint, partial.checkpoints / checkpoint.name)
        run = dataclasses.replace(
            settings.run, directory=exported.path.name, demos_from="", classifier_from="", resume=False
        )
        write_config(partial.config, dataclasses.replace(settings, run=run))
        told = {"checkpoint": f"checkpoints/{checkpoint.name}", "exported": True}
        partial.summary.write_text(json.dumps({**trained.read_summary(), **told}, indent=2) + "\n")
        if (trained.path / FILE).is_file():
            shutil.copy(trained.path / FILE, partial.path / FILE)
        if exported.path.is_dir():
            exported.path.rmdir()  # empty: given so by a person
        partial.path.rename(exported.path)
    except CheckpointError as problem:
        raise ConfigError(str(problem)) from problem
    finally:
        shutil.rmtree(partial.path, ignore_errors=True)
    return exported

"""Labelled frames and the reward classifier that is fitted to them, as the command line uses them."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from shlex import quote

from worldsample_bringup.run.run_folder import RunFolder
from worldsample_core.command_name import command_name
from worldsample_core.config import ConfigError
from worldsample_core.settings import Settings

FILE = "reward_model.safetensors"
GOOD = 0.85
"""Share of the frames of either kind that must be judged right: below, more should be recorded."""


def fit_classifier(folder: RunFolder, settings: Settings) -> str:
    """Fit the classifier of a complete recording and keep it there. Returns how good it is, for people."""
    import torch  # it takes seconds

    from worldsample_worldmodel.success_detection import fit_and_keep

    torch.set_num_threads(max(1, (os.cpu_count() or 2) - 1))  # on a busy core its threads only wait
    report = fit_and_keep(folder.path, settings)
    weak = min(report.true_positive_rate, 1 - report.false_positive_rate) < GOOD
    held_out = report.validation_positives + report.validation_negatives
    return (
        f"  classifier  {100 * report.accuracy:.0f} % of {held_out} frames kept aside are judged right "
        f"({100 * report.true_positive_rate:.0f} % of the successes, "
        f"{100 * (1 - report.false_positive_rate):.0f} % of the failures)"
        + (
            f"\n  weak        record more: label --resume {quote(folder.path.name)} --frames N"
            if weak
            else ""
        )
    )


def check_classifier(path: str, task: str) -> str:
    """The absolute path of a folder with labels, or with a fitted classifier.

    Raises:
        ConfigError: it has neither, too few, or they are of another task.
    """
    from worldsample_core.episodes.label_count import is_kept, label_count
    from worldsample_core.episodes.recorded_bags import recorded_bags  # needs the message packages

    folder = Path(path).absolute()
    if not folder.is_dir():
        raise ConfigError(f"--classifier-from: there is no folder {folder}")
    found = recorded_bags(folder, "label", lambda problem: print(f"  {problem}", file=sys.stderr))
    labelled = [bag for bag in found if is_kept(bag.summary)]
    count = label_count(bag.summary for bag in labelled)
    if not labelled and (folder / FILE).is_file():
        return str(folder)
    if not (count.successes and count.failures):
        what = "only labelled failures" if count.failures else "only labelled successes"
        what = what if labelled else "no labelled frames"
        raise ConfigError(
            f"--classifier-from: there are {what} in {folder}; record some: "
            f"{command_name()} label --task {task} --out {quote(str(path))}"
        )
    shown = {bag.custom.get("task", task) for bag in labelled}
    check_task("--classifier-from", folder, shown, task, "label")
    return str(folder)


def check_image_size(settings: Settings) -> None:
    """Raises :class:`ConfigError` where the labelled frames have another size than the run's images."""
    run = settings.run
    if not run.classifier_from:
        return
    from worldsample_core.episodes.label_count import is_kept
    from worldsample_core.episodes.recorded_bags import recorded_bags
    from worldsample_core.episodes.recorded_with import refuse_other_crops

    found = recorded_bags(Path(run.classifier_from), "label")
    kept = [bag.custom for bag in found if is_kept(bag.summary)]
    refuse_other_crops(f"--classifier-from: {run.classifier_from}", kept, settings.cameras.crops)
    sizes = {custom.get("image_size", "") for custom in kept}
    other = sorted(sizes - {"", str(run.image_size)})
    if other:
        raise ConfigError(
            f"--classifier-from: the frames in {run.classifier_from} are {other[0]} pixels wide, this run's "
            f"are {run.image_size}: say run.image_size={other[0]}, or record labels with "
            f"run.image_size={run.image_size}"
        )


def check_task(option: str, folder: Path, shown: set[str], task: str, command: str) -> None:
    """Raises :class:`ConfigError` where what was recorded shows another task than the run's."""
    others = sorted(shown - {task})
    if others:
        raise ConfigError(
            f"{option}: {folder} shows the task {others[0]!r}, this run learns {task!r}.\n"
            f"  Give --task {others[0]}, or record for this task: worldsample {command} --task {task}"
        )

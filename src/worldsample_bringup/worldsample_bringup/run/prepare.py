"""Turns a person's request into a run folder with its ``config.yaml``; both launchers begin here."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import IO, Any

from worldsample_bringup.run import configuration
from worldsample_bringup.run.compute_devices import require_devices
from worldsample_bringup.run.labels import FILE, check_classifier, check_image_size, check_task
from worldsample_bringup.run.options import DEFAULT_METHOD, DEFAULT_TASK, DEVICES, NEWEST, OPERATORS, Request
from worldsample_bringup.run.provenance import git_revision, installed_versions
from worldsample_bringup.run.required_packages import require_wandb
from worldsample_bringup.run.run_folder import RunFolder, check_disk_space, free_path, newest_runs
from worldsample_core.command_name import command_name
from worldsample_core.config import ConfigError, choose, merge, to_mapping
from worldsample_core.observation import VIEWS
from worldsample_core.settings import Settings


@dataclass(frozen=True)
class Plan:
    """A run that is ready to start: its folder and its settings. :meth:`begin` makes it real."""

    folder: RunFolder
    settings: Settings

    def begin(self) -> IO[str]:
        """Make the folder, hold it, and write its ``config.yaml``.

        Returns:
            the hold on the folder: until it is closed, or this process ends.

        Raises:
            ConfigError: another run is at work in it, the disk is too full, it cannot be made, or a device
                or a package that the run needs is missing.
        """
        require_devices(self.settings)
        if self.settings.run.wandb:
            require_wandb()
        check_disk_space(self.folder, self.settings)
        try:
            self.folder.path.mkdir(parents=True, exist_ok=True)
            hold = self.folder.lock()
            configuration.write_config(self.folder.config, self.settings)
        except OSError as error:
            problem = f"the run folder {self.folder.path} cannot be written: {error.strerror}"
            raise ConfigError(problem) from error
        return hold


def plan(request: Request, runs: Path) -> Plan:
    """Decide everything about a run, and touch nothing.

    Args:
        request: what was asked for.
        runs: where run folders without a given path go.

    Raises:
        ConfigError: something asked for is unknown, contradicts itself, or would overwrite a run.
    """
    if request.mode in ("demos", "eval") and request.episodes is not None and request.episodes < 1:
        raise ConfigError(f"--episodes is at least 1, got {request.episodes}")
    if request.mode == "eval":
        return _plan_eval(request, runs)
    if request.resume:
        return _plan_resume(request, runs)
    return _plan_new(request, runs)


def _plan_new(request: Request, runs: Path) -> Plan:
    """A training run, or a recording of demonstrations or labels, in a folder of its own."""
    task, method, seed = request.task or DEFAULT_TASK, request.method or DEFAULT_METHOD, request.seed or 0
    machine = request.machine or "auto"
    machine = configuration.detect_machine() if machine == "auto" else machine
    values = configuration.layers(machine, method, task, request.quick)
    if request.real and request.sim:
        raise ConfigError("--real and --sim contradict each other: give one of them")
    sim = False if request.real else request.sim
    if sim is False and values.get("worldmodel", {}).get("enabled"):  # a person says when it succeeded, late
        values = merge(values, {"worldmodel": {"reward": {"unsure": 1}}})
    values = merge(values, _operator(request, sim is not False))
    what = {"demos": "demos", "label": "labels"}.get(request.mode, method)
    folder = _new_folder(request, runs, f"{task}-{what}-seed{seed}")
    run = {
        "name": folder.path.name[:64],
        "directory": str(folder.path),
        "mode": request.mode,
        "method": method,
        "machine": machine,
        "seed": seed,
        "git_revision": git_revision(),
        "versions": to_mapping(installed_versions()),
        **({"lockstep": False} if request.realtime or sim is False else {}),
        **({"sim": sim} if sim is not None else {}),
        **({"demos": request.episodes} if request.episodes is not None else {}),
        **({"labels": request.frames} if request.frames is not None else {}),
        **(_demonstrations(request.demos_from, task) if request.demos_from else {}),
        **(
            {"classifier_from": check_classifier(request.classifier_from, task)}
            if request.classifier_from
            else {}
        ),
    }
    task_values = {} if request.steps is None else {"max_real_steps": request.steps}
    said = configuration.read_overrides(request.overrides)
    settings = configuration.make_settings(merge(values, {"run": run, "task": task_values}, said))
    _check_image_size(settings)
    check_image_size(settings)
    return Plan(folder, settings)


def _operator(request: Request, sim: bool) -> dict[str, Any]:
    """Settings of who demonstrates and helps. Raises :class:`ConfigError`."""
    if not request.operator:
        return {}
    who = choose(request.operator, OPERATORS, "operator")
    if who in DEVICES:
        return {
            "run": {"operator": "person", **({"lockstep": False} if sim else {})},
            "teleop": {"device": DEVICES[who]},
        }
    if not sim:
        raise ConfigError(f"--operator {who} is of the simulation: a person drives a real cell")
    if who == "scripted":
        return {"run": {"operator": "scripted"}}
    if request.mode != "train":
        raise ConfigError("--operator none records nothing: somebody must demonstrate")
    return {"operator": {"bother_first": 0.0, "bother_last": 0.0}}  # it tells of success, and never drives


def _new_folder(request: Request, runs: Path, name: str) -> RunFolder:
    """A folder that is not there yet; a given one that is there is an error, never overwritten."""
    given = request.run_dir or request.out
    if given and request.name:
        raise ConfigError("--run-dir and --name both name the run folder: give one of them")
    if request.name in (".", "..") or "/" in request.name:
        raise ConfigError(f"--name is a name in {runs}; a path is given as --run-dir {quote(request.name)}")
    path = Path(given) if given else runs / request.name if request.name else None
    if path is None:
        return RunFolder(free_path(runs / name))
    folder = RunFolder(path)
    if folder.exists():
        again = (
            f"go on with it: --resume {quote(str(path))}; or "
            if folder.config.exists() and request.mode == "train"
            else ""
        )
        raise ConfigError(
            f"{folder.path} exists already and is not overwritten.\n  Either {again}name another folder."
        )
    return folder


def _successful_demonstrations(
    folder: Path, told: Callable[[str], object] = lambda _: None
) -> list[dict[str, str]]:
    """Task and image size of each demonstration in a folder that shows a success.

    Args:
        told: gets a sentence for each bag that is damaged.
    """
    from worldsample_core.episodes.recorded_bags import recorded_bags  # needs the message packages

    return [bag.custom for bag in recorded_bags(folder, "demo", told) if bag.summary.success]


def _demonstrations(path: str, task: str) -> dict[str, Any]:
    """Settings that take all successful demonstrations of a folder.

    Raises:
        ConfigError: there are none, or they show another task.
    """
    folder = Path(path).absolute()
    if not folder.is_dir():
        raise ConfigError(f"--demos-from: there is no folder {folder}")
    shown = _successful_demonstrations(folder, lambda problem: print(f"  {problem}", file=sys.stderr))
    if not shown and _has_labels(folder):
        raise ConfigError(f"--demos-from: {folder} holds labelled frames: give it with --classifier-from")
    if not shown:
        raise ConfigError(
            f"--demos-from: there are no episodes in {folder} that show a success; "
            f"record some: {command_name()} demos --task {task} --out {quote(str(path))}"
        )
    check_task("--demos-from", folder, {custom.get("task", task) for custom in shown}, task, "demos")
    return {"demos_from": str(folder), "demos": len(shown)}


def _has_labels(folder: Path) -> bool:
    """True for a folder of labelled frames."""
    from worldsample_core.episodes.recorded_bags import recorded_bags

    return bool(recorded_bags(folder, "label"))


def _check_image_size(settings: Settings) -> None:
    """Raises :class:`ConfigError` where the demonstrations have images of another size than the run."""
    run = settings.run
    if not run.demos_from:
        return
    from worldsample_core.episodes.recorded_with import refuse_other_crops

    shown = _successful_demonstrations(Path(run.demos_from))
    refuse_other_crops(f"--demos-from: {run.demos_from}", shown, settings.cameras.crops)
    sizes = {custom.get("image_size", "") for custom in shown}
    other = sorted(sizes - {"", str(run.image_size)})
    if other:
        raise ConfigError(
            f"--demos-from: the images in {run.demos_from} are {other[0]} pixels wide, this run's are "
            f"{run.image_size}: say run.image_size={other[0]}, or record demonstrations with "
            f"run.image_size={run.image_size}"
        )


def _plan_resume(request: Request, runs: Path) -> Plan:
    """Go on with a training run or a recording.

    What identifies it cannot change; its budget and its settings can.
    """
    if request.quick or request.name or request.demos_from or request.classifier_from:
        raise ConfigError(
            "--resume goes on with the run as it is: --quick, --name, --demos-from and --classifier-from "
            "are for new runs"
        )
    folder = _run_to_resume(request, runs)
    settings = folder.settings()
    _check_identity(request, folder, settings)
    run: dict[str, Any] = {
        "directory": str(folder.path),
        "resume": True,
        "git_revision": git_revision(),
        "versions": to_mapping(installed_versions()),
        **({"lockstep": False} if request.realtime else {}),
        **({"machine": request.machine} if request.machine not in ("", "auto") else {}),
        **({"demos": request.episodes} if request.episodes is not None else {}),
        **({"labels": request.frames} if request.frames is not None else {}),
    }
    task_values = {} if request.steps is None else {"max_real_steps": request.steps}
    said = configuration.read_overrides(request.overrides)
    resumed = configuration.make_settings(
        merge(to_mapping(settings), {"run": run, "task": task_values}, said)
    )
    if resumed.cameras.crops != settings.cameras.crops:
        raise ConfigError(
            f"{folder.path} was begun with the regions of interest {settings.cameras.crops or 'none'}, and "
            "has learned with them: leave cameras.side.crop and cameras.wrist.crop as they are"
        )
    check_something_is_left(request, folder, resumed)
    return Plan(folder, resumed)


def _check_identity(request: Request, folder: RunFolder, settings: Settings) -> None:
    """Raises :class:`ConfigError` where the folder holds another kind of run, or another run, than asked."""
    if settings.run.mode != request.mode:
        what = {
            "train": "training run",
            "demos": "recording of demonstrations",
            "label": "recording of labels",
        }[request.mode]
        raise ConfigError(
            f"{folder.path} is no {what} but one of {settings.run.mode!r}: it cannot be resumed like this"
        )
    for name, asked, there in (
        ("task", request.task, settings.task.name),
        ("method", request.method, settings.run.method),
        ("seed", request.seed, settings.run.seed),
    ):
        if asked not in ("", None, there):
            raise ConfigError(
                f"{folder.path} was begun with {name} {there}, not {asked}: resume it without --{name}"
            )


def check_something_is_left(request: Request, folder: RunFolder, resumed: Settings) -> None:
    """Raises :class:`ConfigError` where the run is complete: nothing would be left to do."""
    summary = folder.read_summary()
    if summary.get("exported"):
        raise ConfigError(
            f"{folder.path} is an exported policy, which acts and does not learn: resume the run that it was "
            "exported from"
        )
    if not summary.get("finished"):
        return
    if request.mode == "label":
        found = min(int(summary.get(name) or 0) for name in ("label_successes", "label_failures"))
        wanted, more = resumed.run.labels, f"({found} frames of each kind): record more with --frames N"
    elif request.mode == "demos":
        wanted, found = resumed.run.demos, len(_successful_demonstrations(folder.path))
        more = f"({found} demonstrations): record more with --episodes N"
    else:
        wanted, found = resumed.task.max_real_steps, int(summary.get("real_steps") or 0)
        more = f"({found} real steps): train on with --steps N, or see {folder.report}"
    if wanted <= found:
        raise ConfigError(f"{folder.path} is complete {more}")


def _run_to_resume(request: Request, runs: Path) -> RunFolder:
    if request.run_dir and request.resume != NEWEST:
        raise ConfigError("--resume RUN and --run-dir both name the run folder: give one of them")
    if request.run_dir or request.resume != NEWEST:
        return existing_run(request.run_dir or request.resume, runs)
    for folder in newest_runs(runs):
        run, task = (settings := folder.settings()).run, settings.task.name
        fits = (
            request.task in ("", task)
            and request.method in ("", run.method)
            and request.seed in (None, run.seed)
        )
        summary = folder.read_summary()
        over = summary.get("finished") or summary.get("exported")
        if run.mode == request.mode and fits and not over:
            return folder
    raise ConfigError(
        f"there is no unfinished run in {runs} to resume: name one with --resume RUN, or start a new one"
    )


def existing_run(text: str, runs: Path) -> RunFolder:
    """A run folder by its path, or by its name in ``runs``."""
    for path in (Path(text), runs / text):
        if (path / "config.yaml").is_file():
            return RunFolder(path)
    there = ", ".join(folder.path.name for folder in newest_runs(runs)[:8]) or "none"
    if Path(text).is_dir():
        raise ConfigError(f"the folder {text} is no run: it has no config.yaml; runs in {runs}: {there}")
    raise ConfigError(f"there is no run {text!r}; runs in {runs}: {there}")


def _plan_eval(request: Request, runs: Path) -> Plan:
    """An evaluation, in a folder of its own inside the training run's."""
    trained = trained_run(request.run_dir, runs)
    settings = trained.settings()
    checkpoint = trained.checkpoint(request.checkpoint)
    episodes = 50 if request.episodes is None else request.episodes
    seed = settings.run.seed if request.seed is None else request.seed
    folder = RunFolder(free_path(trained.path / "eval" / f"{checkpoint.name}-seed{seed}"))
    run = dataclasses.replace(
        settings.run,
        name=f"{settings.run.name[:59]}-eval",
        directory=str(folder.path),
        mode="eval",
        seed=seed,
        resume=False,
        wandb="",
        final_eval_episodes=episodes,
        checkpoint=str(checkpoint),
        black_images=request.black_images,
        classifier_from=str(trained.path)
        if (trained.path / FILE).is_file()
        else settings.run.classifier_from,
        git_revision=git_revision(),
        versions=installed_versions(),
        lockstep=settings.run.lockstep and not request.realtime,
    )
    values = to_mapping(dataclasses.replace(settings, run=run))
    if settings.run.sim:  # the real cell's cameras are not the simulated ones
        for view in VIEWS:
            values["cameras"][view] = {"crop": values["cameras"][view]["crop"]}
    for path in configuration.FOLLOWS_RUN:
        section: Any = values
        for key in path:
            section = section.get(key, {})
        section.pop("seed", None)  # the run's, which differs here on purpose
    said = configuration.read_overrides(request.overrides)
    return Plan(folder, configuration.make_settings(merge(values, said)))


def trained_run(text: str, runs: Path) -> RunFolder:
    """A run folder by its path or name, or the newest in ``runs`` that has a checkpoint."""
    if text:
        return existing_run(text, runs)
    for folder in newest_runs(runs):
        if folder.checkpoint_steps():
            return folder
    raise ConfigError(
        f"there is no run with a checkpoint in {runs}: train one first, or name it with --run-dir"
    )

"""The lines that a person reads when a run begins and when it ends."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import Any

from worldsample_bringup.dashboard.progress import duration
from worldsample_bringup.graph.runner import Outcome
from worldsample_bringup.run.prepare import Plan
from worldsample_bringup.run.run_folder import RunFolder
from worldsample_core.command_name import command_name
from worldsample_core.node.inherited_environment import left_over
from worldsample_core.settings import Settings


def opening(plan: Plan, domain: int | None) -> list[str]:
    """Lines that say what will happen, where it goes and how to look at it.

    Args:
        domain: of the topics; None where the run has none.
    """
    run, task, path = plan.settings.run, plan.settings.task, shown(plan.folder.path)
    cell = "simulated cell" if run.sim else "real cell"
    clock = "lockstep" if run.lockstep else "10 Hz real time"
    lines = [""]
    if run.mode == "train":
        lines += [
            f"Training {task.name} with {run.method}, seed {run.seed}: {cell}, {clock}, {run.machine}",
            f"  plan    {_plan_in_words(plan.settings)}",
            *_reward_in_words(plan.settings),
        ]
    elif run.mode == "eval":
        lines += [
            f"Evaluating {task.name}, seed {run.seed}: {cell}, {clock}",
            f"  plan    {run.final_eval_episodes} episodes, the policy alone",
            f"  weights {shown(Path(run.checkpoint))}",
        ]
    elif run.mode == "label":
        lines += [
            f"Recording labels of {task.name}, seed {run.seed}: {cell}, {clock}",
            f"  plan    {run.labels} frames of success and as many of failure",
            "  how     hold the success button while the task is solved; failure or reset ends an episode",
            "          and keeps it, abort throws it away",
        ]
    else:
        lines += [
            f"Recording demonstrations of {task.name}, seed {run.seed}: {cell}, {clock}",
            f"  plan    {run.demos} episodes, successes only",
        ]
    lines += _person_in_words(plan.settings)
    lines += [f"  folder  {path}"]
    if run.mode == "train":
        viewer = (
            f"tensorboard --logdir {quote(path)}" if shutil.which("tensorboard") else f"{path}/report.html"
        )
        lines += [f"  curves  {viewer}"]
    lines += [_topics_in_words(run.mode, domain)]
    lines += [f"  note    {sentence}" for sentence in left_over()]
    later = f"; go on later: {command_name()} {run.mode} --resume {quote(path)}" if run.mode != "eval" else ""
    return [*lines, f"  stop    Ctrl-C{later}", ""]


def _topics_in_words(mode: str, domain: int | None) -> str:
    if domain is None:
        return "  topics  none: everything is in one process"
    topic = "/learner/status" if mode == "train" else "/policy/status"
    alone = ", this machine only" if os.environ.get("ROS_AUTOMATIC_DISCOVERY_RANGE") == "LOCALHOST" else ""
    return f"  topics  ROS_DOMAIN_ID={domain}{alone}: ros2 topic echo {topic}"


def _person_in_words(settings: Settings) -> list[str]:
    """The keyboard is read by a process of its own, which a person starts."""
    if not settings.run.has_person or settings.teleop.get("device") != "keyboard":
        return []
    return [f"  drive   in another terminal: {command_name()} teleop"]


def _plan_in_words(settings: Settings) -> str:
    run = settings.run
    source = f" of {shown(Path(run.demos_from))}" if run.demos_from else ""
    demos = f"{run.demos} demonstrations{source}"
    every = f", {run.eval_episodes} evaluation episodes every {run.eval_every:,}" if run.eval_every else ""
    budget = f"up to {settings.task.max_real_steps:,} real steps"
    words = f"{demos}, {budget}{every}, {run.final_eval_episodes} at the end"
    return f"go on: {words}" if run.resume else words


def _reward_in_words(settings: Settings) -> list[str]:
    """Words about the judge of success, if it is not the simulator."""
    run, task = settings.run, settings.task.name
    if run.judged_by_classifier:
        overruled = "" if run.sim else "; your success and failure buttons overrule it"
        return [f"  reward  the classifier of {shown(Path(run.classifier_from))}{overruled}"]
    if run.sim:
        return []
    if run.classifier_from:
        return ["  reward  your success button (run.reward=button)"]
    return [
        "  reward  your success button: there is no reward classifier yet. To have one:",
        f"          {command_name()} label --real --task {task}, then train --classifier-from DIR",
    ]


def closing(folder: RunFolder, settings: Settings, outcome: Outcome) -> list[str]:
    """Lines that say how it went and where the result is, from ``summary.json``."""
    summary, run = folder.read_summary(), settings.run

    def count(name: str) -> int:  # null where it does not apply, or nothing is known
        return int(summary.get(name) or 0)

    lines = [""]
    if outcome.code == 0:
        what = {"train": "Training", "eval": "Evaluation"}.get(run.mode, "Recording")
        lines += [f"{what} is complete."]
    else:
        lines += [f"Stopped early: {outcome.reason}."]
        lines += [f"  {outcome.node} | {line}" for line in outcome.last_lines]
        if outcome.node:
            lines += [f"  log       {shown(folder.logs / f'{outcome.node}.log')}"]
    rate, helped = summary.get("eval_success_rate"), summary.get("intervention_rate")
    if rate is not None:
        lines += [f"  success   {100 * rate:.0f} % of {summary['eval_episodes']} evaluation episodes"]
    if run.mode == "train":
        share = f", {100 * helped:.0f} % of them driven by the operator" if helped is not None else ""
        lines += [f"  steps     {count('real_steps'):,} real steps{share}"]
    if run.mode == "label":
        lines += [
            f"  labels    {count('label_successes')} frames of success, {count('label_failures')} of failure"
        ]
    elif run.mode != "eval":
        succeeded, recorded = count("demo_successes"), count("demo_episodes")
        failed = f"; {recorded - succeeded} more did not succeed" if recorded > succeeded else ""
        lines += [f"  demos     {succeeded} demonstrations{failed}"]
    lines += _lapses_in_words(summary)
    lines += [f"  time      {duration(float(summary.get('wall_seconds') or 0.0))}"]
    if run.mode in ("demos", "label") and outcome.code == 0:
        option = "--demos-from" if run.mode == "demos" else "--classifier-from"
        words = f"train{'' if run.sim else ' --real'} --task {settings.task.name} {option}"
        lines += [f"  use       {command_name()} {words} {quote(shown(folder.path))}"]
    lines += [f"  report    {shown(folder.report)}"]
    lines += [f"  summary   {shown(folder.summary)}"]
    if outcome.code != 0 and run.mode != "eval":
        lines += [f"  go on     {command_name()} {run.mode} --resume {quote(shown(folder.path))}"]
    return lines


def _lapses_in_words(summary: Mapping[str, Any]) -> list[str]:
    """Lines that say that lockstep was asked for and not kept; none where it was."""
    lapses = summary.get("lockstep_lapses")
    if not lapses:
        return []
    times = "once" if lapses == 1 else f"{lapses:,} times"
    return [
        f"  lockstep  not kept: {times} the run went on without a learner or world model that was too late;",
        "            it does not repeat by its seed",
    ]


def shown(path: Path) -> str:
    """A path as a person would type it here: relative where it lies below this folder."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative

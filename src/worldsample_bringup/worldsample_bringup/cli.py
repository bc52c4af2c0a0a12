"""The command line: ``worldsample COMMAND``.

Only the standard library is imported before a command is known, so that help needs no set-up.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from shlex import quote
from typing import Any

from worldsample_bringup.bench.bench_command import add_benches
from worldsample_bringup.crop.crop_command import add_crop_options, crop
from worldsample_bringup.dataset.dataset_command import add_dataset_commands
from worldsample_bringup.graph.teleop_command import add_teleop_options, teleop
from worldsample_bringup.imagine.imagine_command import add_imagine_options, imagine
from worldsample_bringup.run.options import NEWEST, Mode, options_of, refuse_misspelt, refuse_unknown
from worldsample_bringup.viewer.watch_command import (
    add_watch_options,
    add_watch_switch,
    ready_to_watch,
    watch,
)

EXIT_USAGE = 2
BESIDE_ROS = "ros2 run worldsample_bringup worldsample_cli"  # as in worldsample_core.command_name
MODES: tuple[Mode, ...] = ("train", "eval", "demos", "label")

DESCRIPTIONS = {
    "train": "Train a policy: demonstrations, learning with a person's corrections, evaluations.\n"
    "Leaves a run folder with summary.json, report.html, TensorBoard events, episodes and checkpoints.",
    "eval": "Evaluate a checkpoint of a training run, without exploration and without interventions.\n"
    "Leaves its result in RUN/eval/.",
    "demos": "Record demonstrations, to be used by any number of runs with train --demos-from.",
    "label": "Record frames of success and of failure for the reward model (train --classifier-from).\n"
    "The operator drives, and holds the success button while the task is solved; every other frame\n"
    "is a failure. Failure (or reset) ends an episode and keeps it, abort throws it away.\n"
    "At the end a classifier is fitted.",
    "export": "Write a trained policy as a small folder, to keep, to share, to act with.\n"
    "It holds the settings, the result and the weights that act (1 MB); eval --run-dir takes it on any\n"
    "machine. No episodes, no optimizer: training goes on in the run folder only.",
    "dataset": "Take demonstrations in from other formats, and write a run's episodes in them.",
    "imagine": "Draw a real segment above what the run's world model imagines of it, side and wrist view.\n"
    "With --perturb also what it imagines under other actions.",
    "watch": "Watch a run in a browser: cameras, imagined beside real, curves.\n"
    "Without RUN it joins the run that is under way here, or in the ROS domain ROS_DOMAIN_ID.\n"
    "A finished RUN is shown again.",
    "bench": "Measure: the control loop, the learner, the world model, and the methods against each other.",
    "report": "Build summary.json and report.html of a run folder again from what stands in it.",
    "verify": "Check everything in a run folder: what is whole, what can be mended, what is lost.\n"
    "Changes nothing. Exit code: 0 all is whole, 3 what is damaged is rebuilt as the run goes on,\n"
    "1 something is lost.",
    "crop": "Choose the square of each camera's picture that the policy sees, by drawing on a page.\n"
    "Without --sim or --pictures it takes one picture of each camera that publishes now.",
    "teleop": "Drive with the keys of this terminal: the run that was started with --operator keyboard.\n"
    "Held keys move the arm; let go, and the policy drives again.",
    "settings": "Print every setting of config.yaml with its default, unit, meaning and source.\n"
    "With --method, --task or --machine also the values of these layers.",
    "topics": "Print every topic and service of the graph with its type and fields, as Markdown.",
    "permissions": "Write the rights of each node of a real cell, for docker/keystore.sh to sign (SROS 2).\n"
    "The settings are those of the cell; docker/permissions holds the rights for the defaults.",
    "test": "Check (ruff, mypy) and test everything; the last line is pytest's.",
    "check": "Say what this machine and its set-up can do.",
}
SETTINGS_HELP = """\
settings:
  section.key=value    any setting of config.yaml, e.g. learner.lr=1e-4 run.demos=10 task.horizon=80;
                       a setting that nobody knows is an error. Sections: run, task, cameras, learner,
                       operator, worldmodel, sim, driver, teleop.
                       The command settings prints them all; src/worldsample_bringup/config has the layers
                       below them.
"""


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    text = "Trains a robot arm from images over ROS 2, with a person's corrections."
    program = "./worldsample" if os.environ.get("WORLDSAMPLE_ROOT") else BESIDE_ROS
    parser = argparse.ArgumentParser(prog=program, description=text)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for mode in MODES:
        command = _add(commands, mode, _run, SETTINGS_HELP)
        _add_options(command, mode)
        _add_open(command, "show report.html in a browser; the run writes it again every minute")
        add_watch_switch(command)
        if mode == "train":
            command.add_argument(
                "--one-process",
                action="store_true",
                help="the simulated run in one process on one core, without topics; the same results",
            )
    add_benches(_add(commands, "bench"))
    add_dataset_commands(_add(commands, "dataset"))
    add_imagine_options(_add(commands, "imagine", imagine))
    crop_command = _add(commands, "crop", crop, "Settings as section.key=value may follow.\n")
    add_crop_options(crop_command)
    _add_open(crop_command, "show the page in a browser")
    add_watch_options(_add(commands, "watch", watch))
    add_teleop_options(_add(commands, "teleop", teleop))
    _add_export(_add(commands, "export", _export))
    report = _add(commands, "report", _report)
    report.add_argument("folder", metavar="RUN", help="the run folder, or its name in runs/")
    _add_open(report, "show report.html in a browser")
    verify = _add(commands, "verify", _verify)
    verify.add_argument("folder", metavar="RUN", help="the run folder, or its name in runs/")
    _add_settings(_add(commands, "settings", _settings))
    _add(commands, "topics", _topics)
    permissions = _add(commands, "permissions", _permissions, "Settings as section.key=value may follow.\n")
    permissions.add_argument("folder", metavar="FOLDER", help="where the files are to be written")
    _add(commands, "test", _test, "What follows is handed to pytest: test -k replay\n")
    _add_check(_add(commands, "check", _check, "With --cell, settings as section.key=value may follow.\n"))
    for name in ("export", "imagine", "report", "verify", "settings", "check"):
        _add_json(commands.choices[name])
    for command in commands.choices.values():
        command.set_defaults(known=tuple(command._option_string_actions))
    return parser


def _add(
    commands: Any, name: str, run: Callable[..., int] | None = None, epilog: str = ""
) -> argparse.ArgumentParser:
    text = DESCRIPTIONS[name]
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text.partition("\n")[0].rstrip("."),
        description=text,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if run is not None:
        parser.set_defaults(run=run)
    return parser


def _add_options(parser: argparse.ArgumentParser, mode: Mode) -> None:
    for option in options_of(mode):
        flag = "--" + option.name.replace("_", "-")
        if option.kind is bool:
            action = argparse.BooleanOptionalAction if option.default == "true" else "store_true"
            parser.add_argument(flag, action=action, default=None, help=option.described)  # type: ignore[arg-type]
        elif option.bare is not None:
            parser.add_argument(
                flag,
                nargs="?",
                const=option.bare,
                metavar=option.value,
                type=option.kind,
                help=option.described,
            )
        else:
            parser.add_argument(flag, metavar=option.value, type=option.kind, help=option.described)
    _add_json(parser)


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--run-dir", default="", metavar="DIR", help="the training run (default: the newest in runs/)"
    )
    parser.add_argument(
        "--checkpoint",
        default="",
        metavar="STEP",
        help="a checkpoint folder, or its step number (default: the newest)",
    )
    parser.add_argument(
        "--out", default="", metavar="DIR", help="the folder to make (default: the run's, -policy added)"
    )


def _add_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "section",
        nargs="?",
        default="",
        metavar="SECTION",
        help="a section, a part of it or one key: learner, worldmodel.gate, learner.lr (default: all)",
    )
    for kind in ("machine", "method", "task"):
        parser.add_argument(
            f"--{kind}", default="", metavar="NAME", help=f"show the values of this {kind}, too"
        )
    parser.add_argument("--quick", action="store_true", help="show the values of --quick, too")
    parser.add_argument("--markdown", action="store_true", help="the whole page docs/settings.md")


def _add_check(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--cell", action="store_true", help="look at the real cell: arm, cameras, operator, disk"
    )
    parser.add_argument(
        "--seconds", type=float, default=4.0, metavar="S", help="listen so long (default: %(default)g)"
    )
    parser.add_argument(
        "--remember",
        action="store_true",
        help="all is right: keep the pictures, to tell swapped cameras later",
    )


def _add_open(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("--open", action="store_true", help=text)


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the result as JSON, as the last line")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Returns its exit code: 2 where it cannot be done as asked, 128 + n after signal n."""
    options, rest = make_parser().parse_known_args(arguments)
    options.rest = rest
    try:
        # NumPy makes an ImportError of a KeyboardInterrupt in its import: it comes while that is held back.
        import_module("worldsample_core.config")
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # ./worldsample holds it back until here
        if options.command != "test":  # what follows it is pytest's
            refuse_misspelt(rest, options.known)
        return int(options.run(options))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        if not _is_for_people(error):
            raise
        print(f"worldsample {options.command}: {error}", file=sys.stderr)
        return EXIT_USAGE


def _is_for_people(error: Exception) -> bool:
    """True if the message says what is wrong and what to do: a traceback would only hide it."""
    from worldsample_bringup.graph.domain import DomainTaken
    from worldsample_core.config import ConfigError
    from worldsample_core.episodes.journal import StorageError

    return isinstance(error, (ConfigError, DomainTaken, StorageError, OSError))


def _run(options: argparse.Namespace) -> int:
    """train, eval, demos and label."""
    from worldsample_bringup.graph.run_session import run_session
    from worldsample_bringup.run.options import request_from
    from worldsample_bringup.run.prepare import plan

    settings = list(options.rest)
    values = vars(options)
    if "=" in (values.get("resume") or ""):  # `--resume section.key=value`: the setting is not a run
        settings.insert(0, values["resume"])
        values["resume"] = NEWEST
    refuse_unknown(settings)
    prepared = plan(request_from(options.command, values, tuple(settings)), Path("runs"))
    if values.get("one_process"):
        from worldsample_bringup.one_process.refusal import refuse_what_needs_the_graph
        from worldsample_core.config import ConfigError
        from worldsample_core.node.imported_objects import pause_collection

        if options.watch:
            raise ConfigError("--watch shows topics, and --one-process has none: leave one of them out")
        refuse_what_needs_the_graph(prepared.settings)
        pause_collection()
        from worldsample_bringup.one_process.one_process_run import run_in_one_process

        outcome = run_in_one_process(prepared)
    else:
        watch_port = ready_to_watch(options.watch, options.watch_port)
        outcome = run_session(prepared, open_report=options.open, watch_port=watch_port)
    if options.command == "label" and outcome.code == 0:
        from worldsample_bringup.run.labels import fit_classifier

        print("Fitting the reward classifier ...", flush=True)
        print(fit_classifier(prepared.folder, prepared.settings))
    if options.json:
        summary = prepared.folder.read_summary()
        print(json.dumps({**summary, "run_dir": str(prepared.folder.path), "exit_code": outcome.code}))
    return outcome.code


def _export(options: argparse.Namespace) -> int:
    refuse_unknown(options.rest)
    from worldsample_bringup.run.export import export_run
    from worldsample_bringup.run.prepare import trained_run
    from worldsample_core.command_name import command_name

    exported = export_run(trained_run(options.run_dir, Path("runs")), options.out, options.checkpoint)
    print(f"{exported.path}\nevaluate it: {command_name()} eval --run-dir {quote(str(exported.path))}")
    if options.json:
        print(json.dumps({**exported.read_summary(), "run_dir": str(exported.path)}))
    return 0


def _report(options: argparse.Namespace) -> int:
    refuse_unknown(options.rest)
    from worldsample_bringup.report.report import write_report
    from worldsample_bringup.run.prepare import existing_run

    folder = existing_run(options.folder, Path("runs"))
    summary = write_report(folder)
    print(f"{folder.report}\n{folder.summary}")
    if options.open:
        from worldsample_bringup.report.open_page import open_page

        if hint := open_page(folder.report):
            print(hint)
    if options.json:
        print(json.dumps(summary))
    return 0


def _verify(options: argparse.Namespace) -> int:
    refuse_unknown(options.rest)
    from worldsample_bringup.run.prepare import existing_run
    from worldsample_bringup.run.verify_run import EXIT_CODES, as_mapping, in_words, verify, worst

    folder = existing_run(options.folder, Path("runs"))
    findings = verify(folder)
    print(in_words(findings))
    if options.json:
        print(json.dumps(as_mapping(folder, findings)))
    return EXIT_CODES[worst(findings)]


def _settings(options: argparse.Namespace) -> int:
    refuse_unknown(options.rest)
    from worldsample_bringup.run.settings_page import page

    form = "markdown" if options.markdown else "json" if options.json else "text"
    layers = (options.machine, options.method, options.task, options.quick)
    print(page(options.section, *layers, form=form).rstrip("\n"))
    return 0


def _topics(options: argparse.Namespace) -> int:
    refuse_unknown(options.rest)
    from worldsample_bringup.graph.topics_page import as_markdown

    print(as_markdown().rstrip("\n"))
    return 0


def _permissions(options: argparse.Namespace) -> int:
    refuse_unknown(options.rest)
    from worldsample_bringup.graph.permissions import write_permissions
    from worldsample_bringup.run.options import Request
    from worldsample_bringup.run.prepare import plan

    settings = plan(Request("train", real=True, overrides=tuple(options.rest)), Path("runs")).settings
    folder = Path(options.folder)
    written = write_permissions(folder, settings)
    print(f"the rights of {len(written)} nodes are in {folder}: docker/keystore.sh KEYS {folder} signs them")
    return 0


def _test(options: argparse.Namespace) -> int:
    from worldsample_bringup.selftest import run_all

    return run_all(options.rest)


def _check(options: argparse.Namespace) -> int:
    if options.cell:
        return _check_cell(options)
    refuse_unknown(options.rest)
    from worldsample_bringup.run.machine import describe

    facts = describe()
    for name, value in facts.items():
        print(f"{name:<12} {value}")
    if options.json:
        print(json.dumps(facts))
    return 0


def _check_cell(options: argparse.Namespace) -> int:
    refuse_unknown(options.rest)
    from worldsample_bringup.run.check_cell import check_cell

    result = check_cell(options.rest, Path("runs"), options.seconds, options.remember)
    if options.json:
        print(json.dumps(result))
    return 0 if result["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())

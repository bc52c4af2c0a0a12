"""``worldsample bench WHAT``: the options of every measurement, and what runs it.

Only the standard library is imported before a measurement is known, so that help needs no set-up.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from worldsample_bringup.run.options import DEFAULT_TASK, refuse_unknown

BENCHES = {
    "loop": "Does acting wait? A real-time run is measured while its learner trains, and is stopped.",
    "learner": "An update of HiL-SERL's and WorldSample's learner, CPU and wall time, beside LeRobot's.\n"
    "LeRobot is installed into an environment of its own at first use. Wants an idle machine.",
    "safety": "The real arm's driver against a stand-in: adversarial commands, stop times, added latency.",
    "fuzz": "Mutated messages, weights, episodes, checkpoints, metrics, configurations for every decoder:\n"
    "errors that it does not declare (uncaught), and damage that no check finds (silent).\n"
    "Exit code 1 where there is one. Ctrl-C shows what was done so far.",
    "faults": "Nodes of a simulated run are killed and stopped, inputs are fed garbage, the disk is filled,\n"
    "the wall clock is set, the network between robot and workstation is cut: what is lost or doubled,\n"
    "how soon it acts and learns again, what it said. Disk and network want root, the clock a compiler.\n"
    "Exit code 1 where something is lost, doubled, silent or does not recover.",
    "soak": "Memory, descriptors and shared memory of every process of a long simulated run: how they\n"
    "grow after the first minutes. Exit code 1 where one grows by more than 1 MB a minute.",
    "transport": "Weights and transitions between two processes, beside agentlace and LeRobot's gRPC.\n"
    "Both are installed into environments of their own at first use. Wants an idle machine.",
    "worldmodel": "The world model on held-out episodes of a simulated online run: image quality beside\n"
    "copy-last-frame, imagined against true counterfactual futures, speed.",
    "coverage": "Does a policy correct itself where it was pushed off the path, in unseen scenes?\n"
    "Its action beside the expert's, above all low over the part. About a minute.",
    "cell": "One cell of the table end to end: wall time, and CPU time by process and by piece of work.\n"
    "Wants an idle machine. A second one, of another revision, tells what a change was worth.",
    "method": "Real steps until two evaluations in a row reach 90 %, per method and seed.\n"
    "Every run is kept: Ctrl-C loses nothing, and the same command goes on where it was.",
    "ablation": "The same of WorldSample whole, without its schedule, without its selection, without both,\n"
    "and of HiL-SERL.",
    "imagination": "What imagination is worth: success with it and without it, paired over tasks and seeds.\n"
    "Finished runs are kept: Ctrl-C loses nothing.",
    "table1": "The paper's table: five tasks, four methods and a control, all on the same budget.\n"
    "Finished cells are kept, cells that were not run stay empty.",
}
SETTINGS_HELP = """\
settings:
  section.key=value    goes to every run, e.g. run.demos=10; as in worldsample train
"""


def add_benches(parser: argparse.ArgumentParser) -> None:
    """Add a subcommand for every measurement."""
    benches = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    loop = _add(benches, "loop", _loop)
    loop.add_argument("--seconds", type=int, default=60, metavar="S", help="train so long (default: 60)")
    learner = _add(benches, "learner", _learner)
    _add_peers(learner)
    _add_quick(learner)
    safety = _add(benches, "safety", _safety)
    safety.add_argument(
        "--sequences", type=int, default=10_000, metavar="N", help="of commands (default: %(default)s)"
    )
    safety.add_argument(
        "--jobs", type=int, default=0, metavar="N", help="processes for them (default: one for each core)"
    )
    _add_fuzz_options(_add(benches, "fuzz", _fuzz))
    faults = _add(benches, "faults", _faults)
    faults.add_argument(
        "--faults", type=int, default=100, metavar="N", help="how many (default: %(default)s)"
    )
    faults.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of their order (default: %(default)s)"
    )
    faults.add_argument("--realtime", action="store_true", help="10 Hz by the wall clock instead of lockstep")
    soak = _add(benches, "soak", _soak)
    soak.add_argument(
        "--minutes",
        type=float,
        default=30.0,
        metavar="N",
        help="run so long; the first five, or a third of a short run, do not count (default: %(default)g)",
    )
    _add_quick(soak)
    transport = _add(benches, "transport", _transport)
    _add_peers(transport)
    transport.add_argument(
        "--agentlace",
        default="",
        metavar="DIR",
        help="folder with agentlace's source, where GitHub cannot be reached",
    )
    _add_quick(transport)
    worldmodel = _add(benches, "worldmodel", _worldmodel)
    worldmodel.add_argument("--task", default=DEFAULT_TASK, metavar="NAME", help="default: %(default)s")
    worldmodel.add_argument(
        "--updates", type=int, default=4000, metavar="N", help="of training in total (default: %(default)s)"
    )
    worldmodel.add_argument(
        "--minutes",
        type=float,
        default=20.0,
        metavar="M",
        help="training stops then in any case (default: %(default)g)",
    )
    worldmodel.add_argument("--save", metavar="DIR", help="write the checkpoint there")
    _add_quick(worldmodel)
    _add_coverage_options(_add(benches, "coverage", _coverage))
    _add_cell_options(_add(benches, "cell", _cell, SETTINGS_HELP))
    method = _add(benches, "method", _method, SETTINGS_HELP)
    method.add_argument(
        "--methods",
        default="hil_serl,worldsample",
        metavar="A,B",
        help="files of config/methods (default: %(default)s); hil_serl+learner.utd=4: with another setting",
    )
    _add_grid_options(method)
    _add_grid_options(_add(benches, "ablation", _ablation, SETTINGS_HELP))
    _add_imagination_options(_add(benches, "imagination", _imagination, SETTINGS_HELP))
    table1 = _add(benches, "table1", _table1, SETTINGS_HELP)
    table1.add_argument("--tasks", default="", metavar="A,B", help="run these only (default: all five)")
    table1.add_argument("--methods", default="", metavar="A,B", help="run these only (default: all)")
    table1.add_argument(
        "--budget",
        default="",
        metavar="N",
        help="real steps of each run, or task=N,task=N (default: the tasks')",
    )
    table1.add_argument("--show", action="store_true", help="run nothing: the table of what is there")
    _add_run_options(table1, "500", "runs/bench/table1", "benchmarks/results/table1.json, .md and .png")


def _add_imagination_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tasks", default="", metavar="A,B", help="these only (default: all five)")
    parser.add_argument(
        "--steps", type=int, metavar="N", help="real steps of each run (default: 1000; quick: 150)"
    )
    for name, default in (("control", "rlpd_plus"), ("imagining", "worldsample")):
        parser.add_argument(
            f"--{name}",
            default=default,
            metavar="NAME",
            help="a method; NAME+section.key=value: with another setting (default: %(default)s)",
        )
    _add_run_options(
        parser, "only at the end", "runs/bench/imagination", "benchmarks/results/imagination.json"
    )


def _add_fuzz_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--inputs", type=int, default=100_000, metavar="N", help="of all decoders (default: %(default)s)"
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="equal seeds give equal inputs (default: %(default)s)",
    )


def _add_coverage_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--run-dir",
        default="",
        metavar="RUN",
        help="a run's folder (default: the published policy of --task)",
    )
    parser.add_argument("--task", default=DEFAULT_TASK, metavar="NAME", help="default: %(default)s")
    parser.add_argument(
        "--scenes", type=int, default=24, metavar="N", help="to drive through (default: %(default)s)"
    )


def _add_cell_options(parser: argparse.ArgumentParser) -> None:
    for name, default in (("task", "pick_place"), ("method", "worldsample")):
        parser.add_argument(f"--{name}", default=default, metavar="NAME", help="default: %(default)s")
    parser.add_argument(
        "--steps", type=int, metavar="N", help="budget of real steps (default: 5000; quick: 150)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: %(default)s")
    _add_quick(parser)
    parser.add_argument(
        "--one-process", action="store_true", help="measure the run in one process, not the node graph"
    )
    parser.add_argument(
        "--checkout",
        default="",
        metavar="DIR",
        help="run the worldsample of another checkout, which must be set up (default: this one)",
    )
    parser.add_argument(
        "--baseline", default="", metavar="FILE", help="an earlier result, to compare with (default: none)"
    )
    parser.add_argument(
        "--out", default="", metavar="DIR", help="where the run folder goes (default: runs/bench/cell)"
    )
    parser.add_argument(
        "--results",
        default="",
        metavar="FILE",
        help="where the result goes (default: beside the run folder)",
    )


def _add(benches: Any, name: str, run: Callable[..., int], epilog: str = "") -> argparse.ArgumentParser:
    text = BENCHES[name]
    parser: argparse.ArgumentParser = benches.add_parser(
        name,
        help=text.partition(".")[0].replace("\n", " ").replace("%", "%%"),
        description=text,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON, as the last line")
    parser.set_defaults(run=run)
    return parser


def _add_peers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--no-peers", action="store_true", help="measure this project only")


def _add_quick(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quick", action="store_true", help="everything tiny: shows that it works, no more")


def _add_grid_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--task", default=DEFAULT_TASK, metavar="NAME", help="default: %(default)s")
    parser.add_argument(
        "--steps", type=int, metavar="N", help="budget of real steps of each run (default: the task's)"
    )
    _add_run_options(parser, "250", "runs/bench/method", "benchmarks/results/<what>-<task>.json")


def _add_run_options(parser: argparse.ArgumentParser, every: str, out: str, results: str) -> None:
    parser.add_argument(
        "--seeds", type=int, default=3, metavar="N", help="how many seeds (default: %(default)s)"
    )
    parser.add_argument(
        "--first-seed", type=int, default=0, metavar="N", help="the first of them (default: %(default)s)"
    )
    parser.add_argument(
        "--graph",
        action="store_true",
        help="run the node graph, on several cores, in place of one process; the results are the same",
    )
    parser.add_argument(
        "--eval-every",
        type=int,
        metavar="N",
        help=f"real steps between evaluations (default: {every}; quick: 60)",
    )
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="runs side by side (default: %(default)s)"
    )
    _add_quick(parser)
    parser.add_argument("--out", metavar="DIR", help=f"where the run folders go (default: {out})")
    parser.add_argument(
        "--results",
        metavar="FILE",
        help=f"where the result goes (default: {results}; with --quick or settings in --out)",
    )


def _loop(options: argparse.Namespace) -> int:
    refuse_unknown(options.rest)
    if options.seconds < 1:
        raise import_module("worldsample_core.config").ConfigError("--seconds is at least 1")
    return _show(options, import_module("worldsample_bringup.bench.bench_loop").measure(options.seconds))


def _learner(options: argparse.Namespace) -> int:
    refuse_unknown(options.rest)
    from worldsample_bringup.bench.bench_learner import LearnerSettings, measure, table

    tiny = LearnerSettings(image_sizes=(64,), threads=(1,), seconds=1.0) if options.quick else None
    result = measure(tiny, not options.no_peers, say)
    return _show_table(options, {**result, "command": this_command()}, table(result), 0)


def _safety(options: argparse.Namespace) -> int:
    refuse_unknown(options.rest)
    result = import_module("worldsample_bringup.bench.bench_safety").measure(
        options.sequences, options.jobs or os.cpu_count() or 1, say
    )
    _show(options, result)
    too_fast = result["worst_speed_after_jump"] > 1.001 * result["speed_limit"]
    return int(bool(result["limit_violations"] or result["jumps"] or result["motors_released"] or too_fast))


def _fuzz(options: argparse.Namespace) -> int:
    refuse_unknown(options.rest)
    from worldsample_bringup.bench.bench_fuzz import measure, table

    result = {**measure(options.inputs, options.seed), "command": this_command()}
    faults = result["uncaught"] + result["silent"] + result["one_bit"] - result["one_bit_found"]
    return _show_table(options, result, table(result), 130 if not result["finished"] else int(faults > 0))


def _faults(options: argparse.Namespace) -> int:
    refuse_unknown(options.rest)
    from worldsample_bringup.bench.bench_faults import FAULTS, measure, table

    result = {**measure(options.faults, options.seed, options.realtime, say), "command": this_command()}
    wrong = any(result[name] for name in (*FAULTS, "ended_without_a_fault"))
    code = int(wrong) if wrong or result["finished"] else 130
    return _show_table(options, result, table(result), code)


def _soak(options: argparse.Namespace) -> int:
    refuse_unknown(options.rest)
    from worldsample_bringup.bench.bench_soak import measure, table

    result = {**measure(options.minutes, options.quick, say), "command": this_command()}
    code = 130 if not result["finished"] else int(bool(result["too_fast"]) or not result["judged"])
    return _show_table(options, result, table(result), code)


def _transport(options: argparse.Namespace) -> int:
    refuse_unknown(options.rest)
    from worldsample_bringup.bench.bench_transport import measure, table
    from worldsample_bringup.bench.transport_process import TransportSettings

    tiny = TransportSettings(rounds=5, transitions=100, paced=10) if options.quick else None
    result = measure(tiny, options.agentlace, not options.no_peers, say)
    return _show_table(options, {**result, "command": this_command()}, table(result), 0)


def _worldmodel(options: argparse.Namespace) -> int:
    refuse_unknown(options.rest)
    from worldsample_bringup.bench.bench_worldmodel import measure

    save = Path(options.save) if options.save else None
    result = measure(options.task, options.updates, options.minutes, save, options.quick)
    return _show(options, {**result, "command": this_command()})


def _coverage(options: argparse.Namespace) -> int:
    refuse_unknown(options.rest)
    from worldsample_bringup.bench.bench_coverage import measure, published_policy, table

    run = Path(options.run_dir) if options.run_dir else published_policy(options.task)
    result = {**measure(run, options.scenes, say), "command": this_command()}
    return _show_table(options, result, table(result), 0)


def _cell(options: argparse.Namespace) -> int:
    refuse_unknown(options.rest)
    from worldsample_bringup.bench.bench_cell import MeasuredCell, measure

    asked = MeasuredCell(
        task=options.task,
        method=options.method,
        steps=options.steps,
        seed=options.seed,
        quick=options.quick,
        settings=tuple(options.rest),
        one_process=options.one_process,
        checkout=options.checkout,
        out=options.out,
        results=options.results,
        baseline=options.baseline,
        command=this_command(),
    )
    return _show_table(options, *measure(asked))


def _method(options: argparse.Namespace) -> int:
    from worldsample_bringup.bench.method_variants import method_variants

    return _compare(options, method_variants(options.methods))


def _ablation(options: argparse.Namespace) -> int:
    from worldsample_bringup.bench.method_variants import ABLATION

    return _compare(options, ABLATION)


def _asked_of_grid(options: argparse.Namespace) -> dict[str, Any]:
    """The fields of a ``GridRequest`` that the options give."""
    return {
        "seeds": options.seeds,
        "first_seed": options.first_seed,
        "graph": options.graph,
        "eval_every": options.eval_every,
        "jobs": options.jobs,
        "quick": options.quick,
        "settings": tuple(options.rest),
        "out": options.out or "",
        "results": options.results or "",
        "command": this_command(),
    }


def _compare(options: argparse.Namespace, variants: Any) -> int:
    refuse_unknown(options.rest)
    from worldsample_bringup.bench.bench_method import Comparison, compare

    comparison = Comparison(
        what=options.what,
        task=options.task,
        variants=tuple(variants),
        steps=options.steps,
        **_asked_of_grid(options),
    )
    return _show_table(options, *compare(comparison))


def _imagination(options: argparse.Namespace) -> int:
    refuse_unknown(options.rest)
    from worldsample_bringup.bench.bench_imagination import ImaginationGain, measure

    asked = ImaginationGain(
        tasks=options.tasks,
        control=options.control,
        imagining=options.imagining,
        steps=options.steps,
        **_asked_of_grid(options),
    )
    return _show_table(options, *measure(asked))


def _table1(options: argparse.Namespace) -> int:
    refuse_unknown(options.rest)
    from worldsample_bringup.bench.bench_table1 import Table, measure

    asked = Table(
        tasks=options.tasks,
        methods=options.methods,
        budget=options.budget,
        **_asked_of_grid(options),
        show=options.show,
    )
    return _show_table(options, *measure(asked))


def _show_table(options: argparse.Namespace, result: Mapping[str, Any], table: str, code: int) -> int:
    """Print a table for people, and as JSON where it is asked for. Returns the exit code."""
    print(table)
    if options.json:
        print(json.dumps(result))
    return code


def _show(options: argparse.Namespace, result: Mapping[str, Any]) -> int:
    if options.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:<36} {value}")
    return 0


def say(words: str) -> None:
    """Tell a person what happens; a result goes to standard output, this does not."""
    print(words, file=sys.stderr, flush=True)


def this_command() -> str:
    """The command as a person would type it again."""
    return shlex.join(["./worldsample", *sys.argv[1:]])

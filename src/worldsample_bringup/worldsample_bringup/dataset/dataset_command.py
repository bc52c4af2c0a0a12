"""``worldsample dataset WHAT``: export, import and info, and what runs each.

Only the standard library is imported before a command is known, so that help needs no set-up.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from shlex import quote
from typing import Any

from worldsample_bringup.run.options import refuse_unknown

EXPORT = (
    "Write a run's episodes as a LeRobotDataset v3.0.\n"
    "States, actions and rewards are the run's numbers to the bit, images are kept as PNG.\n"
    "Beside LeRobot's files, two files keep what its format has no place for: dataset import --lerobot then\n"
    "gives the same episodes back."
)
IMPORT = (
    "Take demonstrations from a LeRobotDataset v3.0 or from rosbag2 recordings, for train --demos-from.\n"
    "Cameras and numbers are found by their names; what is found is printed. --map says what is called\n"
    "differently. What cannot be a demonstration of the task is refused, with the reason."
)
MAPPING_HELP = """\
names (--map OURS=THEIRS, as often as needed):
  side, wrist                       the cameras: a feature of the dataset, or a topic of the bag
  state.x y z rx ry rz gripper      pose of the end effector in base_link (m; rotation vector from the reset
  state.vx vy vz                    pose, rad), opening 0..1, velocity (m/s; computed if it is not there)
  action.dx dy dz drx dry drz       motion of the end effector in one control step, -1..1
  action.gripper                    -1 closes, 1 opens, 0 leaves it
  pose, gripper, command            topics of a bag
  THEIRS is ELEMENT, FEATURE:ELEMENT (a name or a number from 0), or none for what is always 0:
  --map side=front --map action.dx=action:0 --map state.rx=none
"""


def add_dataset_commands(parser: argparse.ArgumentParser) -> None:
    """Add ``export``, ``import`` and ``info``."""
    commands = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    export = _add(commands, "export", EXPORT, _export)
    export.add_argument("folder", metavar="RUN", help="the run folder, or its name in runs/")
    export.add_argument("--lerobot", metavar="DIR", required=True, help="the folder to make")
    export.add_argument("--kind", choices=("all", "demo", "train"), default="all", help="default: all")
    export.add_argument("--successes", action="store_true", help="only episodes that succeeded")
    export.add_argument(
        "--instruction", default="", metavar="TEXT", help="the task in words (default: its name)"
    )
    into = _add(commands, "import", IMPORT, _import, MAPPING_HELP)
    source = into.add_mutually_exclusive_group(required=True)
    source.add_argument("--lerobot", metavar="DIR", help="a LeRobotDataset v3.0")
    source.add_argument("--bag", metavar="DIR", help="a rosbag2 folder, or a folder of them")
    into.add_argument("--task", required=True, metavar="NAME", help="the task that the demonstrations show")
    into.add_argument(
        "--out", default="", metavar="DIR", help="the folder to make (default: runs/<task>-demos-seed0)"
    )
    into.add_argument("--map", action="append", default=[], metavar="OURS=THEIRS", help="see below")
    into.add_argument("--image-size", type=int, default=64, metavar="PIXELS", help="default: %(default)s")
    into.add_argument(
        "--action-unit",
        choices=("normalised", "si"),
        default="normalised",
        help="normalised: -1..1 of task.action_scale; si: m and rad per control step (default: %(default)s)",
    )
    into.add_argument(
        "--check", action="store_true", help="read everything, say what is found, write nothing"
    )
    info = _add(commands, "info", "Say what a run folder or a LeRobotDataset holds.", _info)
    info.add_argument("folder", metavar="DIR", help="a run folder, its name in runs/, or a dataset")


def _add(commands: Any, name: str, text: str, run: Any, epilog: str = "") -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text.partition("\n")[0].rstrip("."),
        description=text,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument("--json", action="store_true", help="print the result as JSON, as the last line")
    return parser


def _export(options: argparse.Namespace) -> int:
    refuse_unknown(options.rest)
    from worldsample_bringup.run.required_packages import require_optional

    require_optional("pyarrow")
    from worldsample_bringup.dataset.lerobot_export import export_lerobot
    from worldsample_bringup.run.prepare import existing_run
    from worldsample_core.episodes.recorded_bags import recorded_bags

    folder, out = existing_run(options.folder, Path("runs")), Path(options.lerobot)
    task = folder.settings().task
    bags = [(bag.path, bag.summary) for bag in recorded_bags(folder.path, told=_tell)]
    wanted = [
        (bag, summary)
        for bag, summary in bags
        if options.kind in ("all", summary.kind) and (summary.success or not options.successes)
    ]
    instruction = options.instruction or task.name.replace("_", " ")
    export_lerobot(wanted, task.name, instruction, round(1 / task.control_period), out, _tell)
    print(f"{out}\nload it: LeRobotDataset({out.name!r}, root={str(out)!r})")
    return _end(options, out)


def _import(options: argparse.Namespace) -> int:
    refuse_unknown(options.rest)
    from worldsample_bringup.dataset.demonstration_folder import write_demonstrations
    from worldsample_bringup.run.options import Request
    from worldsample_bringup.run.prepare import plan
    from worldsample_core.command_name import command_name

    settings = (*options.rest, f"run.image_size={options.image_size}")
    request = Request("demos", task=options.task, out=options.out, machine="cpu", overrides=settings)
    planned = plan(request, Path("runs"))
    episodes = _lerobot_source(options, planned) if options.lerobot else _bag_source(options, planned)
    print(f"{options.lerobot or options.bag} as demonstrations of {options.task}:", flush=True)
    print("\n".join(episodes.explained()), flush=True)
    if options.check:
        for number, episode in enumerate(episodes):
            result = "success" if episode.success[-1] else "no success"
            _tell(f"episode {number + 1}: {len(episode)} steps, {result}")
        print("all of it can be imported")
        return 0
    count, successes = write_demonstrations(planned.folder, planned.settings, episodes, _tell)
    out = planned.folder.path
    print(f"{out}: {count} demonstrations, {successes} of them successes")
    print(f"train with them: {command_name()} train --task {options.task} --demos-from {quote(str(out))}")
    return _end(options, out)


def _lerobot_source(options: argparse.Namespace, planned: Any) -> Any:
    from worldsample_bringup.run.required_packages import require_optional

    require_optional("pyarrow", "av")
    from worldsample_bringup.dataset.lerobot_format import read_info
    from worldsample_bringup.dataset.lerobot_import import LerobotDemonstrations
    from worldsample_bringup.dataset.name_mapping import find_mapping, parse_entries

    info, task = read_info(Path(options.lerobot)), planned.settings.task
    mapping = find_mapping(info, parse_entries(options.map), task)
    return LerobotDemonstrations(
        info, mapping, task, options.image_size, options.action_unit, planned.settings.cameras
    )


def _bag_source(options: argparse.Namespace, planned: Any) -> Any:
    from worldsample_bringup.dataset.bag_import import BagDemonstrations

    topics = dict(text.partition("=")[::2] for text in options.map)
    settings = planned.settings
    return BagDemonstrations(Path(options.bag), settings.task, options.image_size, topics, settings.cameras)


def _info(options: argparse.Namespace) -> int:
    refuse_unknown(options.rest)
    from worldsample_bringup.dataset.dataset_info import describe

    folder = next(
        (path for path in (Path(options.folder), Path("runs", options.folder)) if path.is_dir()), None
    )
    facts = describe(folder or Path(options.folder))
    for name, value in facts.items():
        if isinstance(value, dict):
            print(f"{name}:")
            for key, inner in value.items():
                print(f"  {key:<32} {inner}")
        else:
            print(f"{name:<12} {value}")
    if options.json:
        print(json.dumps(facts))
    return 0


def _tell(line: str) -> None:
    print(f"  {line}", flush=True)


def _end(options: argparse.Namespace, out: Path) -> int:
    if options.json:
        from worldsample_bringup.dataset.dataset_info import describe

        print(json.dumps({**describe(out), "folder": str(out)}))
    return 0

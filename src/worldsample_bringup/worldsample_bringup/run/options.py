"""The options of a run, described once: the command line and the launch files are both made from this table.

Standard library only, so that ``--help`` works before anything is installed.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Mode = Literal["train", "eval", "demos", "label"]
NEW: tuple[Mode, ...] = ("train", "demos", "label")
"""The commands that make a new folder."""
DEFAULT_TASK, DEFAULT_METHOD = "pushing", "worldsample"


@dataclass(frozen=True)
class Option:
    """One option: ``--name VALUE`` (or ``--name`` where it is a switch) and ``name:=value``.

    Attributes:
        name: with underscores; the command line shows dashes.
        help: without the default.
        kind: type of the value; bool is a switch.
        default: what is meant where it is not given, in words.
        value: placeholder in the help.
        modes: the commands that have it.
        bare: what ``--name`` without a value means; None where a value is needed.
    """

    name: str
    help: str
    kind: type[str] | type[int] | type[bool]
    default: str
    value: str
    modes: tuple[Mode, ...]
    bare: str | None = None

    @property
    def described(self) -> str:
        """The help with the default."""
        return f"{self.help} (default: {self.default})" if self.default else self.help


DEVICES = {"keyboard": "keyboard", "gamepad": "joy", "spacemouse": "spacemouse"}
"""A person's devices, as ``--operator`` calls them, and their values of ``teleop.device``."""
OPERATORS = ("scripted", *DEVICES, "none")
"""The values of ``--operator``."""
NEWEST = "newest"
"""The value of a bare ``--resume``."""

OPTIONS: tuple[Option, ...] = (
    Option(
        "task",
        "what the robot learns: a file of config/tasks",
        str,
        DEFAULT_TASK,
        "NAME",
        NEW,
    ),
    Option("method", "how it learns: a file of config/methods", str, DEFAULT_METHOD, "NAME", ("train",)),
    Option(
        "run_dir",
        "the run folder to make",
        str,
        "runs/<task>-<method>-seed<N>, -2, -3 … added",
        "DIR",
        ("train",),
    ),
    Option("run_dir", "the finished or running training run", str, "the newest in runs/", "DIR", ("eval",)),
    Option("name", "make the run folder runs/NAME", str, "", "NAME", ("train",)),
    Option(
        "out",
        "the folder to make, for train --demos-from",
        str,
        "runs/<task>-demos-seed<N>",
        "DIR",
        ("demos",),
    ),
    Option(
        "out",
        "the folder to make, for train --classifier-from",
        str,
        "runs/<task>-labels-seed<N>",
        "DIR",
        ("label",),
    ),
    Option("seed", "seed of everything random", int, "0", "N", NEW),
    Option("seed", "seed of the evaluation's scenes", int, "the run's", "N", ("eval",)),
    Option("episodes", "how many demonstrations", int, "20", "N", ("demos",)),
    Option("episodes", "how many episodes", int, "50", "N", ("eval",)),
    Option("frames", "how many frames of success, and as many of failure", int, "200", "N", ("label",)),
    Option("checkpoint", "a checkpoint folder, or its step number", str, "the newest", "STEP", ("eval",)),
    Option(
        "black_images",
        "the policy gets black images: shows whether it looks at them",
        bool,
        "false",
        "",
        ("eval",),
    ),
    Option("steps", "budget of real training steps", int, "the task's", "N", ("train",)),
    Option("demos_from", "use the demonstrations of this folder and record none", str, "", "DIR", ("train",)),
    Option(
        "classifier_from",
        "use the labelled frames of this folder: for the reward of a real cell, and for the world model",
        str,
        "",
        "DIR",
        ("train",),
    ),
    Option(
        "resume",
        "go on with a run: its folder, its name in runs/, or newest: the newest unfinished one",
        str,
        "",
        "RUN",
        ("train",),
        bare=NEWEST,
    ),
    Option(
        "resume",
        "go on with a recording: its folder, its name in runs/, or newest: the newest unfinished one",
        str,
        "",
        "RUN",
        ("demos", "label"),
        bare=NEWEST,
    ),
    Option(
        "quick",
        "everything tiny: closes the whole loop in about a minute",
        bool,
        "false",
        "",
        NEW,
    ),
    Option(
        "realtime",
        "10 Hz by the wall clock instead of lockstep",
        bool,
        "false",
        "",
        ("train", "eval", "demos", "label"),
    ),
    Option("sim", "the simulated cell in place of the real one", bool, "true", "", NEW),
    Option(
        "operator",
        "who demonstrates and helps: scripted, or a person with keyboard, gamepad or spacemouse, who drives "
        "in real time; none: nobody helps",
        str,
        "scripted in simulation, teleop.device at a real cell",
        "WHO",
        NEW,
    ),
    Option("real", "the real cell: the same as --no-sim", bool, "false", "", NEW),
    Option(
        "machine",
        "auto, cpu or gpu: a file of config/machines",
        str,
        "auto",
        "NAME",
        NEW,
    ),
)


def options_of(mode: Mode) -> tuple[Option, ...]:
    """The options of a command, in the order of the help."""
    return tuple(option for option in OPTIONS if mode in option.modes)


@dataclass(frozen=True)
class Request:
    """A person's request. None, False or "": not said."""

    mode: Mode
    task: str = ""
    method: str = ""
    run_dir: str = ""
    name: str = ""
    out: str = ""
    seed: int | None = None
    episodes: int | None = None
    frames: int | None = None
    checkpoint: str = ""
    black_images: bool = False
    steps: int | None = None
    demos_from: str = ""
    classifier_from: str = ""
    resume: str = ""
    quick: bool = False
    sim: bool | None = None
    real: bool = False
    realtime: bool = False
    operator: str = ""
    machine: str = ""
    overrides: tuple[str, ...] = field(default=())


def request_from(mode: Mode, values: Mapping[str, Any], overrides: tuple[str, ...] = ()) -> Request:
    """A request from option values, of which None and "" are left out."""
    said = {
        option.name: values[option.name]
        for option in options_of(mode)
        if values.get(option.name) not in (None, "")
    }
    return Request(mode=mode, overrides=overrides, **said)


def refuse_unknown(arguments: Sequence[str]) -> None:
    """Raise :class:`ConfigError` for what is neither an option nor looks like a setting."""
    from worldsample_core.config import ConfigError

    for argument in arguments:
        if not argument.startswith("-") and "=" not in argument and "." in argument:
            raise ConfigError(f"the setting {argument} has no value: say {argument}=VALUE")
        if argument.startswith("-") or "=" not in argument:
            raise ConfigError(f"unknown argument {argument!r}; a setting looks like section.key=value")


def refuse_misspelt(arguments: Sequence[str], options: Iterable[str]) -> None:
    """Raise :class:`ConfigError` for an argument that is nearly an option, with that option's name.

    Args:
        arguments: those that no option took.
        options: of the command, such as ``--task``.
    """
    from worldsample_core.config import ConfigError

    known = sorted(options)
    for argument in arguments:
        name = argument.partition("=")[0]
        near = difflib.get_close_matches(name, known, 1, 0.75) if name.startswith("--") else []
        if near:
            raise ConfigError(f"unknown argument {name!r}; did you mean {near[0]}?")

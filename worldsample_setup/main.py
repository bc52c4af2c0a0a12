"""The front door: sets up what is missing, then hands over to the command line of `worldsample_bringup`."""

from __future__ import annotations

import difflib
import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

from worldsample_setup import (
    debian_packages,
    debian_python,
    graphics,
    prerequisites,
    python_packages,
    ros_wheels,
    workspace,
)
from worldsample_setup.environment import child_environment, shell_exports
from worldsample_setup.home import Home, find_home
from worldsample_setup.problem import CommandFailed, SetupProblem
from worldsample_setup.progress import Progress, clock
from worldsample_setup.single_setup import SetupLock, only_one
from worldsample_setup.stamp import (
    Stamp,
    Work,
    has_gpu_device,
    lock_digest,
    package_hash,
    read_stamp,
    source_packages,
    work_to_do,
    write_stamp,
)

ROOT = Path(__file__).resolve().parent.parent
CLI_MODULE = "worldsample_bringup.cli"

# Known here too, so that a slip of the pen does not start a set-up.
CLI_COMMANDS = (
    "train",
    "eval",
    "demos",
    "label",
    "crop",
    "teleop",
    "export",
    "dataset",
    "imagine",
    "watch",
    "bench",
    "report",
    "verify",
    "settings",
    "topics",
    "permissions",
    "test",
    "check",
)
OWN_COMMANDS = ("setup", "env", "shell")

HELP = """\
usage: ./worldsample COMMAND [options]

Trains a robot arm from images over ROS 2, with a person's corrections. The first start sets everything up.

  train    train a policy, in the simulated cell
  eval     evaluate a checkpoint
  demos    record demonstrations
  label    record frames of success and of failure for the reward model
  teleop   drive with the keys of this terminal
  crop     choose the square of each camera's picture that the policy sees
  export   write a trained policy as a small folder
  dataset  take demonstrations in, write episodes out: LeRobotDataset, rosbag2
  imagine  draw what a run's world model imagines, below the real frames
  watch    show a run in the browser: cameras, imagined beside real, curves
  bench    measure the loop and the learner
  report   build a run's report again
  verify   say what of a run folder is whole, mended or lost
  settings print every setting with its meaning
  topics   print every topic and service with its fields
  permissions  write the rights of each node of a real cell, for keys (SROS 2)
  test     check and test everything
  check    say what this machine and its set-up can do

  setup    only set up; --clean begins anew
  env      print the environment as shell exports: source <(./worldsample env)
  shell    a shell in that environment

./worldsample COMMAND --help tells more about each.
"""

SETUP_HELP = """\
usage: ./worldsample setup [--clean]

Sets up this checkout, or what is missing of it; every other command does so by itself.
Without ROS 2 everything goes into .venv (about 3 GB); where ROS 2 is sourced the workspace is built there.

  --clean   remove what an earlier set-up made and begin anew

environment variables:
  WORLDSAMPLE_VENV=FOLDER       use this folder in place of .venv
  WORLDSAMPLE_ROS=wheels        use the ROS wheels even where ROS 2 is sourced
  WORLDSAMPLE_TORCH=cpu|cuda    decide the build of torch; by default what the machine has
  WORLDSAMPLE_GL=skip           go without rendering (a computer that only drives the real arm)
"""

ENV_HELP = (
    "usage: ./worldsample env\n\nPrints the environment as shell exports: source <(./worldsample env)\n"
)
SHELL_HELP = "usage: ./worldsample shell\n\nStarts $SHELL in the environment of WorldSample.\n"

# Seconds that each step usually takes on two cores, for the estimate of the time left.
TITLES = {
    "machine": ("Looking at the machine", 1.0),
    "environment": ("Making the Python environment", 5.0),
    "torch": ("Installing PyTorch", 15.0),
    "packages": ("Installing the Python packages and ROS", 20.0),
    "build": ("Building the ROS workspace", 100.0),
    "graphics": ("Trying to render", 10.0),
    "check": ("Trying everything together", 5.0),
}

CHECK_PROGRAM = """
import os, sys
import numpy, torch, rclpy, rclpy.context
import {modules}
if os.environ.get("MUJOCO_GL"):
{render}
context = rclpy.context.Context()
rclpy.init(args=[], context=context)
node = rclpy.create_node("worldsample_setup_check", context=context)
node.destroy_node()
context.try_shutdown()
value = (torch.ones(8, 8) @ torch.ones(8, 8)).sum().item()
assert value == 512.0, value
assert torch.from_numpy(numpy.ones(3)).sum().item() == 3.0
print("torch", torch.__version__, "cuda" if torch.cuda.is_available() else "cpu")
"""


def main(arguments: list[str]) -> int:
    """Runs one command.

    Args:
        arguments: what follows `./worldsample` on the command line.

    Returns:
        The exit code; does not return where another program takes over.
    """
    command = arguments[0] if arguments else "--help"
    asks_help = any(argument in ("-h", "--help") for argument in arguments) or command == "help"
    if asks_help and command in OWN_COMMANDS:
        print({"setup": SETUP_HELP, "env": ENV_HELP, "shell": SHELL_HELP}[command], end="")
        return 0
    if not arguments or command in ("-h", "--help", "help"):
        print(HELP, end="")
        return 0 if arguments else 2

    if command not in CLI_COMMANDS + OWN_COMMANDS:
        nearest = difflib.get_close_matches(command, CLI_COMMANDS + OWN_COMMANDS, 1)
        hint = f"; did you mean {nearest[0]}?" if nearest else ""
        print(f"worldsample: there is no command {command}{hint}\n\n{HELP}", end="", file=sys.stderr)
        return 2

    home = find_home(ROOT, os.environ)
    stamp = read_stamp(home.stamp)
    if asks_help and (stamp is None or work_to_do(home, stamp)) and _help_before_setup(arguments):
        return 0
    signal.signal(signal.SIGTERM, _as_interrupt)
    try:
        if command == "setup":
            return _setup_command(home, arguments[1:])
        if stamp is None or work_to_do(home, stamp):
            stamp = set_up(home)
    except SetupProblem as problem:
        print(problem.text(), file=sys.stderr)
        return 1
    except KeyboardInterrupt as interrupt:
        print(
            f"\nworldsample: set-up interrupted; {sys.argv[0]} {command} goes on from here", file=sys.stderr
        )
        return 143 if interrupt.args else 130
    except OSError as error:
        print(_explain_os_error(error, home).text(), file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, signal.SIG_DFL)

    env = child_environment(home, stamp, os.environ)
    if command == "env":
        print(shell_exports(env, os.environ))
        return 0
    if command == "shell":
        program = os.environ.get("SHELL") or "/bin/sh"
        os.execve(program, [program], env)
    # Ctrl-C waits until the command can end without a traceback; `worldsample_bringup.cli.main` lets it in.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    os.execve(home.python, [str(home.python), "-m", CLI_MODULE, *arguments], env)


def set_up(home: Home) -> Stamp:
    """Does everything that is still to do; waits if another process is at it.

    Raises:
        SetupProblem: something is missing; the message says what installs it.
    """
    home.folder.parent.mkdir(parents=True, exist_ok=True)
    with only_one(home.lock, home.folder) as lock:
        stamp = read_stamp(home.stamp)
        work = work_to_do(home, stamp)
        if stamp is not None and not work:
            return stamp
        return _SetUp(home, stamp or Stamp(), work, lock).run()


class _SetUp:
    """One run of the set-up: the steps in order, each noted in the stamp when it has ended well."""

    def __init__(self, home: Home, stamp: Stamp, work: Work, lock: SetupLock) -> None:
        self.home = home
        self.stamp = stamp
        self.work = work
        self.lock = lock
        self.packages = source_packages(home)

    def run(self) -> Stamp:
        home, work = self.home, self.work
        prerequisites.check_machine(home)
        self._own_folder()
        if work.fresh:
            self._begin_anew()
        names = ["machine"]
        names += ["environment"] if work.environment else []
        names += ["torch", "packages"] if work.python_packages else []
        names += ["build"] if work.build or work.clean_build else []
        names += ["graphics"] if work.graphics else []
        names += ["check"] if work.check else []
        progress = Progress([TITLES[name] for name in names], home.log)
        progress.command_started = self.lock.note_command
        try:
            progress.note(self._opening(names))
            with progress.step():
                interpreter = self._look_at_machine(progress)
            if work.environment:
                with progress.step():
                    self._make_environment(interpreter, progress)
            if work.python_packages:
                self._install_packages(progress)
            if work.cmake_paths:
                self._repair_cmake_paths(progress)
            if work.build or work.clean_build:
                with progress.step():
                    self._build(progress)
            if work.graphics:
                with progress.step():
                    self._forget(graphics={}, graphics_from="")
                    variables, origin = graphics.set_up_graphics(home, progress)
                    self._note(graphics=variables, graphics_from=origin)
            if work.check:
                with progress.step():
                    self._check(progress)
            progress.note(f"worldsample: ready after {clock(progress.elapsed())}")
        except BaseException as error:
            progress.failed()
            progress.write_log(f"stopped: {error!r}")
            raise
        finally:
            progress.close()
        return self.stamp

    def _opening(self, names: list[str]) -> str:
        home = self.home
        usual = clock(sum(TITLES[name][1] for name in names))
        where = (
            f"with the ROS wheels in {home.folder}" if home.kind == "wheels" else f"on ROS 2 {home.distro}"
        )
        reasons = "; ".join(self.work.reasons)
        return f"worldsample: setting up {where} ({reasons}); usually {usual}, log: {home.log}"

    def _own_folder(self) -> None:
        """Makes the folder and marks it as ours; never touches an environment that someone else made."""
        folder = self.home.folder
        if folder.exists() and not self.home.stamp.exists() and any(folder.iterdir()):
            raise SetupProblem(
                f"{folder} exists, but ./worldsample did not make it.",
                "Move it away, or name another folder: WORLDSAMPLE_VENV=/path/to/folder ./worldsample …",
            )
        folder.mkdir(exist_ok=True)
        write_stamp(self.home.stamp, self.stamp)

    def _begin_anew(self) -> None:
        """Removes all results; the stamp stays, so that an interruption leaves a folder known to be ours."""
        self.stamp = Stamp()
        write_stamp(self.home.stamp, self.stamp)
        remove_all(self.home)

    def _look_at_machine(self, progress: Progress) -> prerequisites.Interpreter:
        interpreter = prerequisites.find_interpreter(self.home)
        self._complete_tools(interpreter, progress)
        self.torch = python_packages.wanted_torch(os.environ)
        installed = "torch" in self.stamp.top_level or any(self.home.folder.glob("lib/*/site-packages/torch"))
        if self.work.python_packages:
            prerequisites.check_disk(self.home.folder, self.torch, installed)
        progress.detail = (
            f"{interpreter.name}, {'an NVIDIA GPU' if self.torch == 'cuda' else 'no GPU: torch for the CPU'}"
        )
        return interpreter

    def _complete_tools(self, interpreter: prerequisites.Interpreter, progress: Progress) -> None:
        """Fetches what Debian leaves out of Python if that alone is missing, else says what to install."""
        home = self.home
        missing = prerequisites.missing_tools(interpreter, prerequisites.find_compiler())
        if debian_python.include_folder(home) and debian_python.pip_wheel(home):
            missing = {need: text for need, text in missing.items() if need == "compiler"}
        reason = ""
        if missing and "compiler" not in missing and debian_python.can_complete(interpreter):
            try:
                debian_python.fetch(home, interpreter, progress)
                return
            except CommandFailed as failure:
                reason = debian_packages.explain(failure)
        prerequisites.refuse_missing(missing, reason)

    def _make_environment(self, interpreter: prerequisites.Interpreter, progress: Progress) -> None:
        self._forget(base_python="")
        python_packages.create_environment(self.home, interpreter, progress)
        self._note(base_python=interpreter.executable, root=str(self.home.root))

    def _install_packages(self, progress: Progress) -> None:
        home = self.home
        self._forget(requirements="", torch="", top_level=[], cmake_paths="", checked=False)
        again = self.work.again
        with progress.step():
            python_packages.install_torch(home, self.torch, again, progress)
        with progress.step():
            python_packages.install_packages(home, again, progress)
        top_level = sorted(name for name in os.listdir(home.site_packages()) if not name.startswith("~"))
        self._note(
            requirements=lock_digest(home.root),
            torch=self.torch,
            torch_chosen="WORLDSAMPLE_TORCH" in os.environ,
            gpu_device=has_gpu_device(),
            top_level=top_level,
        )

    def _repair_cmake_paths(self, progress: Progress) -> None:
        includes = ros_wheels.local_includes(self.home)
        changed = ros_wheels.repair_cmake_files(self.home.folder / "share", *includes)
        progress.write_log(f"{len(changed)} CMake files repaired: {includes}")
        self._note(cmake_paths=os.pathsep.join(includes))

    def _build(self, progress: Progress) -> None:
        home, work = self.home, self.work
        hashes = {name: package_hash(self.packages[name]) for name in work.build}
        kept = (
            {} if work.clean_build else {k: v for k, v in self.stamp.packages.items() if k not in work.build}
        )
        self._forget(packages=kept, workspace_paths={})
        built = dict(kept)

        def finished(name: str) -> None:
            built[name] = hashes[name]
            self._note(packages=built)

        if work.build:
            workspace.build(home, work.build, work.clean_build, progress, finished)
        elif work.clean_build:
            workspace.remove_results(home)
        self._note(workspace_paths=workspace.added_paths(home) if self.packages else {})

    def _check(self, progress: Progress) -> None:
        """Imports and uses the big parts in one process: they must get along under these library paths."""
        self._forget(checked=False)
        modules = ", ".join(sorted(name for name in self.packages if name.endswith("_msgs"))) or "rclpy"
        render = "".join(f"    {line}\n" for line in graphics.RENDER_PROGRAM.splitlines())
        program = CHECK_PROGRAM.format(modules=modules, render=render.replace("    '<", "'<"))
        env = child_environment(self.home, self.stamp, os.environ)
        try:
            lines = progress.run([str(self.home.python), "-c", program], env)
        except CommandFailed as failure:
            raise SetupProblem(
                "The parts are installed but do not work together.",
                f"Begin anew with: ./worldsample setup --clean\nLog: {self.home.log}",
                failure.tail[-10:],
            ) from None
        progress.detail = lines[-1] if lines else ""
        self._note(checked=True)

    def _note(self, **parts: object) -> None:
        for name, value in parts.items():
            setattr(self.stamp, name, value)
        write_stamp(self.home.stamp, self.stamp)

    _forget = _note


def remove_all(home: Home) -> None:
    """Removes everything that a set-up made, except the log and the stamp."""
    workspace.remove_results(home)
    if not home.folder.is_dir():
        return
    for path in home.folder.iterdir():
        if path in (home.log, home.stamp):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _setup_command(home: Home, options: list[str]) -> int:
    unknown = [option for option in options if option != "--clean"]
    if unknown:
        print(f"worldsample: setup does not know {unknown[0]}\n\n{SETUP_HELP}", end="", file=sys.stderr)
        return 2
    begun = time.monotonic()
    if "--clean" in options and home.stamp.exists():
        with only_one(home.lock, home.folder):
            write_stamp(home.stamp, Stamp())
            remove_all(home)
    set_up(home)
    print(f"worldsample: set up in {home.folder} ({clock(time.monotonic() - begun)})", file=sys.stderr)
    return 0


def _help_before_setup(arguments: list[str]) -> bool:
    """Tries the help of a command with the Python at hand: True if it could be shown without a set-up."""
    packages = os.pathsep.join(str(path) for path in (ROOT / "src").glob("*/"))
    env = {**os.environ, "PYTHONPATH": packages, "WORLDSAMPLE_ROOT": str(ROOT)}
    answer = subprocess.run(
        [sys.executable, "-m", CLI_MODULE, *arguments], env=env, capture_output=True, text=True, check=False
    )
    if answer.returncode == 0 and answer.stdout:
        print(answer.stdout, end="")
        return True
    return False


def _as_interrupt(signal_number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt(signal_number)


def _explain_os_error(error: OSError, home: Home) -> SetupProblem:
    if error.errno == errno.ENOSPC:
        return SetupProblem(
            f"The disk of {home.folder} is full.", "Free some space (about 4 GiB) and start again."
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return SetupProblem(
            f"No right to write: {error.filename or home.folder}.",
            "Was it made by another user? Own it (chown), or name another folder:\n"
            "WORLDSAMPLE_VENV=/path/to/folder ./worldsample …",
        )
    return SetupProblem(f"Set-up failed: {error}", f"Log: {home.log}")

"""Shows or records a finished run from its folder."""

from __future__ import annotations

import signal
import sys
import time
from types import FrameType

from worldsample_bringup.graph.announcement import shown
from worldsample_bringup.run.run_folder import RunFolder
from worldsample_bringup.viewer.blueprint import replay_blueprint
from worldsample_bringup.viewer.outlet import Outlet, OutletChoice, open_outlet
from worldsample_bringup.viewer.replay import Replayed, RunReplay
from worldsample_core.node.exit_codes import DONE, FAILED


def watch_folder(run: RunFolder, choice: OutletChoice) -> int:
    """Show a finished run until Ctrl-C, or write its recording. Returns the exit code.

    Raises:
        ConfigError: its folder, the ports or the file cannot be used.
    """
    asked: list[int] = []

    def on_signal(number: int, frame: FrameType | None) -> None:
        asked.append(number)

    with open_outlet(choice, replay_blueprint()) as outlet:
        outlet.announce(f"{shown(run.path)} again", "Ctrl-C ends it")
        done = RunReplay(run, outlet.stream, _tell).log()
        _tell("")
        for problem in done.problems:
            print(f"left out: {problem}", file=sys.stderr)
        print(f"{'written' if choice.save else 'shown'}: {done.in_words()}", flush=True)
        if choice.save is not None:
            return _saved(choice, done)
        signal.signal(signal.SIGINT, on_signal)
        signal.signal(signal.SIGTERM, on_signal)
        return _wait(outlet, asked)


def _saved(choice: OutletChoice, done: Replayed) -> int:
    print(choice.save, flush=True)
    return DONE if not done.problems else FAILED


def _wait(outlet: Outlet, asked: list[int]) -> int:
    assert outlet.viewer is not None
    while not asked:
        if not outlet.viewer.alive:
            print("Rerun's server has ended: start it again", file=sys.stderr)
            return FAILED
        time.sleep(0.2)
    return DONE


def _tell(line: str) -> None:
    """Progress, at a terminal only."""
    if sys.stderr.isatty():
        print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)

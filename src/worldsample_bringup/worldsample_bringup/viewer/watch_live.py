"""Joins the graph of a run that is under way, and shows or records it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from types import FrameType

import rclpy
from rclpy.signals import SignalHandlerOptions

from worldsample_bringup.graph.announcement import shown
from worldsample_bringup.graph.run_under_way import domain_to_join, run_of_domain
from worldsample_bringup.run.run_folder import RunFolder
from worldsample_bringup.viewer.blueprint import live_blueprint
from worldsample_bringup.viewer.live_view import LiveView
from worldsample_bringup.viewer.outlet import OutletChoice, open_outlet
from worldsample_bringup.viewer.priority import give_way
from worldsample_bringup.viewer.viewer_node import ViewerNode
from worldsample_bringup.viewer.web_viewer import WebViewer
from worldsample_core.node.exit_codes import DONE, FAILED

SILENCE = 10.0
"""Seconds without a run after which a person is told where it is looked for."""
LAST_WORDS = 3.0
"""Seconds between the end of a run and that of its recording: what is still under way arrives."""


def watch_live(run: RunFolder | None, choice: OutletChoice) -> int:
    """Show a run until asked to stop; into a file, also until it ends. Returns the exit code.

    Args:
        run: its folder, where it is known.
        choice: where it is shown.

    Raises:
        ConfigError: the domain, the ports or the file cannot be used.
    """
    domain = domain_to_join(run)
    run = run or run_of_domain(domain)
    settings = None if run is None else run.settings()
    asked: list[int] = []

    def on_signal(number: int, frame: FrameType | None) -> None:
        asked.append(number)

    with open_outlet(choice, live_blueprint()) as outlet, ExitStack() as stack:
        rclpy.init(args=None, domain_id=domain, signal_handler_options=SignalHandlerOptions.NO)
        stack.callback(rclpy.try_shutdown)
        signal.signal(signal.SIGINT, on_signal)
        signal.signal(signal.SIGTERM, on_signal)
        view = LiveView(outlet.stream, settings)
        node = ViewerNode(view)
        give_way(os.getpid())
        what = f" of {shown(run.path)}" if run is not None else ""
        outlet.announce(f"The live view{what}", "Ctrl-C ends the view, not the run")
        if choice.save is not None:
            print(f"Recording{what} to {choice.save} until the run ends, or Ctrl-C", flush=True)
        return _spin(node, view, outlet.viewer, domain, lambda: bool(asked))


def _spin(
    node: ViewerNode, view: LiveView, viewer: WebViewer | None, domain: int, asked: Callable[[], bool]
) -> int:
    began, ended_at, told = time.monotonic(), 0.0, False
    while not asked():
        rclpy.spin_once(node, timeout_sec=0.1)
        now = time.monotonic()
        if not view.heard and not told and now - began > SILENCE:
            told = True
            print(
                f"no run is heard on ROS domain {domain} yet. Start one, or name its domain: "
                "ROS_DOMAIN_ID=N, or a finished run: watch RUN. It still listens",
                flush=True,
            )
        if viewer is not None and not viewer.alive:
            print("Rerun's server has ended: start the view again", flush=True)
            return FAILED
        ended_at = (ended_at or now) if view.ended else 0.0
        if viewer is None and ended_at and now - ended_at > LAST_WORDS:
            break
    return DONE

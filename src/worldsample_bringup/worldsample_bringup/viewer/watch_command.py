"""``worldsample watch``: its options, and what runs it.

Only the standard library is imported before the command runs, so that help needs no set-up.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from worldsample_bringup.run.options import Mode, Option, refuse_unknown

PORT = 9090
"""Port of the page, where no other is asked for."""
MODES: tuple[Mode, ...] = ("train", "eval", "demos", "label")
WATCH = Option("watch", "show the run in a browser, live", bool, "false", "", MODES)
WATCH_PORT = Option("watch_port", "port of that page", int, str(PORT), "N", MODES)
"""The options with which a run is watched from its beginning; launch arguments, too."""


def add_watch_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``worldsample watch``."""
    parser.add_argument(
        "folder",
        nargs="?",
        default="",
        metavar="RUN",
        help="a run's folder, or its name in runs/ (default: the run that is under way)",
    )
    parser.add_argument(
        "--port", type=int, default=PORT, metavar="N", help="port of the page (default: %(default)s)"
    )
    parser.add_argument("--open", action="store_true", help="show the page in a browser")
    parser.add_argument(
        "--save", default="", metavar="FILE.rrd", help="write a recording of Rerun, and serve no page"
    )


def add_watch_switch(parser: argparse.ArgumentParser) -> None:
    """Add the options with which a run is watched from its beginning."""
    parser.add_argument("--watch", action="store_true", help=WATCH.help)
    parser.add_argument(
        "--watch-port", type=int, default=PORT, metavar=WATCH_PORT.value, help=WATCH_PORT.described
    )


def ready_to_watch(asked: bool, port: int) -> int | None:
    """The port at which a run shall be watched; None where it shall not.

    Args:
        asked: it shall be watched.
        port: of the page.

    Raises:
        ConfigError: Rerun is missing, or a port is taken. It is better said before the run than in it.
    """
    if not asked:
        return None
    from worldsample_bringup.run.required_packages import require_viewer
    from worldsample_bringup.viewer.web_viewer import require_free_ports

    require_viewer()
    require_free_ports(port)
    return port


def watch(options: argparse.Namespace) -> int:
    """Show a run. Returns the exit code."""
    refuse_unknown(options.rest)
    from worldsample_bringup.graph.domain import is_under_way
    from worldsample_bringup.run.prepare import existing_run
    from worldsample_bringup.run.required_packages import require_viewer

    require_viewer()
    from worldsample_bringup.viewer.outlet import OutletChoice
    from worldsample_bringup.viewer.recording import writable

    run = existing_run(options.folder, Path("runs")) if options.folder else None
    save = writable(Path(options.save)) if options.save else None
    choice = OutletChoice(options.port, save, options.open)
    if run is not None and not is_under_way(run.path):
        from worldsample_bringup.viewer.watch_folder import watch_folder

        return watch_folder(run, choice)
    from worldsample_bringup.viewer.watch_live import watch_live

    code = watch_live(run, choice)
    sys.stdout.flush()
    sys.stderr.flush()
    # All is closed. The interpreter would tidy for half a second of processor time, and with the least
    # priority that takes half a minute on a busy computer: the viewer would be killed.
    os._exit(code)

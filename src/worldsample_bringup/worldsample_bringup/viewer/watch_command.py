"""``worldsample watch``: its options, and what runs it.

Only the standard library is imported before the command runs, so that help needs no set-up.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from worldsample_bringup.run.options import refuse_unknown

PORT = 9090
"""Port of the page, where no other is asked for."""


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


def watch(options: argparse.Namespace) -> int:
    """Show a run. Returns the exit code."""
    refuse_unknown(options.rest)
    from worldsample_bringup.run.prepare import existing_run
    from worldsample_bringup.run.required_packages import require_viewer

    require_viewer()
    from worldsample_bringup.viewer.recording import writable
    from worldsample_bringup.viewer.watch_live import is_under_way, watch_live
    from worldsample_core.config import ConfigError

    run = existing_run(options.folder, Path("runs")) if options.folder else None
    if run is not None and not is_under_way(run):
        raise ConfigError(f"{run.path} is not under way on this machine: look at {run.report}")
    save = writable(Path(options.save)) if options.save else None
    return watch_live(run, options.port, save, options.open)

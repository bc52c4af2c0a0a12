"""``worldsample teleop``: the keys of this terminal drive the arm of the run that is under way."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from worldsample_bringup.run.options import refuse_unknown


def add_teleop_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "folder",
        nargs="?",
        default="",
        metavar="RUN",
        help="the run's folder, or its name in runs/ (default: the run that is under way)",
    )


def teleop(options: argparse.Namespace) -> int:
    """Become the node that reads the keyboard. Returns only where it cannot."""
    refuse_unknown(options.rest)
    from a1x_driver import keyboard
    from worldsample_bringup.graph.enclaves import enclave_arguments
    from worldsample_bringup.graph.run_under_way import domain_to_join, run_of_domain
    from worldsample_bringup.run.prepare import existing_run
    from worldsample_core.config import ConfigError

    named = existing_run(options.folder, Path("runs")) if options.folder else None
    domain = domain_to_join(named)
    run = named or run_of_domain(domain)
    if run is None:
        raise ConfigError(
            f"no run of this machine is on ROS domain {domain}: start one with --operator keyboard, or name "
            "the folder of one that another computer serves"
        )
    settings = run.settings()
    if not settings.run.has_person or settings.teleop.get("device") != "keyboard":
        raise ConfigError(
            f"{run.path} was started without --operator keyboard (teleop.device=keyboard at a real cell): it "
            "does not listen to a keyboard"
        )
    if not sys.stdin.isatty():
        raise ConfigError("there is no terminal here whose keys could be read")
    print((keyboard.__doc__ or "").partition("\n")[2].strip(), flush=True)
    print(f"driving {run.path}, ROS domain {domain}; Ctrl-C ends", flush=True)
    os.environ["ROS_DOMAIN_ID"] = str(domain)
    node = ["-m", "a1x_driver.teleop_node", "--ros-args", "-r", "__node:=operator"]
    node += enclave_arguments("operator")
    os.execv(sys.executable, [sys.executable, *node, "-p", f"config:={run.config}"])

"""One session of a run under the embedded runner: domain, graph, and what the person is told."""

from __future__ import annotations

import os
from collections.abc import Callable
from shlex import quote

from worldsample_bringup.graph.announcement import closing, opening, shown
from worldsample_bringup.graph.closed_cell import require_keys
from worldsample_bringup.graph.domain import claim_domain
from worldsample_bringup.graph.graph import build_graph
from worldsample_bringup.graph.node_command import ProcessSpec, process_for
from worldsample_bringup.graph.runner import Outcome, Runner
from worldsample_bringup.graph.terminal import Console
from worldsample_bringup.graph.viewer_process import viewer_process
from worldsample_bringup.report.open_page import open_page
from worldsample_bringup.report.report import write_live_report, write_report
from worldsample_bringup.run.history import read_history
from worldsample_bringup.run.prepare import Plan
from worldsample_core.command_name import command_name


def run_session(
    plan: Plan,
    watch: Callable[[Runner], None] | None = None,
    open_report: bool = False,
    watch_port: int | None = None,
    place: Callable[[ProcessSpec], ProcessSpec] | None = None,
) -> Outcome:
    """Run a plan to its end. Leaves a summary and a report in its folder, however it ends.

    Args:
        plan: the run.
        watch: called with the runner, again and again.
        open_report: show the report in a browser from the beginning; the run goes on writing it.
        watch_port: also start the viewer with its page at this port; None: no viewer.
        place: the process to start for each node's, e.g. the same on another host; None: as it is.

    Raises:
        ConfigError: the folder cannot be used.
        DomainTaken: another run is on the ROS domain.
    """
    claim = claim_domain(f"{plan.settings.run.mode} in {plan.folder.path}")
    os.environ["ROS_DOMAIN_ID"] = str(claim.domain)
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    try:
        nodes = build_graph(plan.settings, plan.folder.config)
        require_keys(nodes, plan.settings)
        specs = [process_for(node) for node in nodes]
        specs = specs if place is None else [place(spec) for spec in specs]
        specs += [] if watch_port is None else [viewer_process(plan.folder, watch_port)]
        with plan.begin():
            console = Console(names=tuple(spec.name for spec in specs))
            for line in opening(plan, claim.domain):
                console.say(line)
            if open_report:
                write_live_report(plan.folder, plan.settings, read_history(plan.folder.metrics))
                if hint := open_page(plan.folder.report):
                    console.say(hint)
            began = plan.folder.summary.stat().st_mtime if plan.folder.summary.exists() else 0.0
            outcome = Runner(specs, console, plan.folder.logs, watch=watch).run()
            console.close_live()
            if not plan.folder.summary.exists() or plan.folder.summary.stat().st_mtime <= began:
                _report(plan, console)  # the dashboard was not able to
            for line in closing(plan.folder, plan.settings, outcome):
                console.say(line)
            if watch_port is not None:
                console.say(f"  watch     again: {command_name()} watch {quote(shown(plan.folder.path))}")
            return outcome
    finally:
        claim.release()


def _report(plan: Plan, console: Console) -> None:
    """Write summary and report. A full disk costs them, and not what the person is told at the end."""
    try:
        write_report(plan.folder)
    except OSError as problem:
        console.say(f"the report could not be written: {problem}")

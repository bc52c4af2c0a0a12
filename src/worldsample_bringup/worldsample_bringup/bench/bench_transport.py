"""``worldsample bench transport``: weights and transitions between two processes of this machine.

Ours goes over ROS 2 as the nodes do. Beside it stand agentlace (HiL-SERL's transport) and LeRobot's gRPC
transport, each in an environment of its own; one that cannot be installed is skipped with the reason.
Weights count from before they are packed until they are unpacked and checked, transitions from before the
conversion until the receiver has them as arrays.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from worldsample_bringup.bench.machine_load import MachineLoad
from worldsample_bringup.bench.peer_environment import (
    LEROBOT,
    Peer,
    agentlace,
    measured_or_reason,
    run_peer,
)
from worldsample_bringup.bench.transport_process import MODULE, TransportSettings
from worldsample_bringup.graph.domain import claim_domain
from worldsample_bringup.run.provenance import git_revision
from worldsample_core.node.parent_death import die_with_parent

Say = Callable[[str], None]


def measure(
    settings: TransportSettings | None = None,
    agentlace_source: str = "",
    peers: bool = True,
    say: Say = print,
) -> dict[str, Any]:
    """All transports on this machine.

    Args:
        agentlace_source: folder with agentlace's source, where GitHub cannot be reached.
        peers: measure the other projects as well.
        say: is told what happens, for people.

    Raises:
        DomainTaken: the ROS domain is in use.
        subprocess.SubprocessError: our own processes failed.
    """
    settings = settings or TransportSettings()
    result: dict[str, Any] = {"settings": asdict(settings), "git_revision": git_revision()}
    load = MachineLoad()
    say("measuring worldsample")
    result["worldsample"] = figures(ours(settings))
    if peers:
        scripts = ((agentlace(agentlace_source), "agentlace_transport.py"), (LEROBOT, "lerobot_transport.py"))
        for peer, script in scripts:
            result[peer.name.split()[0]] = _of_peer(peer, script, settings, say)
    return {**result, "machine": load.describe()}


def _of_peer(peer: Peer, script: str, settings: TransportSettings, say: Say) -> dict[str, Any]:
    asked = {**asdict(settings), "port": free_port()}
    return measured_or_reason(lambda: figures(run_peer(peer, script, asked, say, 2 * settings.timeout_s)))


def ours(settings: TransportSettings) -> dict[str, Any]:
    """Measure our two processes, on a ROS domain of their own."""
    claim = claim_domain("bench transport")
    env = {**os.environ, "ROS_DOMAIN_ID": str(claim.domain)}
    env.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    command = [sys.executable, "-m", MODULE, "learner", json.dumps(asdict(settings))]
    try:
        done = subprocess.run(
            command,
            env=env,
            preexec_fn=die_with_parent(),
            stdout=subprocess.PIPE,
            text=True,
            timeout=2 * settings.timeout_s,
            check=True,
        )
    finally:
        claim.release()
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def figures(measured: Mapping[str, Any]) -> dict[str, Any]:
    """Percentiles of what the processes measured.

    Returns:
        version (of another project); weights: by their size in MiB p50_ms, p99_ms, received;
        transitions_per_second, sent, lost (on the wire, at full speed), transition_p50_ms,
        transition_p99_ms.
    """
    weights = {
        f"{size}_mb": {**_percentiles(values), "received": len(values)}
        for size, values in measured["weights_ms"].items()
    }
    paced = _percentiles(measured["transition_ms"])
    return {
        **({"version": measured["version"]} if "version" in measured else {}),
        "weights": weights,
        "transitions_per_second": round(measured["transitions_per_second"], 1),
        "sent": measured["sent"],
        "lost": measured["lost"],
        **{f"transition_{name}": value for name, value in paced.items()},
    }


def _percentiles(values: list[float]) -> dict[str, float | None]:
    """p50_ms and p99_ms; None of no values."""
    return {f"p{q}_ms": round(float(np.percentile(values, q)), 2) if values else None for q in (50, 99)}


def free_port() -> int:
    """The first of two neighbouring free TCP ports of this machine."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


def table(result: Mapping[str, Any]) -> str:
    """The figures side by side, for people."""
    rows = [f"{'':<14}{'weights 1 MB':>18}{'10 MB':>18}{'transitions/s':>15}{'one, ms':>16}{'lost':>12}"]
    for name in ("worldsample", "agentlace", "lerobot"):
        of = result.get(name)
        if of is None:
            continue
        if "skipped" in of:
            rows.append(f"{name:<14}skipped: {of['skipped']}")
            continue
        weights = [f"{w['p50_ms']} / {w['p99_ms']}" for w in of["weights"].values()]
        one = f"{of['transition_p50_ms']} / {of['transition_p99_ms']}"
        lost = f"{of['lost']} of {of['sent']}"
        cells = "".join(f"{text:>18}" for text in weights)
        rows.append(f"{name:<14}{cells}{of['transitions_per_second']:>15}{one:>16}{lost:>14}")
    return "\n".join([*rows, "p50 / p99 in ms", f"machine: {result['machine']['note']}"])

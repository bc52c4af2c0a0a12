"""Weights and transitions over agentlace, the transport of HiL-SERL, between two processes of this machine.

`worldsample bench transport` runs it in an environment of its own. The learner publishes weights with
`publish_network`; the actor sends a transition at once, with `QueuedDataStore.insert` and
`TrainerClient.update`.
Argument: JSON (see `main`). Prints JSON as its last line.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import Any

import numpy as np
from agentlace.data.data_store import QueuedDataStore
from agentlace.trainer import TrainerClient, TrainerConfig, TrainerServer

NAME = "actor"
QUIET = 3.0
"""s after the fast transitions, so that none of them holds up the paced ones."""


def config(settings: dict[str, Any]) -> TrainerConfig:
    return TrainerConfig(port_number=settings["port"], broadcast_port=settings["port"] + 1)


class Received(QueuedDataStore):
    """Notes when each transition arrived, ns of the monotonic clock."""

    def __init__(self) -> None:
        super().__init__(2)
        self.arrived: dict[int, tuple[int, int]] = {}

    def insert(self, data: dict[str, Any]) -> None:
        self.arrived[data["seq"]] = (data["sent"], time.monotonic_ns())


def learner(settings: dict[str, Any]) -> dict[str, Any]:
    """Publish weights of every size, then receive transitions until the actor ends."""
    server = TrainerServer(config(settings))
    store = Received()
    server.register_data_store(NAME, store)
    server.start(threaded=True)
    command = [sys.executable, "-I", __file__, json.dumps({**settings, "role": "actor"})]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as actor:
        assert actor.stdout
        assert actor.stdout.readline().strip() == "ready"
        rng = np.random.default_rng(0)
        for size in settings["weights_mb"]:
            values = size * 1024 * 1024 // 4 // 16
            tensors = {f"layer{k}": rng.standard_normal(values, dtype=np.float32) for k in range(16)}
            for _ in range(settings["rounds"]):
                server.publish_network({"size": size, "sent": time.monotonic_ns(), "params": tensors})
                time.sleep(settings["pause_s"])
        result = json.loads(actor.communicate(timeout=settings["timeout_s"])[0].splitlines()[-1])
    arrived = {seq: times for seq, times in store.arrived.items() if seq < settings["transitions"]}
    paced = [(there - sent) * 1e-6 for seq, (sent, there) in store.arrived.items() if seq not in arrived]
    began, end = result.pop("began"), max(there for _, there in arrived.values())
    return {
        **result,
        "sent": settings["transitions"],
        "lost": settings["transitions"] - len(arrived),
        "transitions_per_second": len(arrived) / ((end - began) * 1e-9),
        "transition_ms": paced,
    }


def actor(settings: dict[str, Any]) -> dict[str, Any]:
    """Receive weights, then send transitions: as fast as it goes, and at a fixed rate."""
    store = QueuedDataStore(settings["transitions"])
    client = TrainerClient(
        NAME, "127.0.0.1", config(settings), data_store=store, wait_for_server=True, timeout_ms=3000
    )
    weights: dict[str, list[float]] = {str(size): [] for size in settings["weights_mb"]}

    def received(message: dict[str, Any]) -> None:
        weights[str(message["size"])].append((time.monotonic_ns() - message["sent"]) * 1e-6)

    client.recv_network_callback(received)
    time.sleep(1.0)
    print("ready", flush=True)
    last, deadline = str(settings["weights_mb"][-1]), time.monotonic() + settings["timeout_s"] / 2
    while len(weights[last]) < settings["rounds"] and time.monotonic() < deadline:
        time.sleep(0.05)
    rng, side = np.random.default_rng(0), settings["image_size"]
    seq = 0

    def send() -> None:
        nonlocal seq
        store.insert(
            {
                "seq": seq,
                "sent": time.monotonic_ns(),
                "observations": observation,
                "next_observations": observation,
                "actions": np.zeros(7, np.float32),
                "rewards": 0.0,
                "dones": False,
            }
        )
        client.update()
        seq += 1

    observation = {
        "side": rng.integers(0, 255, (side, side, 3), np.uint8),
        "wrist": rng.integers(0, 255, (side, side, 3), np.uint8),
        "state": np.zeros(10, np.float32),
    }
    began = time.monotonic_ns()
    for _ in range(settings["transitions"]):
        send()
    time.sleep(QUIET)
    for _ in range(settings["paced"]):
        time.sleep(1.0 / settings["paced_hz"])
        send()
    return {"began": began, "weights_ms": weights}


def main() -> None:
    """Run the role that the argument names; "learner" starts the other one."""
    settings = json.loads(sys.argv[1])
    print(json.dumps((actor if settings.get("role") == "actor" else learner)(settings)), flush=True)
    os._exit(0)  # agentlace closes its sockets from another thread than their own, at which ZeroMQ may abort


if __name__ == "__main__":
    main()

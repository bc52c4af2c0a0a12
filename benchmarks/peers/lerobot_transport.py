"""Weights and transitions over LeRobot's gRPC transport between two processes of this machine.

`worldsample bench transport` runs it in an environment of its own. It uses LeRobot's own `LearnerService`,
queues, encoding and chunks (lerobot/rl/learner_service.py, lerobot/transport/utils.py), without its pause of
seconds between two pushes of weights, and sends each transition at once instead of an episode at its end.
Argument: JSON (see `main`). Prints JSON as its last line.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from queue import Empty
from typing import Any

import grpc
import torch
from lerobot.rl.learner_service import MAX_WORKERS, LearnerService
from lerobot.transport import services_pb2, services_pb2_grpc
from lerobot.transport.utils import (
    MAX_MESSAGE_SIZE,
    bytes_to_state_dict,
    bytes_to_transitions,
    grpc_channel_options,
    receive_bytes_in_chunks,
    send_bytes_in_chunks,
    state_to_bytes,
    transitions_to_bytes,
)
from torch.multiprocessing import Event, Queue

QUIET = 6.0
"""s without a transition after which none is expected any more."""
BACKLOG = 3.0
"""s after the fast transitions, so that none of them holds up the paced ones."""


def learner(settings: dict[str, Any]) -> dict[str, Any]:
    """Publish weights of every size, then receive transitions until the actor has sent all."""
    stop = Event()
    weights: Any = Queue()
    transitions: Any = Queue()
    interactions: Any = Queue()
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=MAX_WORKERS),
        options=[
            ("grpc.max_receive_message_length", MAX_MESSAGE_SIZE),
            ("grpc.max_send_message_length", MAX_MESSAGE_SIZE),
        ],
    )
    service = LearnerService(stop, weights, 0.0, transitions, interactions)
    services_pb2_grpc.add_LearnerServiceServicer_to_server(service, server)
    server.add_insecure_port(f"127.0.0.1:{settings['port']}")
    server.start()
    command = [sys.executable, "-I", __file__, json.dumps({**settings, "role": "actor"})]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as actor:
        assert actor.stdout
        assert actor.stdout.readline().strip() == "ready"
        for size in settings["weights_mb"]:
            values = size * 1024 * 1024 // 4 // 16
            tensors = {f"layer{k}": torch.randn(values) for k in range(16)}
            for _ in range(settings["rounds"]):
                sent = torch.tensor([time.monotonic_ns(), size])
                weights.put(state_to_bytes({"policy": {**tensors, "sent": sent}}))
                time.sleep(settings["pause_s"])
        burst, paced = receive(transitions, settings)
        result = json.loads(actor.communicate(timeout=settings["timeout_s"])[0].splitlines()[-1])
    stop.set()
    server.stop(grace=1.0)
    return {
        **{name: value for name, value in result.items() if name != "began"},
        "sent": settings["transitions"],
        "lost": settings["transitions"] - len(burst),
        "transitions_per_second": len(burst) / ((max(burst) - result["began"]) * 1e-9),
        "transition_ms": paced,
    }


def receive(transitions: Any, settings: dict[str, Any]) -> tuple[list[int], list[float]]:
    """Arrival of the fast transitions, ns of the monotonic clock; latency of the paced ones, ms."""
    burst: list[int] = []
    paced: list[float] = []
    patience = settings["timeout_s"] / 2
    while len(paced) < settings["paced"]:
        try:
            (transition,) = bytes_to_transitions(transitions.get(timeout=patience))
        except Empty:
            break
        now, patience = time.monotonic_ns(), QUIET
        if transition["complementary_info"]["seq"] < settings["transitions"]:
            burst.append(now)
        else:
            paced.append((now - transition["complementary_info"]["sent"]) * 1e-6)
    return burst, paced


def actor(settings: dict[str, Any]) -> dict[str, Any]:
    """Receive weights, then send transitions: as fast as it goes, and at a fixed rate."""
    channel = grpc.insecure_channel(f"127.0.0.1:{settings['port']}", grpc_channel_options())
    client = services_pb2_grpc.LearnerServiceStub(channel)
    client.Ready(services_pb2.Empty(), wait_for_ready=True)
    stop = Event()
    parameters: Any = Queue()
    queue: Any = Queue()
    threading.Thread(
        target=lambda: receive_bytes_in_chunks(
            client.StreamParameters(services_pb2.Empty()), parameters, stop
        ),
        daemon=True,
    ).start()
    time.sleep(1.0)
    print("ready", flush=True)
    weights: dict[str, list[float]] = {str(size): [] for size in settings["weights_mb"]}
    last = str(settings["weights_mb"][-1])
    while len(weights[last]) < settings["rounds"]:
        try:
            tensors = bytes_to_state_dict(parameters.get(timeout=QUIET))["policy"]
        except Empty:
            break  # of two that waited only the newest was sent
        sent, size = tensors["sent"].tolist()
        weights[str(size)].append((time.monotonic_ns() - sent) * 1e-6)

    def stream() -> Iterator[Any]:
        while (message := queue.get()) is not None:
            yield from send_bytes_in_chunks(message, services_pb2.Transition)

    sender = threading.Thread(target=lambda: client.SendTransitions(stream()), daemon=True)
    sender.start()
    side = settings["image_size"]
    observation = {
        "observation.images.side": torch.randint(0, 255, (1, 3, side, side), dtype=torch.uint8),
        "observation.images.wrist": torch.randint(0, 255, (1, 3, side, side), dtype=torch.uint8),
        "observation.state": torch.zeros(1, 10),
    }

    def send(seq: int) -> None:
        transition = {
            "state": observation,
            "action": torch.zeros(1, 7),
            "reward": 0.0,
            "next_state": {name: value.clone() for name, value in observation.items()},
            "done": False,
            "truncated": False,
            "complementary_info": {"seq": seq, "sent": time.monotonic_ns()},
        }
        queue.put(transitions_to_bytes([transition]))

    began = time.monotonic_ns()
    for seq in range(settings["transitions"]):
        send(seq)
    while not queue.empty():
        time.sleep(0.01)
    time.sleep(BACKLOG)
    for k in range(settings["paced"]):
        time.sleep(1.0 / settings["paced_hz"])
        send(settings["transitions"] + k)
    time.sleep(QUIET)
    queue.put(None)
    sender.join(timeout=QUIET)
    stop.set()
    return {"began": began, "weights_ms": weights}


def main() -> None:
    """Run the role that the argument names; "learner" starts the other one."""
    settings = json.loads(sys.argv[1])
    print(json.dumps((actor if settings.get("role") == "actor" else learner)(settings)), flush=True)


if __name__ == "__main__":
    main()

"""The two ends of ``bench transport``: a learner that sends weights, and a policy that sends transitions.

They use the messages, conversions, checks and QoS profiles of the nodes, each in a process of its own. The
learner starts the policy. Called by :mod:`worldsample_bringup.bench.bench_transport` with the settings as
JSON; prints JSON as its last line. Times are ns of the monotonic clock, which all processes share.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import rclpy
from numpy.typing import NDArray
from rclpy.duration import Duration
from rclpy.node import Node

from worldsample_core.messages.conversions import (
    stamp_ns,
    time_of_ns,
    transition_from_message,
    transition_to_message,
    weights_from_message,
    weights_to_message,
)
from worldsample_core.messages.qos import LATCHED, TRANSITIONS
from worldsample_core.messages.weights import pack, unpack
from worldsample_core.node.freed_memory import keep_freed_memory
from worldsample_core.node.parent_death import die_with_parent
from worldsample_core.node.shared_memory import use_shared_memory
from worldsample_core.observation import Observation
from worldsample_core.transition import Transition
from worldsample_msgs.msg import Transition as TransitionMsg
from worldsample_msgs.msg import Weights as WeightsMsg

ARCHITECTURE = {"measured": True}
QUIET = 6.0
"""s without a message after which none is expected any more."""
BACKLOG = 1.5
"""s after the fast transitions, so that none of them holds up the paced ones."""
FIRST = 60.0
"""s in which the first message must come."""
TENSORS = 16
MODULE = "worldsample_bringup.bench.transport_process"


@dataclass(frozen=True)
class TransportSettings:
    """Sizes, numbers and rates of the messages.

    Attributes:
        weights_mb: sizes of the weights, MiB; rounds of each, pause_s between two.
        transitions: number that is sent as fast as it goes.
        paced, paced_hz: number that is sent at a fixed rate, and the rate.
        image_size: pixels, of both views.
        timeout_s: s that a process waits for the other one.
    """

    weights_mb: tuple[int, ...] = (1, 10)
    rounds: int = 60
    pause_s: float = 0.15
    transitions: int = 4500
    paced: int = 200
    paced_hz: float = 20.0
    image_size: int = 128
    timeout_s: float = 240.0


def tensors_of(size_mb: int) -> dict[str, NDArray[np.float32]]:
    """Random weights of so many MiB, in 16 tensors."""
    rng, values = np.random.default_rng(0), size_mb * 1024 * 1024 // 4 // TENSORS
    return {f"layer{k}": rng.standard_normal(values, dtype=np.float32) for k in range(TENSORS)}


def learner(settings: TransportSettings) -> dict[str, Any]:
    """Start the policy, send it weights of every size, then receive transitions until no more come."""
    node = rclpy.create_node("learner")
    publisher = node.create_publisher(WeightsMsg, "weights/policy", LATCHED)
    burst: list[int] = []
    paced: list[float] = []

    def received(message: TransitionMsg) -> None:
        transition = transition_from_message(message)
        now = time.monotonic_ns()
        if transition.seq < settings.transitions:
            burst.append(now)
        else:
            paced.append((now - 1e9 * transition.next_observation.stamp) * 1e-6)

    node.create_subscription(TransitionMsg, "transitions", received, TRANSITIONS)
    command = [sys.executable, "-m", MODULE, "policy", json.dumps(asdict(settings))]
    with subprocess.Popen(
        command, preexec_fn=die_with_parent(), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        while publisher.get_subscription_count() == 0:
            if process.poll() is not None:
                raise RuntimeError(f"the policy's process ended with exit code {process.returncode}")
            time.sleep(0.05)
        time.sleep(1.0)
        version = 0
        for size in settings.weights_mb:
            tensors = tensors_of(size)
            for _ in range(settings.rounds):
                version += 1
                stamp = time_of_ns(time.monotonic_ns())
                packed = pack(tensors, ARCHITECTURE, version, updates=size)
                publisher.publish(weights_to_message(packed, stamp))
                time.sleep(settings.pause_s)
        spin_until(node, lambda: len(burst) + len(paced), settings.transitions + settings.paced)
        result = json.loads(process.communicate(timeout=settings.timeout_s)[0].splitlines()[-1])
    span = (max(burst) - result.pop("began")) * 1e-9 if burst else float("inf")
    return {
        **result,
        "sent": settings.transitions,
        "lost": settings.transitions - len(burst),
        "transitions_per_second": len(burst) / span,
        "transition_ms": paced,
    }


def policy(settings: TransportSettings) -> dict[str, Any]:
    """Receive weights, then send transitions: as fast as it goes, and at a fixed rate."""
    node = rclpy.create_node("policy")
    weights: dict[str, list[float]] = {str(size): [] for size in settings.weights_mb}

    def received(message: WeightsMsg) -> None:
        unpack(weights_from_message(message), ARCHITECTURE)
        weights[str(message.updates)].append((time.monotonic_ns() - stamp_ns(message.header.stamp)) * 1e-6)

    node.create_subscription(WeightsMsg, "weights/policy", received, LATCHED)
    publisher = node.create_publisher(TransitionMsg, "transitions", TRANSITIONS)
    spin_until(node, lambda: sum(map(len, weights.values())), len(weights) * settings.rounds)

    rng, side = np.random.default_rng(0), settings.image_size
    images = rng.integers(0, 255, (2, side, side, 3), np.uint8)

    def send(seq: int) -> None:
        observations = [Observation(images, np.zeros(10, np.float32), time.monotonic()) for _ in range(2)]
        action = np.zeros(7, np.float32)
        transition = Transition(
            observation=observations[0],
            action=action,
            reward=0.0,
            next_observation=observations[1],
            terminated=False,
            truncated=False,
            success=False,
            intervention=False,
            seq=seq,
            episode=0,
            step=seq,
        )
        publisher.publish(transition_to_message(transition))

    began = time.monotonic_ns()
    for seq in range(settings.transitions):
        send(seq)
    publisher.wait_for_all_acked(Duration(seconds=QUIET))
    time.sleep(BACKLOG)
    for k in range(settings.paced):
        time.sleep(1.0 / settings.paced_hz)
        send(settings.transitions + k)
    publisher.wait_for_all_acked(Duration(seconds=QUIET))
    return {"began": began, "weights_ms": weights}


def spin_until(node: Node, received: Callable[[], int], expected: int) -> None:
    """Take messages until so many have come, or none has come for a while since the first one."""
    count, last = 0, time.monotonic()
    while count < expected:
        rclpy.spin_once(node, timeout_sec=0.2)
        now = time.monotonic()
        if received() != count:
            count, last = received(), now
        elif now - last > (QUIET if count else FIRST):
            return


def main() -> None:
    """Run one end: ``learner`` or ``policy``, with the settings as JSON."""
    role, text = sys.argv[1:]
    values = json.loads(text)
    settings = TransportSettings(**{**values, "weights_mb": tuple(values["weights_mb"])})
    keep_freed_memory()
    use_shared_memory()
    rclpy.init()
    try:
        print(json.dumps((learner if role == "learner" else policy)(settings)), flush=True)
    finally:
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()

"""Speed of the learner on this machine: updates per second, and the cost of each part of an update.

Used by `./worldsample bench learner`. Data are random: the cost does not depend on them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from worldsample_policy.acting.actor import Actor
from worldsample_policy.algorithms.rlpd import RLPD
from worldsample_policy.learner_config import LearnerConfig
from worldsample_policy.learning.learner import Learner
from worldsample_policy.tiny_learner import make_episode, make_observation, make_task


def measure(
    sizes: tuple[int, ...] = (64, 128), threads: tuple[int, ...] = (1, 2), seconds: float = 5.0
) -> dict[str, Any]:
    """Updates per second at batch 256, two views, on cached features, with the default settings.

    Returns a JSON-able dict: `updates_per_second_<size>` and `parts_ms_<size>` with the first of `threads`,
    `updates_per_second_<size>_<n>_threads` with the others. `seconds`: about how long each measurement takes.
    """
    result: dict[str, Any] = {}
    for size in sizes:
        first = measure_size(size, threads[0], seconds)
        result[f"updates_per_second_{size}"] = round(first["updates_per_second"], 1)
        for count in threads[1:]:
            more = measure_size(size, count, seconds)
            result[f"updates_per_second_{size}_{count}_threads"] = round(more["updates_per_second"], 1)
        result[f"parts_ms_{size}"] = first["parts_ms"]
    names = ("batch_size", "encoder", "device", "matmul_precision", "threads")
    return {**result, **{name: first[name] for name in names}}


def measure_size(
    image_size: int = 64,
    threads: int = 1,
    seconds: float = 5.0,
    config: LearnerConfig | None = None,
    active: tuple[bool, ...] = (True, True, True, False, False, False, False),
) -> dict[str, Any]:
    """Run the learner at batch 256, two views, for about `seconds` and return a JSON-able dict.

    updates_per_second: of the mix of critic-only and full updates; wall clock, the median of several
    stretches. cpu_ms_per_update: processor time, which a busy machine inflates less. parts_ms: sample,
    features, next_features, critic_target, critic (loss, gradient, step), target (soft update) and actor
    (loss, gradient, step) of one update in which each happens once; encode: one frame on arrival with its K
    augmented copies; act: one tick of the actor.
    """
    config = replace(config or LearnerConfig(), image_size=image_size, encoder_steps=1)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return _measure(config, threads, seconds, active)
    finally:
        torch.set_num_threads(before)


def _measure(config: LearnerConfig, threads: int, seconds: float, active: tuple[bool, ...]) -> dict[str, Any]:
    rng, task = np.random.default_rng(0), make_task(active=active)
    learner = Learner(config, task)
    for transition in make_episode(rng, 64, source="demo", size=config.image_size):
        learner.add(transition)
    learner.adapt_encoder()
    online = make_episode(rng, 64, episode=1, first_seq=64, size=config.image_size)
    start = time.perf_counter()
    for transition in online:
        learner.add(transition)
    encode = (time.perf_counter() - start) / (len(online) + 1)

    for _ in range(2 * config.critic_actor_ratio):
        learner.update()
    wall: list[float] = []
    cpu: list[float] = []
    deadline = time.perf_counter() + 0.6 * seconds
    stretch = 4 * config.critic_actor_ratio
    while len(wall) < 3 or time.perf_counter() < deadline:
        start, start_cpu = time.perf_counter(), time.process_time()
        for _ in range(stretch):
            learner.update()
        wall.append((time.perf_counter() - start) / stretch)
        cpu.append((time.process_time() - start_cpu) / stretch)

    actor = Actor(config, task)
    actor.load(learner.actor_state())
    observation = make_observation(rng, config.image_size)
    parts = {
        **_parts(learner, 0.3 * seconds),
        "encode": encode,
        "act": _best(lambda: actor.act(observation), 0.05 * seconds),
    }
    return {
        "image_size": config.image_size,
        "batch_size": config.batch_size,
        "threads": threads,
        "encoder": config.encoder,
        "device": config.device,
        "matmul_precision": config.matmul_precision,
        "updates_per_second": 1.0 / float(np.median(wall)),
        "updates_per_second_best": 1.0 / min(wall),
        "cpu_ms_per_update": 1e3 * float(np.median(cpu)),
        "parts_ms": {name: round(1e3 * value, 3) for name, value in parts.items()},
    }


def _parts(learner: Learner, seconds: float) -> dict[str, float]:
    """Median time of each part, s."""
    sac, size = learner.sac, learner.config.batch_size
    assert isinstance(learner.algorithm, RLPD)
    mixer = learner.algorithm.mixer
    times: dict[str, list[float]] = {}

    def timed(name: str, run: Callable[..., Any], *arguments: Any) -> Any:
        start = time.perf_counter()
        result = run(*arguments)
        if learner.device.type == "cuda":
            torch.cuda.synchronize()
        times.setdefault(name, []).append(time.perf_counter() - start)
        return result

    def critic(*arguments: Any) -> None:
        learner.optimiser.apply("critic", sac.critic_loss(*arguments)[0], {})

    def actor(*arguments: Any) -> None:
        learner.optimiser.apply("actor", sac.actor_loss(*arguments)[0], {})

    deadline = time.perf_counter() + seconds
    while len(times.get("actor", ())) < 3 or time.perf_counter() < deadline:
        batch = timed("sample", mixer.sample, size).real
        noise = sac.noise(size, learner.intake.generator)
        features = timed("features", sac.features, batch)
        following = timed("next_features", sac.next_features, batch)
        timed("critic_target", sac.critic_target, batch, following, noise)
        timed("critic", critic, batch, features, noise)
        timed("target", sac.soft_update)
        timed("actor", actor, batch, features.detach(), noise)
    result = {name: float(np.median(values)) for name, values in times.items()}
    result["critic"] -= result["next_features"] + result["critic_target"]  # which the loss computes again
    return result


def _best(run: Callable[[], Any], seconds: float) -> float:
    times: list[float] = []
    deadline = time.perf_counter() + seconds
    while len(times) < 5 or time.perf_counter() < deadline:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return float(np.median(times))

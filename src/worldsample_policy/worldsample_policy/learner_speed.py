"""Speed of the learner on this machine: CPU and wall time of an update, and of each part of one.

Used by `./worldsample bench learner` and `benchmarks/gpu_learner.py`. Data are random: the cost does not
depend on them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldsample_core.config import TaskConfig
from worldsample_policy.acting.actor import Actor
from worldsample_policy.algorithms.rlpd import RLPD
from worldsample_policy.learner_config import LearnerConfig
from worldsample_policy.learning.learner import Learner
from worldsample_policy.replay.replay import Batch
from worldsample_policy.tiny_learner import make_episode, make_imagined, make_observation

DEMO_STEPS, REAL_STEPS, IMAGINED_SEGMENTS = 64, 128, 40
"""Random data in the replays before an update is timed."""


def ready_learner(config: LearnerConfig, task: TaskConfig) -> Learner:
    """A learner with random data in its replays, imagined ones too where it takes any; ready to update."""
    rng, size = np.random.default_rng(0), config.image_size
    learner = Learner(replace(config, encoder_steps=1, pacing_warmup=0), task)
    for transition in make_episode(rng, DEMO_STEPS, source="demo", size=size):
        learner.add(transition)
    learner.adapt_encoder()
    for transition in make_episode(rng, REAL_STEPS, episode=1, first_seq=DEMO_STEPS, size=size):
        learner.add(transition)
    for number in range(IMAGINED_SEGMENTS if config.pacing else 0):
        if not learner.add_synthetic(make_imagined(rng, task, size, success=number % 2 == 0)):
            raise RuntimeError("the guards refused an imagined segment")
    return learner


def measure_updates(
    config: LearnerConfig, task: TaskConfig, threads: int = 1, seconds: float = 5.0
) -> dict[str, Any]:
    """Time the updates of one method for about `seconds`.

    Returns:
        JSON-able: threads, batch_size, imagined_batch, updates_timed, and cpu_ms and wall_ms (medians) of
        critic_only, full and mixed updates, the last as the method does them (one full one in
        `critic_actor_ratio`); updates_per_second of the mix, by wall clock.

    Raises:
        RuntimeError: imagined data do not count although the method has them.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        learner = ready_learner(config, task)
        ratio = config.critic_actor_ratio
        for _ in range(2 * ratio):
            logs = learner.update()
        if config.pacing and "synthetic/critic_loss" not in logs:
            raise RuntimeError("imagined data do not count")
        return {
            "threads": threads,
            "batch_size": config.batch_size,
            "imagined_batch": config.synthetic_batch if config.pacing else 0,
            **_timed_updates(learner, seconds),
        }
    finally:
        torch.set_num_threads(before)


def _timed_updates(learner: Learner, seconds: float) -> dict[str, Any]:
    """Whole cycles of updates, each update timed; at least three cycles."""
    ratio = learner.config.critic_actor_ratio
    times: list[tuple[float, float]] = []
    deadline = time.perf_counter() + seconds
    while len(times) < 3 * ratio or len(times) % ratio or time.perf_counter() < deadline:
        wall, cpu = time.perf_counter(), time.process_time()
        learner.update()
        times.append((time.perf_counter() - wall, time.process_time() - cpu))
    # The warm-up did whole cycles: every ratio-th update is full.
    cycles = np.asarray(times).reshape(-1, ratio, 2)
    mixed = cycles.mean(1)
    return {
        "updates_timed": len(times),
        "updates_per_second": round(1.0 / float(np.median(mixed[:, 0])), 2),
        **({"critic_only": _medians(cycles[:, :-1].reshape(-1, 2))} if ratio > 1 else {}),
        "full": _medians(cycles[:, -1]),
        "mixed": _medians(mixed),
    }


def _medians(times: np.ndarray) -> dict[str, float]:
    """times: (N, 2) wall and CPU seconds."""
    wall, cpu = np.median(times, axis=0)
    return {"cpu_ms": round(1e3 * float(cpu), 2), "wall_ms": round(1e3 * float(wall), 2)}


def measure_parts(
    config: LearnerConfig, task: TaskConfig, threads: int = 1, seconds: float = 3.0
) -> dict[str, float]:
    """Median wall time of each part, ms, of an update on real data alone.

    sample, features, next_features, critic_target, critic (loss, gradient, step), target (soft update) and
    actor (loss, gradient, step) of one update in which each happens once; encode: one frame on arrival with
    its K augmented copies; act: one tick of the actor.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        learner = ready_learner(config, task)
        rng = np.random.default_rng(1)
        steps = make_episode(rng, 64, episode=2, first_seq=DEMO_STEPS + REAL_STEPS, size=config.image_size)
        encode = _median_of(lambda transition: learner.add(transition), steps)
        actor = Actor(learner.config, task)
        actor.load(learner.actor_state())
        observation = make_observation(rng, config.image_size)
        act = _median_of(lambda _: actor.act(observation), range(20))
        parts = {**_update_parts(learner, seconds), "encode": encode, "act": act}
        return {name: round(1e3 * value, 3) for name, value in parts.items()}
    finally:
        torch.set_num_threads(before)


def _update_parts(learner: Learner, seconds: float) -> dict[str, float]:
    """Median time of each part, s."""
    sac, config, generator = learner.sac, learner.config, learner.intake.generator
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

    def actor(batch: Batch, features: Tensor, noise: Tensor) -> None:
        states = sac.actor_states(batch, features, generator)
        values_of = features.detach() if config.policy_head else None
        loss, _ = sac.actor_loss(batch, states, noise, config.bc_weight, values_of)
        learner.optimiser.apply("actor", loss, {})

    deadline = time.perf_counter() + seconds
    while len(times.get("actor", ())) < 3 or time.perf_counter() < deadline:
        batch = timed("sample", mixer.sample, config.batch_size).real
        noise = sac.noise(config.batch_size, generator)
        features = timed("features", sac.features, batch, generator)
        following = timed("next_features", sac.next_features, batch)
        timed("critic_target", sac.critic_target, batch, following, noise)
        timed("critic", critic, batch, features, noise)
        timed("target", sac.soft_update)
        timed("actor", actor, batch, features.detach(), noise)
    result = {name: float(np.median(values)) for name, values in times.items()}
    result["critic"] -= result["next_features"] + result["critic_target"]  # which the loss computes again
    return result


def _median_of(run: Callable[[Any], Any], arguments: Iterable[Any]) -> float:
    """Median time of a call with each of the arguments, s."""
    times: list[float] = []
    for argument in arguments:
        start = time.perf_counter()
        run(argument)
        times.append(time.perf_counter() - start)
    return float(np.median(times))
